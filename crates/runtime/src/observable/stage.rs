//! Operators that know the time: each is a state machine, and one adapter puts it into a chain.

use std::{
    collections::VecDeque,
    convert::Infallible,
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use rxrust::{
    context::{Context as _, SharedCtx},
    observable::{BoxedCoreObservableSend, CoreObservable, Observable as _, ObservableType},
    observer::{BoxedObserverSend, Observer},
    subscription::BoxedSubscriptionSend,
};
use tokio::time::Instant;

use super::{
    Batching,
    chain::{Assembly, Later, Rx, Timer, lock},
};

/// Turns items into others, now or later. Pure; the time comes in.
pub(super) trait Stage<T>: Send + 'static {
    /// What it yields.
    type Out: Send + 'static;
    /// Takes an item; `now` tells the time if it is asked.
    fn push(&mut self, item: T, now: &dyn Fn() -> Instant, out: &mut VecDeque<Self::Out>);
    /// When it wants to be asked again.
    fn due(&self) -> Option<Instant>;
    /// It is due.
    fn fire(&mut self, out: &mut VecDeque<Self::Out>);
    /// There are no more items: what it holds goes on.
    fn finish(&mut self, out: &mut VecDeque<Self::Out>) {
        self.fire(out);
    }
}

/// Puts `stage` behind `rx`.
pub(super) fn staged<T, G>(assembly: &mut Assembly, rx: Rx<T>, stage: G) -> Rx<G::Out>
where
    T: Send + 'static,
    G: Stage<T>,
{
    let shared = Arc::new(Mutex::new(Held { stage, out: VecDeque::new(), observer: None }));
    assembly.timers.push(Arc::new(StageTimer { held: shared.clone(), item: std::marker::PhantomData }));
    rx.transform(|source| Staged { source, held: shared }).box_it()
}

/// A stage, and whom it speaks to.
struct Held<G, U> {
    stage: G,
    out: VecDeque<U>,
    observer: Option<BoxedObserverSend<'static, U, Infallible>>,
}

impl<G, U> Held<G, U> {
    /// Hands on what the stage yielded.
    fn hand_on(&mut self) {
        while let Some(item) = self.out.pop_front() {
            if let Some(observer) = &mut self.observer {
                observer.next(item);
            }
        }
    }
}

struct Staged<T, G, U> {
    source: BoxedCoreObservableSend<'static, T, Infallible, Later>,
    held: Arc<Mutex<Held<G, U>>>,
}

impl<T, G, U> ObservableType for Staged<T, G, U> {
    type Item<'m>
        = U
    where
        Self: 'm;
    type Err = Infallible;
}

impl<T, G> CoreObservable<SharedCtx<BoxedObserverSend<'static, G::Out, Infallible>, Later>>
    for Staged<T, G, G::Out>
where
    T: Send + 'static,
    G: Stage<T>,
{
    type Unsub = BoxedSubscriptionSend;

    fn subscribe(
        self,
        context: SharedCtx<BoxedObserverSend<'static, G::Out, Infallible>, Later>,
    ) -> BoxedSubscriptionSend {
        lock(&self.held).observer = Some(context.inner);
        let inner: BoxedObserverSend<'static, T, Infallible> = Box::new(StageObserver { held: self.held });
        self.source.dyn_subscribe(SharedCtx { inner, scheduler: context.scheduler })
    }
}

struct StageObserver<G, U> {
    held: Arc<Mutex<Held<G, U>>>,
}

impl<T, G: Stage<T>> Observer<T, Infallible> for StageObserver<G, G::Out> {
    fn next(&mut self, item: T) {
        let held = &mut *lock(&self.held);
        held.stage.push(item, &Instant::now, &mut held.out);
        held.hand_on();
    }

    fn error(self, error: Infallible) {
        match error {}
    }

    fn complete(self) {
        let observer = {
            let held = &mut *lock(&self.held);
            held.stage.finish(&mut held.out);
            held.hand_on();
            held.observer.take()
        };
        observer.into_iter().for_each(Observer::complete);
    }

    fn is_closed(&self) -> bool {
        lock(&self.held).observer.as_ref().is_none_or(Observer::is_closed)
    }
}

struct StageTimer<T, G, U> {
    held: Arc<Mutex<Held<G, U>>>,
    item: std::marker::PhantomData<fn(T)>,
}

