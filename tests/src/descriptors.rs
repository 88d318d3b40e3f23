//! How many files and sockets a process may have open.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// Raises the bound of this process, which its children inherit, so that `count` can be open at once.
///
/// # Panics
/// If the machine does not let it.
pub fn allow(count: u64) {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_some_and(|current| current < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..now }).unwrap_or_else(|error| {
            panic!("{count} descriptors are needed, the limits are {now:?}: {error}")
        });
    }
}

/// Lets another process of ours have so many open at once from here on.
///
/// # Panics
/// If the machine does not let us.
pub fn limit(pid: u32, count: u64) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process has a number");
    let now = getrlimit(Resource::Nofile);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(count), ..now })
        .expect("the process is ours");
}
