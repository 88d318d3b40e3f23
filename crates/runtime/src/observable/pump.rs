//! What moves one chain.

use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant as RealInstant},
};

use rxrust::{observer::Observer as RxObserver, subscription::BoxedSubscriptionSend};
use streamnest_log::Writer;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Missed, Observable, ViewError,
    chain::{Assembly, Fault, Inlet, Later, Timer, forget_later},
    feed::Fed,
};

/// How long a chain may hold its thread before others get their turn.
pub(super) const TURN: Duration = Duration::from_millis(1);
/// The most items that are handed on between two looks at the time.
const STRIDE: usize = 32;

/// One subscription's chain, and what it is fed from. Whoever drives it may move it from thread to thread between turns.
pub(super) struct Pump {
    /// `None` once it broke: what a panic has gone through is not used again.
    parts: Option<Parts>,
    alarm: Option<Pin<Box<Sleep>>>,
    fault: Fault,
    /// Whether the end of the chain was reached.
    completed: Arc<AtomicBool>,
    outcome: Result<(), ViewError>,
    pub(super) writers: Vec<Writer>,
    /// Items between two looks at the time; few while they take long.
    stride: usize,
}

struct Parts {
    inlets: Vec<Box<dyn Inlet>>,
    timers: Vec<Arc<dyn Timer>>,
    /// Held so that the chain stays whole.
    _chain: BoxedSubscriptionSend,
}

/// What there is to do.
pub(super) enum Next {
    /// Items or times wait for a [`turn`](Pump::turn).
    Turn,
    /// A range is missing, here.
    Missed(Missed),
    /// The view has ended.
    Ended(Result<(), ViewError>),
}

/// What came of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turned {
    /// It went well, and took so long.
    Took(Duration),
    /// A function of the user panicked.
    Panicked,
}

/// The end of a chain.
struct Last<F> {
    on_next: F,
    completed: Arc<AtomicBool>,
}

impl<T, F: FnMut(T)> RxObserver<T, Infallible> for Last<F> {
    fn next(&mut self, item: T) {
        (self.on_next)(item);
    }

    fn error(self, error: Infallible) {
        match error {}
    }

    fn complete(self) {
        self.completed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.completed.load(Ordering::Acquire)
    }
}

impl Pump {
    /// Puts the chain of `observable` together, with `on_next` at its end.
    pub(super) fn new<T: Send + 'static>(
        observable: &Observable<T>,
        on_next: impl FnMut(T) + Send + 'static,
    ) -> Self {
        let mut assembly = Assembly::default();
        let completed = Arc::new(AtomicBool::new(false));
        let rx = (observable.assemble)(&mut assembly);
        let last = Last { on_next, completed: completed.clone() };
        let (source, wrapped) = rxrust::context::Context::swap(rx, last);
        let _chain =
            BoxedSubscriptionSend::new(rxrust::observable::CoreObservable::subscribe(source, wrapped));
        let Assembly { inlets, timers, fault, writers } = assembly;
        Self {
            parts: Some(Parts { inlets, timers, _chain }),
            alarm: None,
            fault,
            completed,
            outcome: Ok(()),
            writers,
            stride: 1,
        }
    }

    /// Waits for something to do.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if let Some(fault) = self.fault.get() {
            return Poll::Ready(Next::Ended(Err(fault.clone())));
        }
        if self.completed.load(Ordering::Acquire) {
            return Poll::Ready(Next::Ended(self.outcome.clone()));
        }
        let Some(parts) = &mut self.parts else { return Poll::Ready(Next::Ended(self.outcome.clone())) };
        let mut found = None;
        for inlet in &mut parts.inlets {
            match inlet.poll(cx) {
                Poll::Ready(None) => found = Some(Next::Turn),
                Poll::Ready(Some(Fed::Missed(missed))) => return Poll::Ready(Next::Missed(missed)),
                Poll::Ready(Some(Fed::Ended(result))) => {
                    // One source that broke ends the view; what its operators hold goes on first.
                    if result.is_err() && self.outcome.is_ok() {
                        self.outcome = result;
                    }
                    found = Some(Next::Turn);
                }
                Poll::Ready(Some(Fed::Items)) | Poll::Pending => {}
            }
        }
        if let Some(next) = found {
            return Poll::Ready(next);
        }
        let Some(due) = parts.due() else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if alarm.deadline() != due {
            alarm.as_mut().reset(due);
        }
        alarm.as_mut().poll(cx).map(|()| Next::Turn)
    }

    /// Hands on what is there, for as long as one turn may take, unless `stopped`.
    pub(super) fn turn(&mut self, stopped: &AtomicBool) -> Turned {
        let Some(parts) = &mut self.parts else { return Turned::Panicked };
        let (stride, broken) = (&mut self.stride, self.outcome.is_err());
        let worked = catch_unwind(AssertUnwindSafe(|| parts.turn(stride, broken, stopped)));
        match worked {
            Ok(took) => Turned::Took(took),
            Err(panic) => {
                trace_panic(panic.as_ref());
                self.drop_chain();
                Turned::Panicked
            }
        }
    }

    /// Lets go of the chain. What its values do when they are dropped is the user's code too.
    pub(super) fn drop_chain(&mut self) {
        forget_later();
        let parts = self.parts.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(parts))) {
            trace_panic(panic.as_ref());
        }
    }
}

impl Parts {
    fn due(&self) -> Option<Instant> {
        self.timers.iter().filter_map(|timer| timer.due()).min()
    }

    fn turn(&mut self, stride: &mut usize, broken: bool, stopped: &AtomicBool) -> Duration {
        let began = RealInstant::now();
        let mut looked = began;
        if self.due().is_some_and(|due| due <= Instant::now()) {
            let now = Instant::now();
            self.timers.iter().for_each(|timer| timer.fire(now));
            Later::run();
        }
        let mut cut = None;
        'inlets: for (index, inlet) in self.inlets.iter_mut().enumerate() {
            let mut handed_on = 0;
            while !stopped.load(Ordering::Acquire) && inlet.push() {
                handed_on += 1;
                if handed_on < *stride {
                    continue;
                }
                // Looking at the time costs as much as an item does: look seldom while items are quick.
                handed_on = 0;
                let now = RealInstant::now();
                let quick = now.duration_since(looked) < TURN / 8;
                *stride = if quick { (*stride * 2).min(STRIDE) } else { 1 };
                looked = now;
                if now.duration_since(began) >= TURN {
                    cut = Some(index + 1);
                    break 'inlets;
                }
            }
            if broken || inlet.is_over() {
                inlet.complete();
            }
        }
        if let Some(served) = cut {
            // Those that had no time left come first next time.
            self.inlets.rotate_left(served);
        }
        began.elapsed()
    }
}

/// Tells the server's trace of a panic; a client is never told its text.
pub(super) fn trace_panic(panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<&str>().map(|text| String::from(*text));
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = text.as_deref().unwrap_or("of a value that is no text"), "a subscriber panicked");
}
