//! One subscriber, and the task that serves it.

use std::{
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use serde_json::json;
use streamnest_core::{Event, EventType};
use streamnest_log::Writer;
use tokio::task::{JoinHandle, spawn_blocking, yield_now};
use tracing::Instrument as _;

use super::{
    Missed, Observable, ViewError,
    blocking::{Blocking, SLOW_AFTER, TOLD_AFTER},
    operators::Once,
    pump::{Next, Pump, TURN, Turned, trace_panic},
};

type OnMissed = Box<dyn FnMut(&Missed) + Send>;

/// Who is subscribed, and how.
///
/// **A panic** of the subscriber, or of a function in its chain, ends its subscription with
/// [`ViewError::SubscriberPanicked`], unless [`survives_panics`](Self::survives_panics) lets it go on with the next item.
/// **A subscriber that blocks** its thread for longer than [`slow_after`](Self::slow_after), at once or little by little, is
/// served by threads for blocking work from then on (tokio's `spawn_blocking`, which are bounded), so that it holds up no
/// task of others. That costs it nothing, and so it is told of only when it has blocked ten times that long.
/// Each of the two is told once for a subscription: in the server's trace, with all that is known, and, if the view is
/// one of a single execution that still runs, as an event `warning` in that execution's log, by code and the subscriber's name
/// alone. A view over many executions is told of in the trace only: it is no matter of any one of them.
#[must_use]
pub struct Subscriber<T> {
    name: String,
    on_next: Box<dyn FnMut(T) + Send>,
    on_missed: Option<OnMissed>,
    survives_panics: bool,
    slow_after: Duration,
}

impl<T> Subscriber<T> {
    /// Calls `on_next` with each item.
    pub fn new(on_next: impl FnMut(T) + Send + 'static) -> Self {
        Self {
            name: "subscriber".into(),
            on_next: Box::new(on_next),
            on_missed: None,
            survives_panics: false,
            slow_after: SLOW_AFTER,
        }
    }

    /// Names it in traces and warnings. Default `subscriber`. At most 64 characters are kept.
    pub fn named(self, name: &str) -> Self {
        Self { name: name.chars().take(64).collect(), ..self }
    }

    /// Calls `on_missed` before the first item after a hole. Without it, a hole is told in the server's trace.
    pub fn on_missed(self, on_missed: impl FnMut(&Missed) + Send + 'static) -> Self {
        Self { on_missed: Some(Box::new(on_missed)), ..self }
    }

    /// A panic of `on_next` costs it that one item, and it goes on with the next. Default false.
    ///
    /// A panic of a function in the chain ends the subscription all the same: what it left behind cannot be used again.
    pub fn survives_panics(self, survives_panics: bool) -> Self {
        Self { survives_panics, ..self }
    }

    /// How long it may block a thread of the runtime before it is served by threads for blocking work. Default 10 ms; zero
    /// serves it by those from the start, and tells nobody.
    ///
    /// What counts is the time over the millisecond that a turn may take, summed up, less a tenth of the time that passes: who
    /// takes 20 ms for one item is moved by the first one, who takes 5 ms for each of many by the third, and who takes
    /// 5 ms now and then never is.
    pub fn slow_after(self, slow_after: Duration) -> Self {
        Self { slow_after, ..self }
    }
}

impl<T> fmt::Debug for Subscriber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A subscription. When it is dropped nothing more is delivered, and its task ends.
#[must_use = "a subscription ends when it is dropped"]
pub struct Subscription {
    control: Arc<Control>,
    task: JoinHandle<Result<(), ViewError>>,
}

/// What a subscription and its task share.
#[derive(Default)]
struct Control {
    stopped: AtomicBool,
    task: AtomicWaker,
    delivered: AtomicU64,
    panics: AtomicU64,
}

impl Subscription {
    /// Waits until the view has ended and everything was delivered; how it ended.
    ///
    /// # Errors
    /// [`ViewError::SubscriberPanicked`], [`ViewError::TooManyGroups`], [`ViewError::UnheardGroups`], [`ViewError::Log`].
    ///
    /// # Cancel safety
    /// The subscription is dropped with the future.
    pub async fn ended(mut self) -> Result<(), ViewError> {
        (&mut self.task).await.unwrap_or(Ok(()))
    }

    /// Ends it, and waits until its subscriber is not running any more.
    pub async fn stop(mut self) {
        self.control.stop();
        let _ = (&mut self.task).await;
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// How many items its subscriber has taken.
    pub fn delivered(&self) -> u64 {
        self.control.delivered.load(Ordering::Acquire)
    }

    /// How many items its subscriber panicked on.
    pub fn panics(&self) -> u64 {
        self.control.panics.load(Ordering::Acquire)
    }
}

impl Control {
    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.task.wake();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.control.stop();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("delivered", &self.delivered())
            .field("over", &self.is_over())
            .finish_non_exhaustive()
    }
}

/// Subscribes.
pub(super) fn begin<T: Send + 'static>(
    observable: &Observable<T>,
    subscriber: Subscriber<T>,
) -> Subscription {
    let Subscriber { name, mut on_next, on_missed, survives_panics, slow_after } = subscriber;
    let control = Arc::new(Control::default());
    let told = Arc::new(Told { name: name.clone(), panicked: Once::default(), slow: Once::default() });
    let (counted, warned) = (control.clone(), told.clone());
    let mut writers: Vec<Writer> = Vec::new();
    let deliver = {
        let control = counted;
        move |item: T| {
            if !survives_panics {
                on_next(item);
                control.delivered.fetch_add(1, Ordering::Release);
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| on_next(item))) {
                Ok(()) => control.delivered.fetch_add(1, Ordering::Release),
                Err(panic) => {
                    trace_panic(panic.as_ref());
                    control.panics.fetch_add(1, Ordering::Release)
                }
            };
        }
    };
    let pump = Pump::new(observable, deliver);
    writers.extend(pump.writers.iter().cloned());
    let span = tracing::debug_span!("subscription", name);
    let task = Task { pump: Some(pump), on_missed, control: control.clone(), told: warned, slow_after };
    Subscription { control, task: tokio::spawn(task.run().instrument(span)) }
}

