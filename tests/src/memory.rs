//! How much memory this process takes.

/// The resident memory of this process, in bytes.
///
/// # Panics
/// Where there is no `/proc`, as on systems other than Linux.
pub fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("these tests run on Linux");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has resident memory");
    let kilobytes: usize = line.trim().trim_end_matches("kB").trim().parse().expect("a number of kB");
    kilobytes << 10
}
