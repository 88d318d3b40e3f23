//! How much memory this process takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// The resident memory of this process, in bytes.
///
/// # Panics
/// Where there is no `/proc`, as on systems other than Linux.
pub fn resident() -> usize {
    resident_of("/proc/self")
}

/// The resident memory of the process at this path of `/proc`, in bytes.
///
/// # Panics
/// Where there is no `/proc`, as on systems other than Linux.
pub fn resident_of(process: &str) -> usize {
    read(process, "VmRSS:")
}

/// As [`resident_of`], without the pages of files: what of its own program a process has run is none of what it holds.
///
/// # Panics
/// Where there is no `/proc`, as on systems other than Linux.
pub fn held_by(process: &str) -> usize {
    read(process, "RssAnon:")
}

fn read(process: &str, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("{process}/status")).expect("these tests run on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a process has memory");
    let kilobytes: usize = line.trim().trim_end_matches("kB").trim().parse().expect("a number of kB");
    kilobytes << 10
}

/// The most memory that this process takes from a point on.
#[derive(Debug)]
pub struct Peak {
    before: usize,
    highest: Arc<AtomicUsize>,
}

impl Peak {
    /// Watches from now on, a hundred times a second.
    pub fn watch() -> Self {
        let before = resident();
        let highest = Arc::new(AtomicUsize::new(before));
        let seen = Arc::downgrade(&highest);
        thread::spawn(move || {
            while let Some(highest) = seen.upgrade() {
                highest.fetch_max(resident(), Ordering::Relaxed);
                drop(highest);
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self { before, highest }
    }

    /// By how much it grew at the most, in bytes.
    pub fn grown(&self) -> usize {
        self.highest.load(Ordering::Relaxed) - self.before
    }
}
