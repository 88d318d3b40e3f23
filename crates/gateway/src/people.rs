//! Who is connected, by the name of each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use crate::{
    Principal,
    directory::{Mailbox, Signal},
};

/// Everyone who is connected under a name.
#[derive(Default)]
pub(crate) struct People(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    // Bounded by `GatewayOptions::max_connections`.
    people: HashMap<Arc<str>, Vec<Presence>>,
    next: u64,
}

/// One connection of somebody. The oldest of each stands first.
struct Presence {
    number: u64,
    principal: Arc<Principal>,
    line: Line,
}

/// How a connection is reached.
enum Line {
    /// A WebSocket.
    Socket(Arc<Mailbox>),
    /// An event stream, which just ends.
    Stream(CancellationToken),
}

/// The entry of one connection; it ends when this is dropped.
pub(crate) struct Present {
    people: Arc<People>,
    key: Arc<str>,
    number: u64,
}

impl People {
    /// Enters a WebSocket. Of more than `limit` the oldest is told to leave, for a user who comes again is rather there than where it
    /// was.
    pub(crate) fn enter_socket(
        self: &Arc<Self>,
        principal: Arc<Principal>,
        mailbox: Arc<Mailbox>,
        limit: usize,
    ) -> Present {
        let mut inner = self.lock();
        if let Some(present) = inner.people.get_mut(&*principal.key())
            && present.iter().filter(|one| one.line.is_socket()).count() >= limit
            && let Some(oldest) = present.iter().position(|one| one.line.is_socket())
        {
            present.remove(oldest).line.tell(Signal::Replaced);
        }
        self.add(inner, principal, Line::Socket(mailbox))
    }

    /// Enters an event stream; `None` if there are `limit`, for one that is told to leave would come back at once.
    pub(crate) fn enter_stream(
        self: &Arc<Self>,
        principal: Arc<Principal>,
        stop: CancellationToken,
        limit: usize,
    ) -> Option<Present> {
        let inner = self.lock();
        let present = inner.people.get(&*principal.key());
        let streams = present.map_or(0, |all| all.iter().filter(|one| !one.line.is_socket()).count());
        (streams < limit).then(|| self.add(inner, principal, Line::Stream(stop)))
    }

    fn add(
        self: &Arc<Self>,
        mut inner: MutexGuard<'_, Inner>,
        principal: Arc<Principal>,
        line: Line,
    ) -> Present {
        inner.next += 1;
        let number = inner.next;
        let key = principal.key();
        let key = inner.people.get_key_value(&*key).map_or_else(|| key.into(), |(known, _)| known.clone());
        inner.people.entry(key.clone()).or_default().push(Presence { number, principal, line });
        Present { people: self.clone(), key, number }
    }

    /// Ends the connections of everyone whom `concerns` is about; how many those are.
    pub(crate) fn expel(&self, concerns: impl Fn(&Principal) -> bool) -> usize {
        let inner = self.lock();
        let expelled = inner.people.values().flatten().filter(|presence| concerns(&presence.principal));
        expelled.map(|presence| presence.line.tell(Signal::Revoked)).count()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().people.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    const fn is_socket(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    fn tell(&self, signal: Signal) {
        match self {
            Self::Socket(mailbox) => mailbox.tell(signal),
            Self::Stream(stop) => stop.cancel(),
        }
    }
}

impl Present {
    /// Goes on with a new token of the same principal.
    pub(crate) fn renew(&self, principal: Arc<Principal>) {
        let mut inner = self.people.lock();
        let present = inner.people.get_mut(&self.key);
        let mine = present.and_then(|all| all.iter_mut().find(|one| one.number == self.number));
        if let Some(mine) = mine {
            mine.principal = principal;
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut inner = self.people.lock();
        let Some(present) = inner.people.get_mut(&self.key) else { return };
        present.retain(|one| one.number != self.number);
        if present.is_empty() {
            inner.people.remove(&self.key);
        }
    }
}
