//! What can be put behind a view.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rxrust::observable::Observable as _;

use super::{
    Batching, Group, Observable,
    chain::Rx,
    group::{Groups, Sorted},
    stage::{Activity, Batches, Debounce, Sample, staged},
};

/// Operators. Each subscription has its own copy of the functions that are given to them, so that what a function keeps
/// is kept for one subscription.
impl<T: Send + 'static> Observable<T> {
    /// Puts an operator of rxrust behind this.
    fn then<U: Send + 'static>(
        &self,
        operator: impl Fn(Rx<T>) -> Rx<U> + Send + Sync + 'static,
    ) -> Observable<U> {
        let source = self.assemble.clone();
        Observable::new(move |assembly| operator(source(assembly)))
    }

    /// The items that `keep` is true of.
    #[must_use]
    pub fn filter(&self, keep: impl FnMut(&T) -> bool + Clone + Send + Sync + 'static) -> Self {
        self.then(move |rx| rx.filter(keep.clone()).box_it())
    }

    /// What `f` makes of each item.
    #[must_use]
    pub fn map<U: Send + 'static>(
        &self,
        f: impl FnMut(T) -> U + Clone + Send + Sync + 'static,
    ) -> Observable<U> {
        self.then(move |rx| rxrust::observable::Observable::map(rx, f.clone()).box_it())
    }

    /// What `f` makes of the items that it makes something of.
    #[must_use]
    pub fn filter_map<U: Send + 'static>(
        &self,
        f: impl FnMut(T) -> Option<U> + Clone + Send + Sync + 'static,
    ) -> Observable<U> {
        self.then(move |rx| rxrust::observable::Observable::filter_map(rx, f.clone()).box_it())
    }

    /// What `f` has made of all items so far, for each item: begins with `initial`, which is not yielded itself.
    #[must_use]
    pub fn scan<U: Clone + Send + Sync + 'static>(
        &self,
        initial: U,
        f: impl FnMut(U, T) -> U + Clone + Send + Sync + 'static,
    ) -> Observable<U> {
        self.then(move |rx| rxrust::observable::Observable::scan(rx, initial.clone(), f.clone()).box_it())
    }

    /// Shows each item to `look` as it passes.
    #[must_use]
    pub fn tap(&self, look: impl FnMut(&T) + Clone + Send + Sync + 'static) -> Self {
        self.then(move |rx| rx.tap(look.clone()).box_it())
    }

    /// The first `count` items; then it ends.
    #[must_use]
    pub fn take(&self, count: usize) -> Self {
        self.then(move |rx| rx.take(count).box_it())
    }

    /// The items before the first one that `keep` is false of; then it ends.
    #[must_use]
    pub fn take_while(&self, keep: impl FnMut(&T) -> bool + Clone + Send + Sync + 'static) -> Self {
        self.then(move |rx| rx.take_while(keep.clone()).box_it())
    }

    /// The items after the first `count`.
    #[must_use]
    pub fn skip(&self, count: usize) -> Self {
        self.then(move |rx| rx.skip(count).box_it())
    }

    /// The items of this and of `other` as they come. It ends when both have.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let (one, other) = (self.assemble.clone(), other.assemble.clone());
        Self::new(move |assembly| {
            let one = one(assembly);
            one.merge(other(assembly)).box_it()
        })
    }

    /// The items whose key is none of the last `window` different ones. What is remembered is bounded by that; a key
    /// that is older than the window counts as new.
    #[must_use]
    pub fn distinct<K: Hash + Eq + Clone + Send + Sync + 'static>(
        &self,
        window: usize,
        key: impl FnMut(&T) -> K + Clone + Send + Sync + 'static,
    ) -> Self {
        self.then(move |rx| {
            let (mut key, mut known, mut order) = (key.clone(), HashSet::new(), VecDeque::new());
            rx.filter(move |item: &T| {
                let key = key(item);
                if !known.insert(key.clone()) {
                    return false;
                }
                order.push_back(key);
                if order.len() > window.max(1)
                    && let Some(oldest) = order.pop_front()
                {
                    known.remove(&oldest);
                }
                true
            })
            .box_it()
        })
    }

    /// Items in batches, each full as `batching` says. The last one is yielded however full it is, also when the source
    /// broke.
    #[must_use]
    pub fn batches(&self, batching: Batching) -> Observable<Vec<T>> {
        let batching = Batching { max_items: batching.max_items.max(1), ..batching };
        let source = self.assemble.clone();
        Observable::new(move |assembly| {
            let rx = source(assembly);
            staged(assembly, rx, Batches::new(batching))
        })
    }

    /// The newest item once nothing has come for `quiet`, and the last one at the end. What came between is left out by
    /// intent; to lose nothing use [`batches`](Self::batches).
    #[must_use]
    pub fn debounce(&self, quiet: Duration) -> Self {
        let source = self.assemble.clone();
        Self::new(move |assembly| {
            let rx = source(assembly);
            staged(assembly, rx, Debounce { quiet, newest: None, due: None })
        })
    }

    /// The first item at once, then the newest one at most every `every`, and the last one. What came between is left
    /// out by intent: for a display that need not show every step.
    #[must_use]
    pub fn sample(&self, every: Duration) -> Self {
        let source = self.assemble.clone();
        Self::new(move |assembly| {
            let rx = source(assembly);
            staged(assembly, rx, Sample { every, newest: None, closed_until: None })
        })
    }
}

