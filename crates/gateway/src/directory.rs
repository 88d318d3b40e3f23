//! Which connections are open, and how the rest of the program reaches them.

use std::{
    collections::HashMap,
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::Waker,
};

use tokio::sync::{Notify, futures::Notified};
use uuid::Uuid;

use crate::leaving::share;

/// What a connection is told from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signal {
    /// There are messages for it.
    Messages = 1,
    /// The server shuts down: it closes once nothing that it follows goes on.
    Drain = 2,
    /// It closes.
    End = 4,
    /// It is gone at once.
    Abort = 8,
    /// Its principal's token was revoked.
    Revoked = 16,
    /// A newer connection of its principal takes its place.
    Replaced = 32,
}

/// The signals that a connection has got, so far or since it looked last.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Signals(u8);

impl Signals {
    pub(crate) const fn has(self, signal: Signal) -> bool {
        self.0 & signal as u8 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The name of a connection: a UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(Uuid);

impl ConnectionId {
    /// A number from 0 to 1 that is as random as the name is.
    pub(crate) fn fraction(self) -> f64 {
        share(self.0)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// All open WebSocket connections.
#[derive(Default)]
pub(crate) struct Directory {
    inner: Mutex<Inner>,
    tellings: Arc<AtomicU64>,
}

#[derive(Default)]
struct Inner {
    // Bounded by `GatewayOptions::max_connections`.
    connections: HashMap<Uuid, Arc<Mailbox>>,
    /// What every connection was told, for those that come later.
    told: u8,
}

/// Where a connection is reached.
#[derive(Default)]
pub(crate) struct Mailbox {
    signals: AtomicU8,
    /// How often any connection was told something. While it stands still nobody has to look into a mailbox, and the one number
    /// is in the cache for all.
    tellings: Arc<AtomicU64>,
    inner: Mutex<Letters>,
    /// Told when the frames were taken, or nobody will take them any more.
    emptied: Notify,
}

#[derive(Default)]
struct Letters {
    waker: Option<Waker>,
    /// Whole WebSocket frames, end to end.
    frames: Vec<u8>,
}

/// A connection's entry in the directory; it ends when this is dropped.
pub(crate) struct Listed {
    directory: Arc<Directory>,
    mailbox: Arc<Mailbox>,
    /// How the tellings stood when it looked last, and what it found.
    seen: u64,
    known: Signals,
    id: ConnectionId,
}

impl Directory {
    /// Enters a new connection.
    pub(crate) fn enter(self: &Arc<Self>) -> Listed {
        let id = Uuid::now_v7();
        let seen = self.tellings.load(Ordering::Acquire);
        let mut inner = self.lock();
        let known = Signals(inner.told);
        let mailbox = Arc::new(Mailbox {
            signals: inner.told.into(),
            tellings: self.tellings.clone(),
            ..Mailbox::default()
        });
        inner.connections.insert(id, mailbox.clone());
        Listed { directory: self.clone(), mailbox, seen, known, id: ConnectionId(id) }
    }

    /// Tells every connection, those that come later too.
    pub(crate) fn tell_all(&self, signal: Signal) {
        let mailboxes: Vec<_> = {
            let mut inner = self.lock();
            inner.told |= signal as u8;
            inner.connections.values().cloned().collect()
        };
        mailboxes.iter().for_each(|mailbox| mailbox.tell(signal));
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Mailbox>> {
        let id = Uuid::try_parse(id).ok()?;
        self.lock().connections.get(&id).cloned()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.lock().connections.keys().map(|id| ConnectionId(*id).to_string()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().connections.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    pub(crate) fn tell(&self, signal: Signal) {
        self.signals.fetch_or(signal as u8, Ordering::AcqRel);
        // After the signal, so that who sees this sees that.
        self.tellings.fetch_add(1, Ordering::AcqRel);
        let waker = self.lock().waker.clone();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Leaves whole frames for the connection, unless it is owed `limit` bytes then; whether it did.
    pub(crate) fn leave(&self, frames: &[u8], limit: usize) -> bool {
        {
            let mut letters = self.lock();
            if letters.frames.len() + frames.len() > limit {
                return false;
            }
            letters.frames.extend_from_slice(frames);
        }
        self.tell(Signal::Messages);
        true
    }

    /// Waits until the frames that were left are taken, or the connection is gone.
    pub(crate) fn emptied(&self) -> Notified<'_> {
        self.emptied.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listed {
    pub(crate) const fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) const fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// From now on `waker` is woken by a signal.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.mailbox.lock().waker = Some(waker.clone());
    }

    /// The signals that came so far, without taking them.
    pub(crate) fn signals(&mut self) -> Signals {
        let tellings = self.directory.tellings.load(Ordering::Acquire);
        if tellings != self.seen || !self.known.is_empty() {
            self.seen = tellings;
            self.known = Signals(self.mailbox.signals.load(Ordering::Acquire));
        }
        self.known
    }

    /// Takes the frames that were left, and their signal.
    pub(crate) fn take_frames(&self) -> Vec<u8> {
        self.mailbox.signals.fetch_and(!(Signal::Messages as u8), Ordering::AcqRel);
        let frames = mem::take(&mut self.mailbox.lock().frames);
        self.mailbox.emptied.notify_waiters();
        frames
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.directory.lock().connections.remove(&self.id.0);
        self.mailbox.emptied.notify_waiters();
    }
}
