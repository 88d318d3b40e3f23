//! The state of a run whose branches run at the same time.
//!
//! A visit sees the changes that lie behind it in its branch, and nothing else, so that what it sees does not depend on
//! which branch is faster. Where branches meet, their changes are put together in one order: as if all visits of one depth
//! had been one step of the run, their changes applied in the order of the nodes. Changes of two branches to one field are
//! a [`Conflict`] unless the field's reducer joins them.
//!
//! While there is one branch only, changes go straight into the one state, and nothing is kept of them.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    State,
    graph::NodeIndex,
    reduce::{self, Reducer},
};

/// The state as one branch sees it.
#[derive(Clone, Debug)]
pub(crate) struct Version<S> {
    pub(crate) state: Arc<S>,
    /// The changes behind it, by number, in order.
    past: Vec<u32>,
    /// The length of the longest chain of visits behind it.
    depth: u32,
}

/// An update, and the same as JSON.
pub(crate) struct Update<S: State> {
    pub(crate) update: S::Update,
    pub(crate) json: Value,
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
    updates: Vec<Update<S>>,
}

/// The changes of one run since there was one branch only.
pub(crate) struct History<S: State> {
    /// The state before them.
    base: Arc<S>,
    changes: Vec<Change<S>>,
    /// What lies behind the branches that have ended.
    ended: Vec<u32>,
    /// Whether one visit is all that is left of the run.
    single: bool,
}

impl<S: State> History<S> {
    pub(crate) fn new(state: S) -> Self {
        Self { base: Arc::new(state), changes: Vec::new(), ended: Vec::new(), single: true }
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
    pub(crate) fn open(&self, tokens: Vec<Arc<Version<S>>>) -> Result<Version<S>, Conflict> {
        let mut tokens = tokens.into_iter();
        let Some(first) = tokens.next() else { return Ok(Arc::unwrap_or_clone(self.begin())) };
        let mut joined = Arc::unwrap_or_clone(first);
        let mut known = true;
        for token in tokens {
            joined.depth = joined.depth.max(token.depth);
            let past = self.join(&joined.past, &token.past)?;
            if past.len() == token.past.len() {
                (joined.state, known) = (token.state.clone(), true);
            } else if past.len() != joined.past.len() {
                known = false;
            }
            joined.past = past;
        }
        if !known {
            joined.state = Arc::new(self.replay(&joined.past));
        }
        Ok(joined)
    }

    /// Changes the version of a visit as it said; the branch goes on with what is returned.
    pub(crate) fn close(
        &mut self,
        mut version: Version<S>,
        (node, number): (NodeIndex, u32),
        updates: Vec<Update<S>>,
    ) -> Version<S> {
        version.depth += 1;
        if self.single && contains(&version.past, &self.ended) {
            // Nobody else will ever meet this branch: it is the whole run.
            self.changes.clear();
            self.ended.clear();
            version.past.clear();
            self.base = version.state;
            if !updates.is_empty() {
                // Changed in place, unless somebody holds a snapshot.
                let state = Arc::make_mut(&mut self.base);
                updates.into_iter().for_each(|update| state.apply(update.update));
            }
            version.state = self.base.clone();
            return version;
        }
        if !updates.is_empty() {
            let state = Arc::make_mut(&mut version.state);
            updates.iter().for_each(|update| state.apply(update.update.clone()));
            version.past.push(u32::try_from(self.changes.len()).unwrap_or(u32::MAX));
            self.changes.push(Change { depth: version.depth, node, number, updates });
        }
        version
    }

    /// A branch has ended with `version`.
    pub(crate) fn end(&mut self, version: &Version<S>) -> Result<(), Conflict> {
        self.ended = self.join(&self.ended, &version.past)?;
        Ok(())
    }

    /// The state in which the run has ended.
    pub(crate) fn result(&self) -> Arc<S> {
        if self.ended.is_empty() { self.base.clone() } else { Arc::new(self.replay(&self.ended)) }
    }

    /// The state with all changes so far, also those of branches that have not met.
    pub(crate) fn snapshot(&self) -> Arc<S> {
        if self.changes.is_empty() {
            return self.base.clone();
        }
        let all: Vec<u32> = (0..self.changes.len()).filter_map(|change| u32::try_from(change).ok()).collect();
        Arc::new(self.replay(&all))
    }

    /// All changes behind either of two branches.
    fn join(&self, first: &[u32], second: &[u32]) -> Result<Vec<u32>, Conflict> {
        if contains(first, second) {
            return Ok(first.to_vec());
        }
        if contains(second, first) {
            return Ok(second.to_vec());
        }
        let only_first: Vec<_> = self.changes_in(first, second).collect();
        for theirs in self.changes_in(second, first) {
            for ours in &only_first {
                if let Some((field, key)) = clash(ours, theirs) {
                    let (ours, theirs) = (ours.node, theirs.node);
                    let (first, second) = (ours.min(theirs), ours.max(theirs));
                    return Err(Conflict { first, second, field, key });
                }
            }
        }
        let mut all = [first, second].concat();
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// The changes of `past` that are not in `other`, in the order in which they are applied.
    fn changes_in(&self, past: &[u32], other: &[u32]) -> impl Iterator<Item = &Change<S>> {
        let numbers = past.iter().filter(|number| other.binary_search(number).is_err());
        let mut changes: Vec<_> = numbers.filter_map(|number| self.changes.get(*number as usize)).collect();
        changes.sort_by_key(|change| (change.depth, change.node, change.number));
        changes.into_iter()
    }

    fn replay(&self, past: &[u32]) -> S {
        let mut state = S::clone(&self.base);
        for change in self.changes_in(past, &[]) {
            change.updates.iter().for_each(|update| state.apply(update.update.clone()));
        }
        state
    }
}

/// Whether all of `inner` is in `outer`. Both are sorted.
fn contains(outer: &[u32], inner: &[u32]) -> bool {
    inner.len() <= outer.len() && inner.iter().all(|number| outer.binary_search(number).is_ok())
}

/// The first field that two changes cannot both change.
fn clash<S: State>(first: &Change<S>, second: &Change<S>) -> Option<(String, Option<String>)> {
    let pairs = first.updates.iter().flat_map(|a| second.updates.iter().map(move |b| (a, b)));
    pairs.into_iter().find_map(|(a, b)| clash_of::<S>(&a.json, &b.json))
}

/// The first field that two updates cannot both change, and the key within it.
pub(crate) fn clash_of<S: State>(first: &Value, second: &Value) -> Option<(String, Option<String>)> {
    let (first, second) = (first.as_object()?, second.as_object()?);
    first.iter().find_map(|(field, a)| {
        let b = second.get(field)?;
        match S::reducer(field) {
            Reducer::Replace | Reducer::Function => Some((field.clone(), None)),
            Reducer::Merge => reduce::common_key(a, b).map(|key| (field.clone(), Some(key))),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests;
