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
pub(crate) enum Line {
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
    /// Enters a connection. Of WebSockets over `limit` the oldest is told to leave, for a user who comes again is rather there
    /// than where it was; an event stream over the limit is refused, for it would come back at once.
    pub(crate) fn enter(
        self: &Arc<Self>,
        principal: Arc<Principal>,
        line: Line,
        limit: usize,
    ) -> Option<Present> {
        let mut inner = self.lock();
        inner.next += 1;
        let number = inner.next;
        let key = principal.key();
        let key = inner.people.get_key_value(&*key).map_or_else(|| key.into(), |(known, _)| known.clone());
        let present = inner.people.entry(key.clone()).or_default();
        let is_alike = |one: &Presence| one.line.is_socket() == line.is_socket();
        if present.iter().filter(|one| is_alike(one)).count() >= limit {
            if !line.is_socket() {
                return None;
            }
            if let Some(at) = present.iter().position(is_alike) {
                present.remove(at).line.tell(Signal::Replaced);
            }
        }
        present.push(Presence { number, principal, line });
        Some(Present { people: self.clone(), key, number })
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