/// What was told of a subscription, once each.
struct Told {
    name: String,
    panicked: Once,
    slow: Once,
}

impl Told {
    fn panicked(&self, writers: &[Writer]) {
        if self.panicked.is_first() {
            tracing::warn!(subscriber = self.name, "subscriber panicked");
            self.warn(writers, "subscriber_panicked", "panicked on what this execution said");
        }
    }

    fn slow(&self, writers: &[Writer], blocked: Duration) {
        if self.slow.is_first() {
            tracing::warn!(
                subscriber = self.name,
                ?blocked,
                "subscriber blocks its thread; it is served by threads for blocking work"
            );
            self.warn(writers, "subscriber_slow", "blocks its thread; it is served apart and may lag");
        }
    }

    /// Tells the log, if it has room and goes on.
    fn warn(&self, writers: &[Writer], code: &str, what: &str) {
        for writer in writers {
            let message = format!("subscriber `{}` {what}", self.name);
            let data = json!({"code": code, "subscriber": self.name, "message": message});
            let mut events = vec![Event::named(None, EventType::WARNING, &data)];
            if let Err(error) = writer.try_append(&mut events) {
                tracing::debug!(%error, "the log takes no warning any more");
            }
        }
    }
}

struct Task {
    /// `None` while a thread for blocking work has it.
    pump: Option<Pump>,
    on_missed: Option<OnMissed>,
    control: Arc<Control>,
    told: Arc<Told>,
    slow_after: Duration,
}

impl Task {
    async fn run(mut self) -> Result<(), ViewError> {
        let result = self.serve().await;
        if let Some(pump) = &mut self.pump {
            pump.drop_chain();
        }
        result
    }

    async fn serve(&mut self) -> Result<(), ViewError> {
        let mut apart = self.slow_after.is_zero();
        let tells = !apart;
        let mut blocking = Blocking::from(Instant::now());
        loop {
            let Some(next) = self.next().await else { return Ok(()) };
            match next {
                Next::Turn => {}
                Next::Missed(missed) => {
                    self.missed(&missed)?;
                    continue;
                }
                Next::Ended(result) => return result,
            }
            let turned = if apart { self.turn_apart().await } else { self.turn() };
            match turned {
                None => return Ok(()),
                Some(Turned::Panicked) => return Err(self.panicked()),
                // What takes no longer than a turn may is no matter, and costs no look at the time.
                Some(Turned::Took(took)) if took > TURN => {
                    let blocked = blocking.add(took - TURN, Instant::now());
                    apart |= blocked >= self.slow_after;
                    if tells && blocked >= self.slow_after.saturating_mul(TOLD_AFTER) {
                        self.told.slow(self.writers(), blocked);
                    }
                }
                Some(Turned::Took(_)) => {}
            }
            if self.control.panics.load(Ordering::Acquire) > 0 {
                self.told.panicked(self.writers());
            }
            // Other tasks come first; there may be more at once.
            yield_now().await;
        }
    }

    /// Waits for something to do; `None` once the subscription is stopped.
    async fn next(&mut self) -> Option<Next> {
        poll_fn(|cx| {
            self.control.task.register(cx.waker());
            let Some(pump) = self.pump.as_mut().filter(|_| !self.control.is_stopped()) else {
                return Poll::Ready(None);
            };
            pump.poll(cx).map(Some)
        })
        .await
    }

    fn turn(&mut self) -> Option<Turned> {
        self.pump.as_mut().map(|pump| pump.turn(&self.control.stopped))
    }

    /// A turn on a thread that may be blocked. `None` if the runtime is shutting down.
    async fn turn_apart(&mut self) -> Option<Turned> {
        let (mut pump, control) = (self.pump.take()?, self.control.clone());
        let span = tracing::Span::current();
        let turned = spawn_blocking(move || {
            let turned = span.in_scope(|| pump.turn(&control.stopped));
            (pump, turned)
        });
        let (pump, turned) = turned.await.ok()?;
        self.pump = Some(pump);
        Some(turned)
    }

    fn missed(&mut self, missed: &Missed) -> Result<(), ViewError> {
        let Some(on_missed) = &mut self.on_missed else {
            tracing::warn!(subscriber = self.told.name, ?missed, "subscriber missed something");
            return Ok(());
        };
        match catch_unwind(AssertUnwindSafe(|| on_missed(missed))) {
            Ok(()) => Ok(()),
            Err(panic) => {
                trace_panic(panic.as_ref());
                Err(self.panicked())
            }
        }
    }

    fn panicked(&self) -> ViewError {
        self.told.panicked(self.writers());
        ViewError::SubscriberPanicked { subscriber: self.told.name.clone() }
    }

    fn writers(&self) -> &[Writer] {
        self.pump.as_ref().map_or(&[], |pump| &pump.writers)
    }
}
