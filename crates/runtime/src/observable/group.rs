//! The items of one key.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::Hash,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    ViewError,
    chain::{Fault, lock},
};

/// Items that the groups of one subscription keep together until they are heard. A read of a source gives 256 at most, so
/// whoever hears a group when it is given, by a subscriber, behind operators or from a stream, is far from it.
const MAX_UNHEARD: usize = 4_096;

/// The items of one key. They are heard by [`for_each`](Self::for_each), in the order in which they came, the first one
/// included.
///
/// What comes before that is kept, wherever the group is meanwhile: in a batch, in a stream, in a list. All groups of one
/// subscription keep 4,096 items together; one more ends the view with [`ViewError::UnheardGroups`]. A group that is
/// dropped is heard by nobody, and keeps nothing.
///
/// Its items come as the view of the groups is driven: by its task, or by whoever polls its stream. It is no view of its
/// own: whoever wants operators on the items of one key takes the view itself with
/// [`filter`](crate::Observable::filter).
pub struct Group<K, T> {
    key: K,
    ear: Arc<Mutex<Ear<T>>>,
    unheard: Arc<AtomicUsize>,
}

/// Who hears the items of one key.
enum Ear<T> {
    /// Nobody yet.
    Waiting(VecDeque<T>),
    /// The function that was given.
    Hears(Box<dyn FnMut(T) + Send>),
    /// Nobody ever.
    Gone,
}

impl<K, T> Group<K, T> {
    /// What its items have in common.
    pub const fn key(&self) -> &K {
        &self.key
    }

    /// Calls `on_next` with each of its items until the view ends: those that came already now, and the others as they come.
    pub fn for_each(self, mut on_next: impl FnMut(T) + Send + 'static) {
        let mut ear = lock(&self.ear);
        if let Ear::Waiting(items) = &mut *ear {
            self.unheard.fetch_sub(items.len(), Ordering::Relaxed);
            mem::take(items).into_iter().for_each(&mut on_next);
        }
        *ear = Ear::Hears(Box::new(on_next));
    }
}

impl<K, T> Drop for Group<K, T> {
    fn drop(&mut self) {
        let mut ear = lock(&self.ear);
        if let Ear::Waiting(items) = &*ear {
            self.unheard.fetch_sub(items.len(), Ordering::Relaxed);
            *ear = Ear::Gone;
        }
    }
}

impl<K: fmt::Debug, T> fmt::Debug for Group<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The groups of one subscription.
pub(super) struct Groups<K, T, F> {
    max_groups: usize,
    key: F,
    ears: HashMap<K, Arc<Mutex<Ear<T>>>>,
    unheard: Arc<AtomicUsize>,
    fault: Fault,
}

/// What became of an item.
pub(super) enum Sorted<K, T> {
    /// It is the first of its key.
    Begins(Group<K, T>),
    /// Its group has it.
    Joins,
    /// It cannot be sorted, and so the view ends.
    Ends,
}

impl<K, T, F> Groups<K, T, F>
where
    K: Hash + Eq + Clone,
    F: FnMut(&T) -> K,
{
    pub(super) fn new(max_groups: usize, key: F, fault: Fault) -> Self {
        Self { max_groups, key, ears: HashMap::new(), unheard: Arc::default(), fault }
    }

    /// Gives `item` to the group of its key.
    pub(super) fn sort(&mut self, item: T) -> Sorted<K, T> {
        let key = (self.key)(&item);
        if let Some(ear) = self.ears.get(&key) {
            return match &mut *lock(ear) {
                Ear::Hears(on_next) => {
                    on_next(item);
                    Sorted::Joins
                }
                Ear::Gone => Sorted::Joins,
                Ear::Waiting(items) => match self.keep(item, items) {
                    true => Sorted::Joins,
                    false => Sorted::Ends,
                },
            };
        }
        if self.ears.len() >= self.max_groups {
            let _ = self.fault.set(ViewError::TooManyGroups { limit: self.max_groups });
            return Sorted::Ends;
        }
        let mut items = VecDeque::new();
        if !self.keep(item, &mut items) {
            return Sorted::Ends;
        }
        let ear = Arc::new(Mutex::new(Ear::Waiting(items)));
        self.ears.insert(key.clone(), ear.clone());
        Sorted::Begins(Group { key, ear, unheard: self.unheard.clone() })
    }

    /// Keeps an item that is not heard yet, if there is room.
    fn keep(&self, item: T, items: &mut VecDeque<T>) -> bool {
        let room = self.unheard.fetch_add(1, Ordering::Relaxed) < MAX_UNHEARD;
        if room {
            items.push_back(item);
        } else {
            self.unheard.fetch_sub(1, Ordering::Relaxed);
            let _ = self.fault.set(ViewError::UnheardGroups { limit: MAX_UNHEARD });
        }
        room
    }
}
