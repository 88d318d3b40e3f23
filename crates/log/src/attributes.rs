//! The attributes of a log: what is durable of them, and what is on the way.

use std::collections::VecDeque;

use bytes::Bytes;
use streamnest_core::{AttributeChange, Attributes};

use crate::{Error, LogOptions};

/// The attributes of one log.
#[derive(Debug, Default)]
pub(crate) struct AttributeBook {
    durable: Attributes,
    /// Bytes of the durable keys and values.
    bytes: usize,
    /// Changes that are accepted and not durable yet, one item for each append that had some, in order.
    pending: VecDeque<Vec<AttributeChange>>,
    /// How many appends with changes were accepted.
    accepted: u64,
    /// How many of them are durable; those that were lost never are.
    settled: u64,
}

impl AttributeBook {
    /// The book of a log that was opened with these attributes.
    pub(crate) fn opened(durable: Attributes) -> Self {
        let bytes = durable.iter().map(|(key, value)| key.len() + value.len()).sum();
        Self { durable, bytes, pending: VecDeque::new(), accepted: 0, settled: 0 }
    }

    /// Whether `changes` keep to the bounds. What is pending counts as if nothing of it replaced anything.
    pub(crate) fn check(&self, changes: &[AttributeChange], options: &LogOptions) -> Result<(), Error> {
        let added = || self.pending.iter().flatten().chain(changes).filter(|change| change.value.is_some());
        if !changes.iter().any(|change| change.value.is_some()) {
            return Ok(());
        }
        let new = added().filter(|change| !self.durable.contains_key(&change.key)).count();
        if self.durable.len() + new > options.max_attributes {
            return Err(Error::TooManyAttributes { limit: options.max_attributes });
        }
        let replaced = |change: &AttributeChange| {
            self.durable.get(&change.key).map_or(0, |old| change.key.len() + old.len())
        };
        let bytes: usize = added().map(|change| weight(change).saturating_sub(replaced(change))).sum();
        if bytes > 0 && self.bytes + bytes > options.max_attribute_bytes {
            return Err(Error::AttributesTooLarge { limit: options.max_attribute_bytes });
        }
        Ok(())
    }

    /// Takes changes that the store has accepted. Returns how many appends with changes there were.
    pub(crate) fn accept(&mut self, changes: Vec<AttributeChange>) -> u64 {
        self.pending.push_back(changes);
        self.accepted += 1;
        self.accepted
    }

    /// How many appends with changes were accepted.
    pub(crate) const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many of them are durable.
    pub(crate) const fn settled(&self) -> u64 {
        self.settled
    }

    /// The first `count` appends with changes are durable. Returns the bytes of the changes that became so.
    pub(crate) fn settle(&mut self, count: u64) -> usize {
        let mut bytes = 0;
        while self.settled < count {
            let Some(changes) = self.pending.pop_front() else { break };
            self.settled += 1;
            for change in changes {
                bytes += weight(&change);
                let old = self.durable.get(&change.key).map_or(0, |old| change.key.len() + old.len());
                let new = if change.value.is_some() { weight(&change) } else { 0 };
                self.bytes = self.bytes + new - old;
                change.apply(&mut self.durable);
            }
        }
        bytes
    }

    /// Lets go what is not durable.
    pub(crate) fn clear_pending(&mut self) {
        self.pending.clear();
    }

    /// A durable attribute.
    pub(crate) fn durable(&self, key: &str) -> Option<&Bytes> {
        self.durable.get(key)
    }

    /// An attribute as it was accepted last.
    pub(crate) fn newest(&self, key: &str) -> Option<&Bytes> {
        let mut pending = self.pending.iter().rev().flat_map(|changes| changes.iter().rev());
        match pending.find(|change| change.key.as_str() == key) {
            Some(change) => change.value.as_ref(),
            None => self.durable.get(key),
        }
    }

    /// How many attributes whose keys begin with `prefix` were accepted last.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let pending = self.pending.iter().flatten().filter(|change| change.key.starts_with(prefix));
        let mut changed: Vec<_> = pending.map(|change| &change.key).collect();
        changed.sort_unstable();
        changed.dedup();
        let is_set = |key: &str| usize::from(self.newest(key).is_some());
        let was_set = |key: &str| usize::from(self.durable.contains_key(key));
        let durable = self.durable.with_prefix(prefix).count();
        let (gained, lost) =
            changed.iter().fold((0, 0), |(gained, lost), key| (gained + is_set(key), lost + was_set(key)));
        durable + gained - lost
    }

    /// The durable attributes whose keys begin with `prefix`.
    pub(crate) fn with_prefix(&self, prefix: &str) -> Attributes {
        self.durable.with_prefix(prefix).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// The bytes of a change's key and value.
pub(crate) fn weight(change: &AttributeChange) -> usize {
    change.key.len() + change.value.as_ref().map_or(0, Bytes::len)
}
