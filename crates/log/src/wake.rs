//! Waking readers: a flag each, nothing more.

use std::{
    future::poll_fn,
    iter::{Chain, Flatten},
    mem, option,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    vec,
};

use tokio::sync::Notify;

/// The readers of one log that have read everything and wait.
///
/// A reader that has not caught up is not here, so an append does not pay for it. Part of the log's guarded state.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    round: u64,
    /// The one at place 0: most logs have one reader, which needs no memory elsewhere.
    first: Option<Waker>,
    others: Vec<Option<Waker>>,
    /// Places that others left, to be taken again.
    free: Vec<usize>,
}

/// Where a reader stands among the [`Waiters`]; void once they were woken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticket {
    round: u64,
    index: usize,
}

/// Readers that waited, to be woken.
#[must_use]
#[derive(Debug, Default)]
pub(crate) struct Woken {
    first: Option<Waker>,
    others: Vec<Option<Waker>>,
}

impl Waiters {
    /// Lets `waker` wait; a reader that waits already keeps its place.
    pub(crate) fn wait(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        match self.slot(*ticket) {
            Some(Some(waiting)) if waiting.will_wake(waker) => {}
            Some(slot) => *slot = Some(waker.clone()),
            None => *ticket = Some(Ticket { round: self.round, index: self.enter(waker.clone()) }),
        }
    }

    /// Takes a place, and says which.
    fn enter(&mut self, waker: Waker) -> usize {
        if self.first.is_none() {
            self.first = Some(waker);
            return 0;
        }
        let place = self.free.pop().unwrap_or(self.others.len());
        match self.others.get_mut(place) {
            Some(slot) => *slot = Some(waker),
            None => self.others.push(Some(waker)),
        }
        place + 1
    }

    /// Waits no longer.
    pub(crate) fn leave(&mut self, ticket: &mut Option<Ticket>) {
        let ticket = ticket.take();
        if let (Some(slot), Some(Ticket { index, .. })) = (self.slot(ticket), ticket) {
            *slot = None;
            self.free.extend(index.checked_sub(1));
        }
    }

    /// Whether nobody waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }

    /// Takes all who wait.
    pub(crate) fn take(&mut self) -> Woken {
        if self.is_empty() {
            return Woken::default();
        }
        self.round += 1;
        self.free = Vec::new();
        let expected = self.others.len();
        Woken {
            first: self.first.take(),
            others: mem::replace(&mut self.others, Vec::with_capacity(expected)),
        }
    }

    fn slot(&mut self, ticket: Option<Ticket>) -> Option<&mut Option<Waker>> {
        let Ticket { index, .. } = ticket.filter(|ticket| ticket.round == self.round)?;
        match index.checked_sub(1) {
            None => Some(&mut self.first),
            Some(place) => self.others.get_mut(place),
        }
    }
}

impl Woken {
    /// These and those.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.others.extend(others.into_iter().map(Some));
        self
    }
}

impl IntoIterator for Woken {
    type Item = Waker;
    type IntoIter = Chain<option::IntoIter<Waker>, Flatten<vec::IntoIter<Option<Waker>>>>;
    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others.into_iter().flatten())
    }
}

/// Wakes in the background what is too much for a writer to wake itself.
#[derive(Debug, Default)]
pub(crate) struct WakeRelay {
    backlog: Mutex<Backlog>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Backlog {
    running: bool,
    // Bounded by the number of cursors: each waits at most once.
    wakers: Vec<Waker>,
}

impl WakeRelay {
    /// Wakes `woken`: at most `inline` of them here, the rest by [`run`](Self::run) if that is running.
    pub(crate) fn wake(&self, woken: Woken, inline: usize) {
        let mut wakers = woken.into_iter();
        wakers.by_ref().take(inline).for_each(Waker::wake);
        let Some(next) = wakers.next() else { return };
        let mut backlog = self.lock();
        if !backlog.running {
            drop(backlog);
            next.wake();
            return wakers.for_each(Waker::wake);
        }
        let is_first = backlog.wakers.is_empty();
        backlog.wakers.push(next);
        backlog.wakers.extend(wakers);
        drop(backlog);
        if is_first {
            self.notify.notify_one();
        }
    }

    /// Wakes what writers leave, forever.
    pub(crate) async fn run(&self) {
        let _stopped = Stopped(self);
        self.lock().running = true;
        let mut wakers = Vec::new();
        loop {
            self.notify.notified().await;
            // The writers that are ready to run write first. Then their readers run one after the other, each finding the
            // code of the one before it in the processor's cache.
            yield_once().await;
            mem::swap(&mut wakers, &mut self.lock().wakers);
            wakers.drain(..).for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the relay stops, writers wake by themselves again, and who still waits is woken.
struct Stopped<'a>(&'a WakeRelay);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let left = mem::take(&mut *self.0.lock());
        left.wakers.into_iter().for_each(Waker::wake);
    }
}

/// Lets other tasks, and the other branches of the same task, run.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    let once = poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    once.await;
}

#[cfg(test)]
mod tests;
