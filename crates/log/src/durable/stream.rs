//! One stream: what is known of it while it is not read or written.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
};

use streamnest_core::{Epoch, Lifetime, LogIdentity, LogName, Position, Timestamp};
use tokio::sync::{Mutex, MutexGuard};

use super::facts::Facts;
use crate::Error;

/// A stream that there is, or was when it was asked for.
#[derive(Debug)]
pub struct Stream {
    name: LogName,
    facts: Facts,
    /// That of its log, once there is one. Another log that has its name later has another.
    epoch: OnceLock<Epoch>,
    state: AtomicU8,
    /// Held while an append is judged and accepted, and while the stream is made or deleted.
    turn: Mutex<()>,
    /// When it was read or written last, in microseconds since 1970.
    touched: AtomicU64,
    /// How many wait for more of it.
    readers: AtomicUsize,
    /// How many streams were forked from it, those under way included.
    pub(super) forks: AtomicUsize,
    /// What was appended to it, in bytes.
    pub(super) bytes: AtomicU64,
}

/// Where a stream stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stand {
    /// After the last append.
    pub tail: Position,
    /// Whether nothing follows.
    pub closed: bool,
}

/// How far a stream has come between being made and being gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It is being made: nobody was told of it.
    Making = 0,
    Live = 1,
    /// It was deleted, and lives on for its forks.
    Deleted = 2,
    Gone = 3,
    /// It is an execution whose time was over, and that was ended therefore. It can still be read.
    Expired = 4,
}

impl Stream {
    pub(super) fn new(name: LogName, facts: Facts, state: State, now: Timestamp) -> Self {
        Self {
            name,
            facts,
            epoch: OnceLock::new(),
            state: AtomicU8::new(state as u8),
            turn: Mutex::new(()),
            touched: AtomicU64::new(now.as_micros()),
            readers: AtomicUsize::new(0),
            forks: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// The name of its log.
    pub const fn name(&self) -> &LogName {
        &self.name
    }

    /// Whether it is an execution, which is kept and forgotten as one.
    pub fn is_execution(&self) -> bool {
        self.name.starts_with(LogName::EXECUTIONS)
    }

    /// What is true of it from the first.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its log is the one of this epoch.
    pub(super) fn set_epoch(&self, epoch: Epoch) {
        let _ = self.epoch.set(epoch);
    }

    /// Whether that is its log, and not that of another stream which has its name now.
    pub(super) fn is_of(&self, log: &LogIdentity) -> bool {
        self.epoch.get() == Some(&log.epoch())
    }

    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::SeqCst) {
            0 => State::Making,
            1 => State::Live,
            2 => State::Deleted,
            4 => State::Expired,
            _ => State::Gone,
        }
    }

    /// Only who has the [turn](Self::turn) may.
    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::SeqCst);
    }

    /// Refuses what is not there for clients.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.state() {
            State::Live | State::Expired => Ok(()),
            State::Deleted => Err(Error::StreamDeleted { name: self.name.clone() }),
            State::Making | State::Gone => Err(Error::UnknownStream { name: self.name.clone() }),
        }
    }

    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// It was read or written just now.
    pub(super) fn touch(&self, now: Timestamp) {
        self.touched.fetch_max(now.as_micros(), Ordering::AcqRel);
    }

    /// When it ends if nobody touches it; `None` if it does not.
    pub fn expires(&self) -> Option<Timestamp> {
        match self.facts.lifetime? {
            Lifetime::Sliding(time) => {
                Some(Timestamp::from_micros(self.touched.load(Ordering::Acquire)).after(time))
            }
            Lifetime::Until(time) => Some(time),
        }
    }

    /// Whether its time is over. A sliding one is not while somebody waits for more.
    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        let is_read = || {
            matches!(self.facts.lifetime, Some(Lifetime::Sliding(_)))
                && self.readers.load(Ordering::Acquire) > 0
        };
        self.state() != State::Expired && self.expires().is_some_and(|expires| now >= expires) && !is_read()
    }
}

/// Somebody who waits for more of a stream; it goes on meanwhile.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Stream>);

impl Waiting {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        stream.readers.fetch_add(1, Ordering::AcqRel);
        Self(stream)
    }

    /// The stream.
    pub(super) const fn stream(&self) -> &Arc<Stream> {
        &self.0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::AcqRel);
    }
}
