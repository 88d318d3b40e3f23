//! What a server's process takes, by the kernel's books and by its own.

use std::{fmt, fs};

use crate::{memory, program::Program};

/// What a process takes at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Footprint {
    /// Resident memory, in bytes.
    pub resident: usize,
    /// Sockets that it has open.
    pub sockets: usize,
    /// Other descriptors that it has open.
    pub files: usize,
    /// Tasks of its runtime that have not ended.
    pub tasks: usize,
}

impl Footprint {
    /// Looks at a server whose metrics say that it has so many tasks.
    ///
    /// # Panics
    /// Where there is no `/proc`, as on systems other than Linux.
    pub fn of(program: &Program, tasks: usize) -> Self {
        let (sockets, files) = descriptors(program.pid());
        let resident = memory::resident_of(&format!("/proc/{}", program.pid()));
        Self { resident, sockets, files, tasks }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident, sockets, files, tasks } = self;
        write!(f, "resident_kib={} sockets={sockets} files={files} tasks={tasks}", resident >> 10)
    }
}

/// How many sockets and how many other descriptors a process has open.
///
/// # Panics
/// Where there is no `/proc`, as on systems other than Linux.
pub fn descriptors(pid: u32) -> (usize, usize) {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("these tests run on Linux");
    // One that was closed meanwhile leads nowhere any more.
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let are_sockets: Vec<bool> =
        targets.map(|target| target.to_string_lossy().starts_with("socket:")).collect();
    let sockets = are_sockets.iter().filter(|is_socket| **is_socket).count();
    (sockets, are_sockets.len() - sockets)
}
