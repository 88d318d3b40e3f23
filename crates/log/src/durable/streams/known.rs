//! The streams that are known by name, and how many of them each user has.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use streamnest_core::LogName;

use crate::durable::stream::Stream;

/// The streams that take a place: all but executions that have ended.
#[derive(Default)]
pub(super) struct Known {
    by_name: HashMap<LogName, Arc<Stream>>,
    /// How many there are of each user that has some.
    of_owner: HashMap<String, usize>,
}

impl Known {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, name: &LogName) -> Option<&Arc<Stream>> {
        self.by_name.get(name)
    }

    /// Whether this very stream takes a place, and not another of its name.
    pub(super) fn has(&self, stream: &Arc<Stream>) -> bool {
        self.get(stream.name()).is_some_and(|known| Arc::ptr_eq(known, stream))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.by_name.values()
    }

    /// How many the user has who is to have `stream` too; none if that is nobody's.
    pub(super) fn of_owner(&self, stream: &Stream) -> usize {
        let owner = stream.facts().owner.as_ref();
        owner.and_then(|owner| self.of_owner.get(owner)).copied().unwrap_or_default()
    }

    /// Takes in a stream whose name is free.
    pub(super) fn insert(&mut self, stream: Arc<Stream>) {
        let owner = stream.facts().owner.clone();
        if self.by_name.insert(stream.name().clone(), stream).is_none()
            && let Some(owner) = owner
        {
            *self.of_owner.entry(owner).or_default() += 1;
        }
    }

    /// Takes a stream out; whether it was in.
    pub(super) fn remove(&mut self, stream: &Arc<Stream>) -> bool {
        if !self.has(stream) {
            return false;
        }
        self.by_name.remove(stream.name());
        if let Some(owner) = stream.facts().owner.clone()
            && let Entry::Occupied(mut count) = self.of_owner.entry(owner)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        true
    }
}
