//! The system calls that std does not offer: a connect that does not wait, epoll, the limit of open files, and which cores
//! a thread runs on.
//!
//! Everything `unsafe` of this workspace is in this file.

use std::{
    io,
    mem::{size_of, zeroed},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What to be woken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interest {
    /// Nothing but errors.
    None,
    /// When there is something to read.
    Read,
    /// When there is something to read, or room to write.
    ReadWrite,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Self::None => 0,
            Self::Read => libc::EPOLLIN,
            Self::ReadWrite => libc::EPOLLIN | libc::EPOLLOUT,
        };
        bits.cast_unsigned()
    }
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The number that it was added with.
    pub(crate) key: usize,
    /// There is something to read, or the other side is gone.
    pub(crate) read: bool,
    /// There is room to write.
    pub(crate) write: bool,
}

/// A level-triggered epoll instance.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// Events taken by one wait.
const EVENTS: usize = 1024;

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    /// Watches a socket; it leaves by being closed.
    pub(crate) fn add(&self, socket: &impl AsRawFd, key: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket.as_raw_fd(), key, interest)
    }

    /// Watches it for something else from now on.
    pub(crate) fn change(&self, socket: &impl AsRawFd, key: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket.as_raw_fd(), key, interest)
    }

    /// Watches it no longer.
    pub(crate) fn remove(&self, socket: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, socket.as_raw_fd(), 0, Interest::None)
    }

    fn control(&self, operation: i32, socket: RawFd, key: usize, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: key as u64 };
        // SAFETY: `event` lives through the call, and the kernel does not keep the pointer.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, socket, &raw mut event) })?;
        Ok(())
    }

    /// Waits until something is ready, or for `timeout` (rounded up to milliseconds), and appends what is.
    pub(crate) fn wait(&mut self, timeout: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        // SAFETY: the pointer and the count describe `events`, which lives through the call.
        let count = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), EVENTS as i32, timeout)
        };
        let count = match check(count) {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        let gone = (libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP).cast_unsigned();
        ready.extend(self.events.iter().take(count).map(|event| {
            let events = event.events;
            Ready {
                key: usize::try_from(event.u64).unwrap_or(usize::MAX),
                read: events & (libc::EPOLLIN.cast_unsigned() | gone) != 0,
                write: events & libc::EPOLLOUT.cast_unsigned() != 0,
            }
        }));
        Ok(())
    }
}

/// Begins to connect from `source` without waiting; the socket is ready to write once it is connected or has failed.
///
/// A `receive_buffer` bounds, in bytes, what the kernel takes in for a reader that does not read.
pub(crate) fn connect(
    source: Ipv4Addr,
    target: SocketAddrV4,
    receive_buffer: Option<u32>,
) -> io::Result<TcpStream> {
    // SAFETY: no pointers; the result is checked before it is owned.
    let socket = owned(unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
    })?;
    // The port is chosen when the target is known, so that each source address has all its ports for each target.
    set_option(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    if let Some(bytes) = receive_buffer {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)?;
    }
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let from = address(SocketAddrV4::new(source, 0));
    // SAFETY: `from` is a whole `sockaddr_in` that lives through the call, and `length` is its size.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const from).cast(), length) })?;
    let to = address(target);
    // SAFETY: as above.
    match check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const to).cast(), length) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from(socket)),
    }
}

/// Raises this process's limit of open files, which its children inherit, as far as it may; gives the limit.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a whole `rlimit` that lives through the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above; the call only reads it.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// The cores that this thread may run on.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    // SAFETY: `cpu_set_t` is plain bits, of which all-zero is a value.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `set` lives through the call, and its size is the one given.
    check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) })?;
    // SAFETY: each number is below the size of the set.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect())
}

/// Lets this thread, and what it starts from now on, run on `cores` only.
pub(crate) fn run_on(cores: &[usize]) -> io::Result<()> {
    // SAFETY: as above.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    for core in cores.iter().filter(|core| **core < libc::CPU_SETSIZE as usize) {
        // SAFETY: the number is below the size of the set.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: the call only reads `set`, which lives through it.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })?;
    Ok(())
}

/// Nanoseconds since the Unix epoch, the clock that the markers carry.
pub(crate) fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

fn set_option(socket: &OwnedFd, level: i32, name: i32, value: u32) -> io::Result<()> {
    let length = size_of::<u32>() as libc::socklen_t;
    // SAFETY: the options set here take an int of four bytes; `value` lives through the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) })?;
    Ok(())
}

fn address(address: SocketAddrV4) -> libc::sockaddr_in {
    // SAFETY: `sockaddr_in` is plain numbers, of which all-zero is a value.
    let mut raw: libc::sockaddr_in = unsafe { zeroed() };
    raw.sin_family = libc::AF_INET as libc::sa_family_t;
    raw.sin_port = address.port().to_be();
    raw.sin_addr.s_addr = u32::from(*address.ip()).to_be();
    raw
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: i32) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just given this descriptor to us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
