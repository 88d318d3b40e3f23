//! What the kernel has noted about a process: the time it ran and the memory it holds.

#[cfg(test)]
mod tests;

use std::{fs, time::Duration};

use crate::error::Error;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident pages.
    pub(crate) rss: u64,
    /// Resident pages, those shared with others divided by the number that share them.
    pub(crate) pss: u64,
}

/// The time that all threads of a process have run, user and system.
///
/// Nanoseconds from each thread's `schedstat` where the kernel has it, for then no clock tick rounds them; threads that have
/// ended are in `stat` only, so the greater of the two counts.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Error> {
    let path = format!("/proc/{pid}/stat");
    let stat = read(&path)?;
    let from_ticks = parse_stat(&stat).ok_or(Error::AccountingField { path, field: "utime" })?;
    Ok(from_threads(pid)
        .map_or(from_ticks, |exact| if exact + TICKS_ERROR < from_ticks { from_ticks } else { exact }))
}

/// By how much `stat` may be ahead of `schedstat` through rounding alone.
const TICKS_ERROR: Duration = Duration::from_millis(20);

fn from_threads(pid: u32) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        sum += Duration::from_nanos(text.split(' ').next()?.parse().ok()?);
    }
    Some(sum)
}

/// `utime` and `stime`, the 14th and 15th field of proc_pid_stat(5), in ticks of 10 ms (`USER_HZ`, 100 on every Linux).
fn parse_stat(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses, and may hold blanks and parentheses itself.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

/// The memory of a process.
pub(crate) fn memory(pid: u32) -> Result<Memory, Error> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = read(&path)?;
    match (parse_rollup(&text, "Rss:"), parse_rollup(&text, "Pss:")) {
        (Some(rss), Some(pss)) => Ok(Memory { rss, pss }),
        (None, _) => Err(Error::AccountingField { path, field: "Rss" }),
        (_, None) => Err(Error::AccountingField { path, field: "Pss" }),
    }
}

fn parse_rollup(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn read(path: &str) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Accounting { path: path.to_owned(), source })
}