/// Operators that let everything pass.
impl<T: Send + 'static> Observable<T> {
    /// Every item, and beside them: calls `on_change` with `true` before the first one, with `false` once nothing has come for
    /// `quiet` and at the end, with `true` before the next one, and so on.
    #[must_use]
    pub fn activity(
        &self,
        quiet: Duration,
        on_change: impl FnMut(bool) + Clone + Send + Sync + 'static,
    ) -> Self {
        let source = self.assemble.clone();
        Self::new(move |assembly| {
            let (rx, on_change) = (source(assembly), on_change.clone());
            staged(assembly, rx, Activity { quiet, on_change, active: false, due: None })
        })
    }
}

impl<T: Clone + PartialEq + Send + 'static> Observable<T> {
    /// The items that differ from the one before.
    #[must_use]
    pub fn distinct_until_changed(&self) -> Self {
        self.then(|rx| rx.distinct_until_changed().box_it())
    }
}

impl<T: Clone + Send + 'static> Observable<T> {
    /// Each item with the one before, from the second one on.
    #[must_use]
    pub fn pairwise(&self) -> Observable<(T, T)> {
        self.then(|rx| rx.pairwise().box_it())
    }

    /// Items by their keys: one [`Group`] for each key, when its first item comes. No item is lost however the groups are read,
    /// as long as each is heard or dropped when it is given.
    ///
    /// When there are more than `max_groups` keys the view ends with [`ViewError::TooManyGroups`](super::ViewError).
    #[must_use]
    pub fn group_by<K: Hash + Eq + Clone + Send + Sync + 'static>(
        &self,
        max_groups: usize,
        key: impl FnMut(&T) -> K + Clone + Send + Sync + 'static,
    ) -> Observable<Group<K, T>> {
        let source = self.assemble.clone();
        Observable::new(move |assembly| {
            let rx = source(assembly);
            let mut groups = Groups::new(max_groups, key.clone(), assembly.fault.clone());
            let sorted = rxrust::observable::Observable::map(rx, move |item: T| groups.sort(item));
            let bounded = sorted.take_while(|sorted| !matches!(sorted, Sorted::Ends));
            let begun = |sorted| match sorted {
                Sorted::Begins(group) => Some(group),
                Sorted::Joins | Sorted::Ends => None,
            };
            rxrust::observable::Observable::filter_map(bounded, begun).box_it()
        })
    }
}

/// Whether something has happened, for one subscription.
#[derive(Default)]
pub(super) struct Once(AtomicBool);

impl Once {
    /// Whether this is the first time.
    pub(super) fn is_first(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}
