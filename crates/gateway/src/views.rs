//! Who follows many executions at once, and how many may.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The views of many executions that are open, by who has them.
#[derive(Default)]
pub(crate) struct Views(Mutex<HashMap<String, usize>>);

/// The place of one view, held until it is dropped.
pub(crate) struct Place {
    views: Arc<Views>,
    who: String,
}

/// Why there is none.
pub(crate) enum Full {
    /// All have as many as there may be.
    Everybody,
    /// Whoever asks has as many as one may.
    Share,
}

impl Views {
    /// Takes a place for a view of `who`, of `limit` for all and `share` for each.
    pub(crate) fn enter(
        self: &Arc<Self>,
        who: String,
        limit: usize,
        share: Option<usize>,
    ) -> Result<Place, Full> {
        let mut taken = self.lock();
        if share.is_some_and(|share| taken.get(&who).is_some_and(|own| *own >= share)) {
            return Err(Full::Share);
        }
        if taken.values().sum::<usize>() >= limit {
            return Err(Full::Everybody);
        }
        *taken.entry(who.clone()).or_default() += 1;
        Ok(Place { views: self.clone(), who })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.views.lock();
        if let Some(own) = taken.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.who);
            }
        }
    }
}
