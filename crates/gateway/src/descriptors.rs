//! How many files and sockets the program may have open at once.

use std::io;

/// Descriptors that connections leave to the rest of the program: the files of its logs, and what it opens itself.
const SPARE: usize = 64;

/// Connections for which there are descriptors; `None` if nothing bounds them.
pub(crate) fn for_connections() -> Option<usize> {
    // Who may open very few leaves half of them, so that somebody is served at all.
    limit().map(|limit| limit.saturating_sub(SPARE).max(limit / 2).max(1))
}

#[cfg(unix)]
fn limit() -> Option<usize> {
    use rustix::process::{Resource, getrlimit};

    getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn limit() -> Option<usize> {
    None
}

/// Whether the system has no more to give just now: descriptors of the process or of all, or memory. It passes when somebody leaves.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;

        let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::OutOfMemory
    }
}
