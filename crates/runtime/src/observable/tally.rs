//! What came so far, told now and then.

use std::{collections::VecDeque, mem, time::Duration};

use tokio::time::Instant;

use super::{
    Observable,
    stage::{Stage, staged},
};

/// Adds items up, and tells the sum at once, then at most every `every` while it changes, and at the end.
struct Tally<U, F> {
    every: Duration,
    sum: U,
    add: F,
    /// Whether the sum was told as it is.
    told: bool,
    /// Whether the next sum waits until it is due.
    waits: bool,
    due: Option<Instant>,
}

impl<T, U, F> Stage<T> for Tally<U, F>
where
    T: Send + 'static,
    U: Clone + Send + 'static,
    F: FnMut(&mut U, T) + Send + 'static,
{
    type Out = U;

    fn push(&mut self, item: T, now: &dyn Fn() -> Instant, out: &mut VecDeque<U>) {
        (self.add)(&mut self.sum, item);
        self.told = !mem::replace(&mut self.waits, true);
        if self.told {
            // A wait that is longer than time lasts is never over.
            self.due = now().checked_add(self.every);
            out.push_back(self.sum.clone());
        }
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn fire(&mut self, out: &mut VecDeque<U>) {
        if mem::replace(&mut self.told, true) {
            (self.waits, self.due) = (false, None);
        } else {
            self.due = self.due.and_then(|due| due.checked_add(self.every));
            out.push_back(self.sum.clone());
        }
    }

    fn finish(&mut self, out: &mut VecDeque<U>) {
        if !mem::replace(&mut self.told, true) {
            out.push_back(self.sum.clone());
        }
    }
}

impl<T: Send + 'static> Observable<T> {
    /// What `add` has made of all items so far: of the first one at once, then at most every `every` while it changes, and at
    /// the end, also if nothing came. It is copied only when it is told.
    pub(crate) fn tally<U: Clone + Send + Sync + 'static>(
        &self,
        every: Duration,
        initial: U,
        add: impl FnMut(&mut U, T) + Clone + Send + Sync + 'static,
    ) -> Observable<U> {
        let source = self.assemble.clone();
        Observable::new(move |assembly| {
            let rx = source(assembly);
            let (sum, add) = (initial.clone(), add.clone());
            staged(assembly, rx, Tally { every, sum, add, told: false, waits: false, due: None })
        })
    }
}
