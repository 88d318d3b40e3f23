//! How one subscription's chain is put together from rxrust's parts.
//!
//! Each subscription has a chain of its own. A [`Subject`](Sub) at its head takes the items of one feed; its operators
//! and its subscriber run in the subscription's one task, so that no two threads ever meet in it, and a panic in it
//! reaches nobody else.

use std::{
    cell::RefCell,
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use rxrust::{
    context::SharedCtx,
    observable::{BoxedCoreObservableSend, Observable as _},
    observer::Observer as _,
    scheduler::{Scheduler, Task, TaskHandle, TaskState},
    subject::InnerSubjectSend,
};
use streamnest_log::Writer;
use tokio::time::Instant;

use super::{
    ViewError,
    feed::{Fed, Feed},
};

/// A chain so far, its type erased. It cannot fail: how a view ends is told beside it, so that its operators always
/// complete and let go of what they hold.
pub(super) type Rx<T> = SharedCtx<BoxedCoreObservableSend<'static, T, Infallible, Later>, Later>;

/// The head of a chain.
type Sub<T> = InnerSubjectSend<'static, T, Infallible>;

thread_local! {
    static LATER: RefCell<Vec<Box<dyn FnOnce()>>> = const { RefCell::new(Vec::new()) };
}

/// The scheduler of all chains. rxrust only needs one where a subscriber leaves a subject that is just speaking; that is
/// done on the same thread as soon as it has spoken. Nothing is spawned.
#[derive(Clone, Copy, Default)]
pub(super) struct Later;

impl<S: Send + 'static> Scheduler<Task<S>> for Later {
    fn schedule(&self, mut task: Task<S>, _: Option<Duration>) -> TaskHandle {
        let run = move || while task.step() != TaskState::Finished {};
        LATER.with_borrow_mut(|later| later.push(Box::new(run)));
        TaskHandle::finished()
    }
}

impl Later {
    /// Does what was put off while a subject spoke on this thread; whether there was anything.
    pub(super) fn run() -> bool {
        let later = LATER.take();
        let any = !later.is_empty();
        later.into_iter().for_each(|task| task());
        any
    }
}

/// An operator's own clock.
pub(super) trait Timer: Send + Sync {
    /// When it is due.
    fn due(&self) -> Option<Instant>;
    /// It is due.
    fn fire(&self, now: Instant);
}

/// Where an operator says why its chain cannot go on; the first one stays.
pub(super) type Fault = Arc<OnceLock<ViewError>>;

/// What one subscription's chain is made of.
#[derive(Default)]
pub(super) struct Assembly {
    pub(super) inlets: Vec<Box<dyn Inlet>>,
    pub(super) timers: Vec<Arc<dyn Timer>>,
    pub(super) fault: Fault,
    /// The logs that hear of a subscriber that misbehaves.
    pub(super) writers: Vec<Writer>,
}

impl Assembly {
    /// A head of the chain, which takes what `feed` gives.
    pub(super) fn inlet<T: Clone + Send + 'static>(&mut self, feed: impl Feed<T> + 'static) -> Rx<T> {
        let subject = Sub::<T>::default();
        let rx = SharedCtx { inner: subject.clone(), scheduler: Later }.box_it();
        self.inlets.push(Box::new(SubjectInlet {
            feed: Some(Box::new(feed)),
            waiting: VecDeque::new(),
            subject: Some(subject),
        }));
        rx
    }
}

/// A head of a chain, whatever its items are.
pub(super) trait Inlet: Send {
    /// Waits for items. `None` means that there is nothing to be told but items, or that there will be no more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fed>>;
    /// Hands on one item that waits; whether there was one.
    fn push(&mut self) -> bool;
    /// Whether items wait.
    fn has_items(&self) -> bool;
    /// There will be no more items.
    fn complete(&mut self);
    /// Whether there will be none.
    fn is_over(&self) -> bool;
}

struct SubjectInlet<T: Clone> {
    feed: Option<Box<dyn Feed<T>>>,
    waiting: VecDeque<T>,
    /// `None` once it has completed.
    subject: Option<Sub<T>>,
}

impl<T: Clone + Send + 'static> Inlet for SubjectInlet<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fed>> {
        if self.has_items() {
            return Poll::Ready(None);
        }
        let Some(feed) = &mut self.feed else { return Poll::Pending };
        feed.poll_items(cx, &mut self.waiting).map(|fed| match fed {
            Fed::Items => None,
            Fed::Ended(result) => {
                self.feed = None;
                Some(Fed::Ended(result))
            }
            missed => Some(missed),
        })
    }

    fn push(&mut self) -> bool {
        let Some(item) = self.waiting.pop_front() else { return false };
        if let Some(subject) = &mut self.subject {
            subject.next(item);
            // Whoever leaves a subject while it speaks is let go later. If nobody is left, nobody takes anything more.
            if Later::run() && subject.is_empty() {
                self.complete();
            }
        }
        true
    }

    fn has_items(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn complete(&mut self) {
        (self.feed, self.waiting) = (None, VecDeque::new());
        if let Some(subject) = self.subject.take() {
            subject.complete();
            Later::run();
        }
    }

    fn is_over(&self) -> bool {
        self.feed.is_none() && self.waiting.is_empty()
    }
}

/// A lock that no panic makes unusable: what a chain's locks guard goes with the chain.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets what a thread put off for a chain that broke.
pub(super) fn forget_later() {
    drop(LATER.take());
}
