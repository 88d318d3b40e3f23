//! Which places of the state a change takes, and who may take them at the same time.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use serde_json::Value;

use crate::{State, reduce::Reducer};

/// Where two changes can clash: a field of the state, or a key of one that is merged.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Place {
    pub(crate) field: String,
    pub(crate) key: Option<String>,
}

/// How a change takes a place. Changes that take it alike and not alone may do so at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    Alone,
    /// A merged field, by the keys of an object, each of which is a place of its own.
    ByKeys,
    /// A merged field, by a list, which stands for a set.
    ByMembers,
}

impl Hold {
    fn is_shared_with(self, other: Self) -> bool {
        self == other && self != Self::Alone
    }
}

/// The places that an update takes. Fields that any number of changes may join are none.
pub(crate) fn claims<S: State>(update: &Value) -> Vec<(Place, Hold)> {
    let mut claims = Vec::new();
    for (field, value) in update.as_object().into_iter().flatten() {
        let place = |key: Option<&String>| Place { field: field.clone(), key: key.cloned() };
        match (S::reducer(field), value) {
            (Reducer::Replace | Reducer::Function, _) => claims.push((place(None), Hold::Alone)),
            (Reducer::Merge, Value::Object(keys)) => {
                claims.push((place(None), Hold::ByKeys));
                claims.extend(keys.keys().map(|key| (place(Some(key)), Hold::Alone)));
            }
            (Reducer::Merge, Value::Array(_)) => claims.push((place(None), Hold::ByMembers)),
            (Reducer::Merge, _) => claims.push((place(None), Hold::Alone)),
            _ => {}
        }
    }
    claims
}

/// The places that changes at the same time have taken.
#[derive(Debug, Default)]
pub(crate) struct Taken(HashMap<Place, Hold>);

impl Taken {
    /// Takes the places of one more update; if it cannot have one of them too, which.
    pub(crate) fn take<S: State>(&mut self, update: &Value) -> Result<(), Place> {
        for (place, hold) in claims::<S>(update) {
            match self.0.entry(place) {
                Entry::Occupied(held) if !held.get().is_shared_with(hold) => return Err(held.key().clone()),
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => drop(free.insert(hold)),
            }
        }
        Ok(())
    }
}

/// Changes that lie behind branches that come together, and who of them took each place last.
///
/// Each branch brings its whole past, so that of two changes in it that take one place, one lies behind the other: they
/// were looked at when it came together itself. So a change needs to be held against those only that took its places last.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    changes: HashSet<u32>,
    holders: HashMap<u32, Holders>,
}

/// Who took a place last: changes that share it, and those that had it before them.
#[derive(Debug)]
struct Holders {
    hold: Hold,
    last: Vec<u32>,
    before: Vec<u32>,
}

/// Two changes at the same time that take one place.
pub(super) struct Clash {
    pub(super) place: u32,
    pub(super) changes: [u32; 2],
}

impl Meeting {
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether all changes are in `past`, which is sorted.
    pub(super) fn is_within(&self, past: &[u32]) -> bool {
        self.len() <= past.len() && self.changes.iter().all(|change| past.binary_search(change).is_ok())
    }

    /// The changes, in their order.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let mut changes: Vec<_> = self.changes.iter().copied().collect();
        changes.sort_unstable();
        changes
    }

    /// Adds a branch with its past, which is sorted; `claims` tells the places that a change takes.
    pub(super) fn add<'a>(
        &mut self,
        past: &[u32],
        claims: impl Fn(u32) -> &'a [(u32, Hold)],
    ) -> Result<(), Clash> {
        for change in past.iter().copied().filter(|change| self.changes.insert(*change)) {
            for (place, hold) in claims(change) {
                let clash = |other| Clash { place: *place, changes: [other, change] };
                match self.holders.entry(*place) {
                    Entry::Vacant(free) => drop(free.insert(Holders::first(change, *hold))),
                    Entry::Occupied(mut held) => held.get_mut().admit(change, *hold, past).map_err(clash)?,
                }
            }
        }
        Ok(())
    }
}

impl Holders {
    fn first(change: u32, hold: Hold) -> Self {
        Self { hold, last: vec![change], before: Vec::new() }
    }

    /// Lets `change` take the place after those that lie behind it; if one that it cannot share it with does not, which.
    fn admit(&mut self, change: u32, hold: Hold, past: &[u32]) -> Result<(), u32> {
        let shares = self.hold.is_shared_with(hold);
        let others = if shares { &self.before } else { &self.last };
        if let Some(other) = others.iter().find(|other| past.binary_search(other).is_err()) {
            return Err(*other);
        }
        if shares {
            self.last.push(change);
        } else {
            self.before = std::mem::replace(&mut self.last, vec![change]);
            self.hold = hold;
        }
        Ok(())
    }
}
