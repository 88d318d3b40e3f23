//! A view as a stream.

use std::{
    collections::VecDeque,
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, atomic::AtomicBool},
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use super::{
    Observable, ViewError,
    chain::lock,
    pump::{Next, Pump, Turned},
};

/// Turns that one poll takes, in all of which the chain lets nothing through, before it lets others run.
const FRUITLESS_TURNS: usize = 64;

/// A view as a stream. Whoever polls it drives it; what it holds is at most what one read of its source gave.
///
/// An error of [`ViewError::Missed`] tells of a hole and the stream goes on; after any other it ends.
pub struct Items<T> {
    pump: Option<Pump>,
    /// Why it ended early, until that was told.
    error: Option<ViewError>,
    /// What one turn let through.
    through: Arc<Mutex<VecDeque<T>>>,
    /// What is yet to be yielded of it.
    ready: VecDeque<T>,
    never: AtomicBool,
}

impl<T: Send + 'static> Items<T> {
    pub(super) fn new(observable: &Observable<T>) -> Self {
        let through = Arc::new(Mutex::new(VecDeque::new()));
        let into = through.clone();
        let pump = Pump::new(observable, move |item| lock(&into).push_back(item));
        Self { pump: Some(pump), error: None, through, ready: VecDeque::new(), never: AtomicBool::new(false) }
    }
}

/// No item is ever pinned.
impl<T> Unpin for Items<T> {}

impl<T> Stream for Items<T> {
    type Item = Result<T, ViewError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        for _ in 0..FRUITLESS_TURNS {
            if let Some(item) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            // One lock for all that a turn let through; the two lists take turns, so their room is used again.
            mem::swap(&mut this.ready, &mut lock(&this.through));
            if let Some(item) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            // What the chain let go of before it ended came first.
            let Some(pump) = &mut this.pump else { return Poll::Ready(this.error.take().map(Err)) };
            let ended = match ready!(pump.poll(cx)) {
                Next::Turn if pump.turn(&this.never) == Turned::Panicked => {
                    Err(ViewError::SubscriberPanicked { subscriber: "stream".into() })
                }
                Next::Turn => continue,
                Next::Missed(missed) => return Poll::Ready(Some(Err(ViewError::Missed(missed)))),
                Next::Ended(result) => result,
            };
            pump.drop_chain();
            this.pump = None;
            this.error = ended.err();
        }
        // The chain let nothing through so far. Others on this thread come first, then this goes on.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}
