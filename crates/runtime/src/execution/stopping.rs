//! The wait for a cancel.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use tokio::task::coop::unconstrained;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Waits until an execution is asked to stop.
///
/// It is polled with each token of the execution. Only the first time, or for another task, does it ask the token of the
/// cancellation, whose memory has left the processor's cache each time where many runs take turns.
pub(super) struct UntilStopping<'a> {
    /// Set before `cancelled` is woken.
    stopping: &'a AtomicBool,
    cancelled: Pin<Box<WaitForCancellationFuture<'a>>>,
    /// Whom `cancelled` wakes.
    known: Option<Waker>,
}

impl<'a> UntilStopping<'a> {
    pub(super) fn new(stopping: &'a AtomicBool, cancel: &'a CancellationToken) -> Self {
        Self { stopping, cancelled: Box::pin(cancel.cancelled()), known: None }
    }
}

impl Future for UntilStopping<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let is_known = self.known.as_ref().is_some_and(|known| known.will_wake(cx.waker()));
        if is_known && !self.stopping.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.known = Some(cx.waker().clone());
        // With a budget it might say "later" without having heard who asks.
        pin!(unconstrained(self.cancelled.as_mut())).poll(cx)
    }
}
