//! How fast a run speaks.

use streamnest_core::{Class, Entry, Timestamp, payload::StatusUpdate};

/// When a run said what, from its entries: a few numbers, kept as they become visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Pace {
    /// The time of its first entry.
    pub begun: Timestamp,
    /// The time of its first token.
    pub first_token: Option<Timestamp>,
    /// The time of its last token so far.
    pub last_token: Timestamp,
    /// How many entries of tokens there are; each holds one token or several that were joined.
    pub token_entries: u64,
}

/// Hears of runs that end. It is called under a log's lock, so it must be quick and must not look at logs.
pub trait RunObserver: Send + Sync + 'static {
    /// A run ended at `ended`, as `last` says. Runs that an earlier process began are not told: those that
    /// had entries when their logs were opened, and those whose first entry is their last.
    fn ended(&self, last: &StatusUpdate, ended: Timestamp, pace: &Pace);
}

impl Pace {
    pub(crate) const fn new(begun: Timestamp) -> Self {
        Self { begun, first_token: None, last_token: begun, token_entries: 0 }
    }

    /// Takes an entry that became visible.
    pub(crate) fn take(&mut self, entry: &Entry) {
        if entry.event().class() == Class::Token {
            self.token_entries += 1;
            self.last_token = entry.time();
            self.first_token.get_or_insert(self.last_token);
        }
    }
}
