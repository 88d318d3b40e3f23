//! Waking readers: a flag each, nothing more.

use std::{
    future::poll_fn,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use tokio::sync::Notify;

/// The readers of one log that have read everything and wait.
///
/// A reader that has not caught up is not here, so an append does not pay for it. Part of the log's guarded state.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    round: u64,
    wakers: Vec<Option<Waker>>,
    /// Places that readers left, to be taken again.
    free: Vec<usize>,
}

/// Where a reader stands among the [`Waiters`]; void once they were woken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticket {
    round: u64,
    index: usize,
}

impl Waiters {
    /// Lets `waker` wait; a reader that waits already keeps its place.
    pub(crate) fn wait(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        match self.slot(*ticket) {
            Some(Some(waiting)) if waiting.will_wake(waker) => {}
            Some(slot) => *slot = Some(waker.clone()),
            None => {
                let index = self.free.pop().unwrap_or(self.wakers.len());
                *ticket = Some(Ticket { round: self.round, index });
                match self.wakers.get_mut(index) {
                    Some(slot) => *slot = Some(waker.clone()),
                    None => self.wakers.push(Some(waker.clone())),
                }
            }
        }
    }

    /// Waits no longer.
    pub(crate) fn leave(&mut self, ticket: &mut Option<Ticket>) {
        let ticket = ticket.take();
        if let (Some(slot), Some(ticket)) = (self.slot(ticket), ticket) {
            *slot = None;
            self.free.push(ticket.index);
        }
    }

    /// Takes all who wait.
    pub(crate) fn take(&mut self) -> Vec<Option<Waker>> {
        if self.wakers.is_empty() {
            return Vec::new();
        }
        self.round += 1;
        self.free = Vec::new();
        let expected = self.wakers.len();
        mem::replace(&mut self.wakers, Vec::with_capacity(expected))
    }

    fn slot(&mut self, ticket: Option<Ticket>) -> Option<&mut Option<Waker>> {
        let ticket = ticket.filter(|ticket| ticket.round == self.round)?;
        self.wakers.get_mut(ticket.index)
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
    wakers: Vec<Option<Waker>>,
}

impl WakeRelay {
    /// Wakes `wakers`: at most `inline` of them here, the rest by [`run`](Self::run) if that is running.
    pub(crate) fn wake(&self, mut wakers: Vec<Option<Waker>>, inline: usize) {
        if wakers.len() > inline {
            let mut backlog = self.lock();
            if backlog.running {
                backlog.wakers.extend(wakers.drain(inline..));
                drop(backlog);
                self.notify.notify_one();
            }
        }
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Wakes what writers leave, forever.
    pub(crate) async fn run(&self) {
        let _stopped = Stopped(self);
        self.lock().running = true;
        loop {
            self.notify.notified().await;
            // The writers that are ready to run write first. Then their readers run one after the other, each finding the
            // code of the one before it in the processor's cache.
            yield_once().await;
            let wakers = mem::take(&mut self.lock().wakers);
            wakers.into_iter().flatten().for_each(Waker::wake);
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
        left.wakers.into_iter().flatten().for_each(Waker::wake);
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
