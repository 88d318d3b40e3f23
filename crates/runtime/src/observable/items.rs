//! A view as a stream.

use std::{
    collections::VecDeque,
    fmt,
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
    waiting: Arc<Mutex<VecDeque<T>>>,
    never: AtomicBool,
}

impl<T: Send + 'static> Items<T> {
    pub(super) fn new(observable: &Observable<T>) -> Self {
        let waiting = Arc::new(Mutex::new(VecDeque::new()));
        let into = waiting.clone();
        let pump = Pump::new(observable, move |item| lock(&into).push_back(item));
        Self { pump: Some(pump), error: None, waiting, never: AtomicBool::new(false) }
    }
}

impl<T> Stream for Items<T> {
    type Item = Result<T, ViewError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        for _ in 0..FRUITLESS_TURNS {
            if let Some(item) = lock(&this.waiting).pop_front() {
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
