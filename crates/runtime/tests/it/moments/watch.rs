//! Counts the moments of a run, does something in one of them, and weighs what a run leaves behind.
//!
//! A moment is where something from outside may come between: the end of each poll of a task of the run, and the time
//! before and after each poll of what a body awaits. The tasks of a run carry a span of their own, whose subscriber here
//! hears of each poll; the bodies await through [`at`].

use std::{
    alloc::System,
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_core::span::Current;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The bytes that this process has and has not given back. Only a process that runs nothing else can tell by them what a
/// run leaves behind.
pub(super) fn bytes() -> isize {
    let stats = MEMORY.stats();
    stats.bytes_allocated.cast_signed() - stats.bytes_deallocated.cast_signed()
}

type Act = Box<dyn FnOnce()>;

thread_local! {
    static PASSED: Cell<usize> = const { Cell::new(0) };
    static DUE: RefCell<Option<(usize, Act)>> = const { RefCell::new(None) };
    /// The spans of a run in which this thread is.
    static WITHIN: Cell<usize> = const { Cell::new(0) };
    static SPAN: Cell<Option<&'static Metadata<'static>>> = const { Cell::new(None) };
}

/// Begins to count, and will do `act` in the moment of that number.
pub(super) fn begin(number: usize, act: impl FnOnce() + 'static) {
    PASSED.set(0);
    DUE.set(Some((number, Box::new(act))));
}

/// Ends the count. How many moments there were, and whether there was something to be done that was not.
pub(super) fn end() -> (usize, bool) {
    let undone = DUE.take().is_some();
    (PASSED.take(), undone)
}

/// A moment passes.
fn pass() {
    let number = PASSED.get() + 1;
    PASSED.set(number);
    // What is done may itself end a span, so it is taken first.
    let due = DUE.with_borrow_mut(|due| due.take_if(|(at, _)| *at == number));
    if let Some((_, act)) = due {
        act();
    }
}

/// Awaits, with a moment before and after each poll.
pub(super) async fn at<F: Future>(awaited: F) -> F::Output {
    let mut awaited = pin!(awaited);
    poll_fn(|cx| {
        pass();
        let polled = awaited.as_mut().poll(cx);
        pass();
        polled
    })
    .await
}

/// Hears of the end of each poll of a task that carries a span named `execution`.
pub(super) struct Watch;

/// All spans are one: they are told apart by nobody.
const ID: u64 = 1;

impl Subscriber for Watch {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "execution"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        SPAN.set(Some(span.metadata()));
        Id::from_u64(ID)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        WITHIN.set(WITHIN.get() + 1);
    }

    fn exit(&self, _: &Id) {
        WITHIN.set(WITHIN.get() - 1);
        pass();
    }

    fn current_span(&self) -> Current {
        match SPAN.get().filter(|_| WITHIN.get() > 0) {
            Some(metadata) => Current::new(Id::from_u64(ID), metadata),
            None => Current::none(),
        }
    }
}
