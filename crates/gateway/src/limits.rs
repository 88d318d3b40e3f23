//! How often clients may do what they do, and from where they are taken to come.

mod address;
mod limiter;
mod options;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use streamnest_protocol::native::{ErrorFrame, ServerFrame};

pub use self::options::RateLimitOptions;
pub(crate) use self::{
    address::{ClientAddress, PeerAddress, TrustedProxies},
    limiter::Limiter,
};
use crate::{access::Visitor, http::Refusal};

/// Bytes of one read from which it counts as reading again: what comes live is less.
pub(crate) const REPLAY_BYTES: usize = 16 << 10;
/// Replay is reckoned in pieces of so many bytes.
const REPLAY_UNIT: usize = 1 << 10;

/// For whom a limit counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Who {
    /// A principal, by what tells it from every other.
    User(Box<str>),
    /// Somebody who is not asked who they are.
    Address(ClientAddress),
}

impl Who {
    /// `None` where neither is known, and then no limit counts.
    pub(crate) fn of(visitor: &Visitor, address: Option<ClientAddress>) -> Option<Self> {
        match visitor {
            Visitor::Known(principal) => Some(Self::User(principal.key().into())),
            Visitor::Anyone => address.map(Self::Address),
        }
    }
}

/// What was too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Excess {
    /// Connections of one address, within a window.
    Connections,
    /// Messages of one connection.
    Messages,
    /// Requests of one user.
    Requests,
    /// Executions of one user.
    Executions,
    /// Bytes that are read again.
    Replay,
}

/// More than may be, and when to come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exceeded {
    pub(crate) excess: Excess,
    limit: u32,
    window: Duration,
    pub(crate) retry_after: Duration,
}

impl Exceeded {
    pub(crate) const fn code(&self) -> &'static str {
        match self.excess {
            Excess::Connections => "too_many_new_connections",
            Excess::Messages => "too_many_messages",
            Excess::Requests => "too_many_requests",
            Excess::Executions => "too_many_starts",
            Excess::Replay => "replay_too_fast",
        }
    }

    /// The fact, the limit, the option that sets it, and what to do.
    pub(crate) fn message(&self) -> String {
        let Self { limit, window, retry_after, .. } = self;
        let (what, option) = match self.excess {
            Excess::Connections => ("connections from one address", "max_connections"),
            Excess::Messages => ("messages of one connection", "max_requests_per_connection"),
            Excess::Requests => ("requests of one user", "max_requests_per_user"),
            Excess::Executions => ("executions that one user starts", "max_executions_per_user"),
            Excess::Replay => ("bytes that one user reads again", "replay_bytes_per_second"),
        };
        format!(
            "over {limit} {what} within {window:?}, the limit of `rate_limit.{option}`; come back in {retry_after:?}"
        )
    }
}

impl Exceeded {
    /// The same over WebSocket.
    pub(crate) fn frame(&self) -> ServerFrame {
        let error = ErrorFrame::new(self.code(), self.message(), true);
        ServerFrame::Error(error.with_retry_after(self.retry_after))
    }
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, exceeded.code(), exceeded.message())
            .retry_after(exceeded.retry_after)
    }
}

/// The limits of a gateway.
pub(crate) struct Limits {
    options: RateLimitOptions,
    connections: Option<Limiter<ClientAddress>>,
    requests: Option<Limiter<Who>>,
    executions: Option<Limiter<Who>>,
    replay: Option<Limiter<Who>>,
}

impl Limits {
    /// `None` limits nothing. At once `max_read_bytes` may be read again, or what a second allows if that is more.
    pub(crate) fn new(options: Option<&RateLimitOptions>, max_read_bytes: usize) -> Self {
        let options = options.cloned().unwrap_or_else(RateLimitOptions::unlimited);
        let (window, keys) = (options.window, options.max_keys);
        let by_user = |count: Option<u32>| count.map(|count| Limiter::new(count, window, count, keys));
        let replay = options.replay_bytes_per_second.map(|bytes| {
            let rate = units(bytes as usize);
            Limiter::new(rate, Duration::from_secs(1), rate.max(units(max_read_bytes)), keys)
        });
        Self {
            connections: options.max_connections.map(|count| Limiter::new(count, window, count, keys)),
            requests: by_user(options.max_requests_per_user),
            executions: by_user(options.max_executions_per_user),
            replay,
            options,
        }
    }

    /// Counts a WebSocket or an event stream.
    pub(crate) fn connect(&self, address: Option<ClientAddress>) -> Result<(), Exceeded> {
        let Some((limiter, address)) = self.connections.as_ref().zip(address) else { return Ok(()) };
        let limit = self.options.max_connections;
        limiter.take(&address).map_err(|after| self.exceeded(Excess::Connections, limit, after))
    }

