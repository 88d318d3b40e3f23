//! A bounded map in which nobody takes what is somebody else's.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    time::Duration,
};

use tokio::time::Instant;

/// Values by key, each of one owner, so many at most and for so long.
///
/// Once it is full, whoever owns most gives up its oldest for a new one. So an owner that fills it loses only what is its own, and
/// one that has little keeps it.
pub(crate) struct Shares<O, V> {
    limit: usize,
    ttl: Duration,
    held: HashMap<Box<str>, Held<O, V>>,
    /// What each owner has, oldest first, by number.
    owned: HashMap<O, BTreeMap<u64, Box<str>>>,
    /// Who has how many; the last has most.
    ranks: BTreeMap<usize, HashSet<O>>,
    /// All, oldest first.
    ages: BTreeMap<u64, (Instant, Box<str>)>,
    next: u64,
}

struct Held<O, V> {
    number: u64,
    owner: O,
    value: V,
}

impl<O: Clone + Eq + Hash, V> Shares<O, V> {
    /// Holds `limit` at most, each for `ttl`.
    pub(crate) fn new(limit: usize, ttl: Duration) -> Self {
        let (held, owned, ranks, ages) = Default::default();
        Self { limit, ttl, held, owned, ranks, ages, next: 0 }
    }

    /// How long it holds each.
    pub(crate) const fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.expire();
        self.held.get_mut(key).map(|held| &mut held.value)
    }

    /// Puts `value` where nothing is under `key`.
    pub(crate) fn insert(&mut self, owner: O, key: Box<str>, value: V) {
        self.expire();
        self.remove(&key);
        if self.held.len() >= self.limit {
            self.make_room();
        }
        let number = self.next;
        self.next += 1;
        self.ages.insert(number, (Instant::now(), key.clone()));
        self.change(&owner, |owned| {
            owned.insert(number, key.clone());
        });
        self.held.insert(key, Held { number, owner, value });
    }

    /// Removes what has not expired.
    pub(crate) fn take(&mut self, key: &str) -> Option<V> {
        self.expire();
        self.remove(key)
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<V> {
        let Held { number, owner, value } = self.held.remove(key)?;
        self.ages.remove(&number);
        self.change(&owner, |owned| {
            owned.remove(&number);
        });
        Some(value)
    }

    fn expire(&mut self) {
        while let Some((_, (since, key))) = self.ages.first_key_value()
            && since.elapsed() >= self.ttl
        {
            let key = key.clone();
            self.remove(&key);
        }
    }

    /// Drops the oldest of whoever owns most.
    fn make_room(&mut self) {
        let most = self.ranks.last_key_value().and_then(|(_, owners)| owners.iter().next());
        let oldest = most.and_then(|owner| self.owned.get(owner)).and_then(|owned| owned.first_key_value());
        if let Some(key) = oldest.map(|(_, key)| key.clone()) {
            self.remove(&key);
        }
    }

    /// Changes what `owner` has, and its rank with it.
    fn change(&mut self, owner: &O, change: impl FnOnce(&mut BTreeMap<u64, Box<str>>)) {
        let owned = self.owned.entry(owner.clone()).or_default();
        let before = owned.len();
        change(owned);
        let after = owned.len();
        if after == 0 {
            self.owned.remove(owner);
        }
        if let Some(rank) = self.ranks.get_mut(&before) {
            rank.remove(owner);
            if rank.is_empty() {
                self.ranks.remove(&before);
            }
        }
        if after > 0 {
            self.ranks.entry(after).or_default().insert(owner.clone());
        }
    }
}

#[cfg(test)]
mod tests;