impl<T: 'static, G: Stage<T>> Timer for StageTimer<T, G, G::Out> {
    fn due(&self) -> Option<Instant> {
        lock(&self.held).stage.due()
    }

    fn fire(&self, now: Instant) {
        let held = &mut *lock(&self.held);
        if held.stage.due().is_some_and(|due| due <= now) {
            held.stage.fire(&mut held.out);
            held.hand_on();
        }
    }
}

/// Items into batches.
pub(super) struct Batches<T> {
    options: Batching,
    items: Vec<T>,
    /// When nothing may have come since, and when the first one has waited long enough.
    quiet_at: Option<Instant>,
    full_at: Option<Instant>,
}

impl<T> Batches<T> {
    pub(super) const fn new(options: Batching) -> Self {
        Self { options, items: Vec::new(), quiet_at: None, full_at: None }
    }
}

impl<T: Send + 'static> Stage<T> for Batches<T> {
    type Out = Vec<T>;

    fn push(&mut self, item: T, now: &dyn Fn() -> Instant, out: &mut VecDeque<Vec<T>>) {
        self.items.push(item);
        if self.items.len() >= self.options.max_items {
            return self.fire(out);
        }
        let (debounce, max_wait) = (self.options.debounce, self.options.max_wait);
        if debounce.is_some() || (max_wait.is_some() && self.full_at.is_none()) {
            let now = now();
            // A wait that is longer than time lasts is never over.
            self.quiet_at = debounce.and_then(|debounce| now.checked_add(debounce));
            if self.full_at.is_none() {
                self.full_at = max_wait.and_then(|max_wait| now.checked_add(max_wait));
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.quiet_at.into_iter().chain(self.full_at).min()
    }

    fn fire(&mut self, out: &mut VecDeque<Vec<T>>) {
        (self.quiet_at, self.full_at) = (None, None);
        if !self.items.is_empty() {
            out.push_back(mem::take(&mut self.items));
        }
    }
}

/// The newest item, once nothing has come for a while.
pub(super) struct Debounce<T> {
    pub(super) quiet: Duration,
    pub(super) newest: Option<T>,
    pub(super) due: Option<Instant>,
}

impl<T: Send + 'static> Stage<T> for Debounce<T> {
    type Out = T;

    fn push(&mut self, item: T, now: &dyn Fn() -> Instant, _: &mut VecDeque<T>) {
        self.newest = Some(item);
        self.due = now().checked_add(self.quiet);
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn fire(&mut self, out: &mut VecDeque<T>) {
        self.due = None;
        out.extend(self.newest.take());
    }
}

/// The newest item, at most so often. The first one does not wait.
pub(super) struct Sample<T> {
    pub(super) every: Duration,
    pub(super) newest: Option<T>,
    /// Until then nothing goes on.
    pub(super) closed_until: Option<Instant>,
}

impl<T: Send + 'static> Stage<T> for Sample<T> {
    type Out = T;

    fn push(&mut self, item: T, now: &dyn Fn() -> Instant, out: &mut VecDeque<T>) {
        let now = now();
        if self.closed_until.is_some_and(|until| now < until) {
            self.newest = Some(item);
            return;
        }
        self.newest = None;
        self.closed_until = now.checked_add(self.every);
        out.push_back(item);
    }

    fn due(&self) -> Option<Instant> {
        self.newest.as_ref().and(self.closed_until)
    }

    fn fire(&mut self, out: &mut VecDeque<T>) {
        if let Some(newest) = self.newest.take() {
            self.closed_until = self.closed_until.and_then(|until| until.checked_add(self.every));
            out.push_back(newest);
        }
    }
}

/// Every item, and beside them whether any come.
pub(super) struct Activity<F> {
    pub(super) quiet: Duration,
    pub(super) on_change: F,
    pub(super) active: bool,
    pub(super) due: Option<Instant>,
}

impl<T: Send + 'static, F: FnMut(bool) + Send + 'static> Stage<T> for Activity<F> {
    type Out = T;

    fn push(&mut self, item: T, now: &dyn Fn() -> Instant, out: &mut VecDeque<T>) {
        self.due = now().checked_add(self.quiet);
        if !mem::replace(&mut self.active, true) {
            (self.on_change)(true);
        }
        out.push_back(item);
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn fire(&mut self, _: &mut VecDeque<T>) {
        self.due = None;
        if mem::replace(&mut self.active, false) {
            (self.on_change)(false);
        }
    }
}