    /// Counts a request or a message.
    pub(crate) fn request(&self, who: impl FnOnce() -> Option<Who>) -> Result<(), Exceeded> {
        let limit = self.options.max_requests_per_user;
        self.count(self.requests.as_ref(), who, Excess::Requests, limit)
    }

    /// Counts an execution that is started or made.
    pub(crate) fn start(&self, who: impl FnOnce() -> Option<Who>) -> Result<(), Exceeded> {
        let limit = self.options.max_executions_per_user;
        self.count(self.executions.as_ref(), who, Excess::Executions, limit)
    }

    /// Whether so many bytes may be read again now. Where that is more than may come at once, nothing may be owed.
    pub(crate) fn may_replay(&self, bytes: usize, who: &Who) -> Result<(), Exceeded> {
        let Some(limiter) = &self.replay else { return Ok(()) };
        limiter.check(who, units(bytes)).map_err(|retry_after| Exceeded {
            excess: Excess::Replay,
            limit: self.options.replay_bytes_per_second.unwrap_or_default(),
            window: Duration::from_secs(1),
            retry_after,
        })
    }

    /// Counts bytes that are read again, all of them: what is more than may be is made good before there are others.
    pub(crate) fn replayed(&self, bytes: usize, who: &Who) {
        if let Some(limiter) = &self.replay {
            limiter.charge(who, units(bytes));
        }
    }

    /// Whether bytes that are read again are counted.
    pub(crate) const fn counts_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// A limit for the messages of one connection.
    pub(crate) fn messages(&self) -> Option<Limiter<()>> {
        let count = self.options.max_requests_per_connection?;
        Some(Limiter::new(count, self.options.window, count, 1))
    }

    /// One message of a connection was too much.
    pub(crate) fn too_many_messages(&self, retry_after: Duration) -> Exceeded {
        self.exceeded(Excess::Messages, self.options.max_requests_per_connection, retry_after)
    }

    fn count(
        &self,
        limiter: Option<&Limiter<Who>>,
        who: impl FnOnce() -> Option<Who>,
        excess: Excess,
        limit: Option<u32>,
    ) -> Result<(), Exceeded> {
        let Some((limiter, who)) = limiter.and_then(|limiter| Some((limiter, who()?))) else { return Ok(()) };
        limiter.take(&who).map_err(|after| self.exceeded(excess, limit, after))
    }

    fn exceeded(&self, excess: Excess, limit: Option<u32>, retry_after: Duration) -> Exceeded {
        Exceeded { excess, limit: limit.unwrap_or_default(), window: self.options.window, retry_after }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(REPLAY_UNIT)).unwrap_or(u32::MAX)
}

/// The connections of each address that are open.
#[derive(Default)]
pub(crate) struct Crowds(Mutex<HashMap<ClientAddress, usize>>);

/// One of them, counted until it is dropped.
pub(crate) struct OfCrowd {
    crowds: Arc<Crowds>,
    address: ClientAddress,
    /// Whether one of the event streams that share it stands for it.
    is_lent: AtomicBool,
}

/// The place of the connection by which a request comes.
#[derive(Clone)]
pub(crate) struct OfConnection {
    pub(crate) crowd: Arc<OfCrowd>,
    /// Whether other requests share it.
    pub(crate) shares: bool,
}

/// The place of an event stream or a WebSocket, held until it is dropped.
pub(crate) struct OfStream {
    crowd: Arc<OfCrowd>,
    is_lent: bool,
}

impl OfConnection {
    /// The connection's own place, unless another of those who share it has that.
    pub(crate) fn lend(&self) -> Option<OfStream> {
        let is_free = !self.shares || !self.crowd.is_lent.swap(true, Ordering::AcqRel);
        is_free.then(|| OfStream { crowd: self.crowd.clone(), is_lent: self.shares })
    }
}

impl From<OfCrowd> for OfStream {
    /// A place of its own.
    fn from(crowd: OfCrowd) -> Self {
        Self { crowd: Arc::new(crowd), is_lent: false }
    }
}

impl Drop for OfStream {
    fn drop(&mut self) {
        if self.is_lent {
            self.crowd.is_lent.store(false, Ordering::Release);
        }
    }
}

impl Crowds {
    /// Counts one more of `address`; `None` if there are `limit`. There are never more addresses than connections, which are
    /// bounded.
    pub(crate) fn enter(self: &Arc<Self>, address: ClientAddress, limit: usize) -> Option<OfCrowd> {
        let mut crowds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = crowds.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(OfCrowd { crowds: self.clone(), address, is_lent: AtomicBool::new(false) })
    }
}

impl Drop for OfCrowd {
    fn drop(&mut self) {
        let mut crowds = self.crowds.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = crowds.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                crowds.remove(&self.address);
            }
        }
    }
}
