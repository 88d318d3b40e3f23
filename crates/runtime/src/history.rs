//! The state of a run whose branches run at the same time.
//!
//! A visit sees the changes that lie behind it in its branch, and nothing else, so that what it sees does not depend on
//! which branch is faster. Where branches meet, their changes are put together in one order: as if all visits of one depth
//! had been one step of the run, their changes applied in the order of the nodes. Changes of two branches to one field are
//! a [`Conflict`] unless the field's reducer joins them.
//!
//! While there is one branch only, changes go straight into the one state, and nothing is kept of them.

mod claims;

use std::{collections::HashMap, mem, sync::Arc};

use serde_json::Value;

pub(crate) use self::claims::Taken;
use self::claims::{Clash, Hold, Meeting, Place, claims};
use crate::{State, graph::NodeIndex};

/// The state as one branch sees it.
#[derive(Clone, Debug)]
pub(crate) struct Version<S> {
    pub(crate) state: Arc<S>,
    /// The changes behind it, by number, in order.
    past: Vec<u32>,
    /// The length of the longest chain of visits behind it.
    depth: u32,
}

/// Changes that are to be applied to the state before them. That is the user's code, which is not run while the history is
/// locked: so they are taken out first.
#[must_use]
pub(crate) struct Replay<S: State> {
    base: Arc<S>,
    /// Of each visit, in order.
    updates: Vec<Arc<[S::Update]>>,
}

impl<S: State> Replay<S> {
    /// The state after them.
    pub(crate) fn state(self) -> Arc<S> {
        if self.updates.is_empty() {
            return self.base;
        }
        let mut state = S::clone(&self.base);
        let updates = self.updates.iter().flat_map(|updates| updates.iter());
        updates.for_each(|update| state.apply(update.clone()));
        Arc::new(state)
    }
}

/// What a visit begins with.
pub(crate) struct Opened<S: State> {
    version: Version<S>,
    /// The changes of the branches that have met here.
    met: Option<Replay<S>>,
}

impl<S: State> Opened<S> {
    /// The version that the visit sees.
    pub(crate) fn version(self) -> Version<S> {
        match self.met {
            Some(met) => Version { state: met.state(), ..self.version },
            None => self.version,
        }
    }
}

/// Two nodes that changed one field at the same time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Conflict {
    pub(crate) first: NodeIndex,
    pub(crate) second: NodeIndex,
    pub(crate) field: String,
    /// The key, if both set the same one of a field that is merged by key.
    pub(crate) key: Option<String>,
}

/// What one visit changed.
struct Change<S: State> {
    depth: u32,
    node: NodeIndex,
    number: u32,
    updates: Arc<[S::Update]>,
    /// The places of the state that it takes, by number.
    claims: Vec<(u32, Hold)>,
}

/// The changes of one run since there was one branch only.
pub(crate) struct History<S: State> {
    /// The state before them.
    base: Arc<S>,
    changes: Vec<Change<S>>,
    places: HashMap<Place, u32>,
    /// What lies behind the branches that have ended.
    ended: Meeting,
    /// Whether one visit is all that is left of the run.
    single: bool,
}

impl<S: State> History<S> {
    pub(crate) fn new(state: S) -> Self {
        let (base, ended) = (Arc::new(state), Meeting::default());
        Self { base, changes: Vec::new(), places: HashMap::new(), ended, single: true }
    }

    /// The version with which the run begins.
    pub(crate) fn begin(&self) -> Arc<Version<S>> {
        Arc::new(Version { state: self.base.clone(), past: Vec::new(), depth: 0 })
    }

    /// Says whether one visit is all that is left of the run.
    pub(crate) const fn set_single(&mut self, single: bool) {
        self.single = single;
    }

