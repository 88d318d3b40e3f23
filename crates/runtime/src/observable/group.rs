//! The items of one key.

use std::{fmt, hash::Hash};

use rxrust::{
    context::SharedCtx, observable::Observable as _, ops::group_by::GroupedObservable,
    subject::InnerSubjectSend,
};

use super::chain::{Later, Rx};

/// The items of one key. It is heard by [`for_each`](Self::for_each) where it is given, and runs in the task of its view. It
/// is no view of its own: whoever wants operators on the items of one key takes the view itself with
/// [`filter`](crate::Observable::filter).
pub struct Group<K, T> {
    key: K,
    items: Rx<T>,
}

type Grouped<K, T> =
    SharedCtx<GroupedObservable<K, InnerSubjectSend<'static, (K, T), std::convert::Infallible>>, Later>;

impl<K: Hash + Eq + Clone + Send + 'static, T: Clone + Send + 'static> Group<K, T> {
    pub(super) fn new(grouped: Grouped<K, T>) -> Self {
        let key = grouped.inner.key.clone();
        let keyed: Rx<(K, T)> = grouped.box_it();
        Self { key, items: rxrust::observable::Observable::map(keyed, |(_, item)| item).box_it() }
    }

    /// What its items have in common.
    pub const fn key(&self) -> &K {
        &self.key
    }

    /// Calls `on_next` with each of its items, the one that began it included, until the view ends.
    ///
    /// A group that nothing is called for when it is given is not heard: its items are dropped.
    pub fn for_each(self, on_next: impl FnMut(T) + Send + 'static) {
        // The chain holds the observer; it goes with the chain.
        let _ = self.items.subscribe(on_next);
    }
}

impl<K: fmt::Debug, T> fmt::Debug for Group<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("key", &self.key).finish_non_exhaustive()
    }
}