    /// The version that a visit sees to which `tokens` came.
    pub(crate) fn open(&self, mut tokens: Vec<Arc<Version<S>>>) -> Result<Opened<S>, Conflict> {
        let alone = |version| Opened { version: Arc::unwrap_or_clone(version), met: None };
        // What is longest may be all of it.
        let longest = (0..tokens.len()).max_by_key(|token| tokens.get(*token).map(|token| token.past.len()));
        let Some(longest) = longest else { return Ok(alone(self.begin())) };
        let longest = tokens.swap_remove(longest);
        if tokens.is_empty() {
            return Ok(alone(longest));
        }
        let depth = tokens.iter().fold(longest.depth, |depth, token| depth.max(token.depth));
        let mut meeting = Meeting::default();
        for token in [&longest].into_iter().chain(&tokens) {
            self.meet(&mut meeting, &token.past)?;
        }
        drop(tokens);
        let mut joined = Arc::unwrap_or_clone(longest);
        joined.depth = depth;
        if meeting.len() > joined.past.len() {
            joined.past = meeting.sorted();
            let met = Some(self.replay(&joined.past));
            return Ok(Opened { version: joined, met });
        }
        Ok(Opened { version: joined, met: None })
    }

    /// Changes the version of a visit as it said, in Rust and, for those who look at what clashes, in JSON; the branch goes on
    /// with what is returned.
    pub(crate) fn close(
        &mut self,
        mut version: Version<S>,
        (node, number): (NodeIndex, u32),
        updates: Vec<S::Update>,
        json: &[Value],
    ) -> Version<S> {
        version.depth += 1;
        if self.single && self.ended.is_within(&version.past) {
            // Nobody else will ever meet this branch: it is the whole run.
            self.changes.clear();
            self.places.clear();
            self.ended = Meeting::default();
            version.past.clear();
            self.base = version.state;
            if !updates.is_empty() {
                // Changed in place, unless somebody holds a snapshot.
                let state = Arc::make_mut(&mut self.base);
                updates.into_iter().for_each(|update| state.apply(update));
            }
            version.state = self.base.clone();
            return version;
        }
        if !updates.is_empty() {
            let state = Arc::make_mut(&mut version.state);
            updates.iter().for_each(|update| state.apply(update.clone()));
            version.past.push(u32::try_from(self.changes.len()).unwrap_or(u32::MAX));
            let claims =
                json.iter().flat_map(claims::<S>).map(|(place, hold)| (self.number(place), hold)).collect();
            self.changes.push(Change { depth: version.depth, node, number, updates: updates.into(), claims });
        }
        version
    }

    fn number(&mut self, place: Place) -> u32 {
        let next = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        *self.places.entry(place).or_insert(next)
    }

    /// A branch has ended with `version`.
    pub(crate) fn end(&mut self, version: &Version<S>) -> Result<(), Conflict> {
        let mut ended = mem::take(&mut self.ended);
        let met = self.meet(&mut ended, &version.past);
        self.ended = ended;
        met
    }

    /// What the run has come to.
    pub(crate) fn result(&self) -> Replay<S> {
        self.replay(&self.ended.sorted())
    }

    /// All changes so far, also those of branches that have not met.
    pub(crate) fn snapshot(&self) -> Replay<S> {
        let all: Vec<u32> = (0..self.changes.len()).filter_map(|change| u32::try_from(change).ok()).collect();
        self.replay(&all)
    }

    /// A branch with this past comes to those that have met.
    fn meet(&self, meeting: &mut Meeting, past: &[u32]) -> Result<(), Conflict> {
        let claims = |change: u32| self.changes.get(change as usize).map_or(&[][..], |change| &change.claims);
        meeting.add(past, claims).map_err(|Clash { place, changes }| {
            let nodes =
                changes.map(|change| self.changes.get(change as usize).map_or(0, |change| change.node));
            let place = self.places.iter().find_map(|(key, number)| (*number == place).then(|| key.clone()));
            let Place { field, key } = place.unwrap_or_default();
            let [first, second] = nodes;
            Conflict { first: first.min(second), second: first.max(second), field, key }
        })
    }

    fn replay(&self, past: &[u32]) -> Replay<S> {
        let mut changes: Vec<_> =
            past.iter().filter_map(|number| self.changes.get(*number as usize)).collect();
        changes.sort_by_key(|change| (change.depth, change.node, change.number));
        let updates = changes.into_iter().map(|change| change.updates.clone()).collect();
        Replay { base: self.base.clone(), updates }
    }
}

#[cfg(test)]
mod tests;
