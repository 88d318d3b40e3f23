//! A callback for the text of an execution, and what may be put before it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Batching, Observable, StreamUpdate, Subscriber, Subscription};

/// Calls a function with the text of token frames, in order, each once: what it is called with, put together, is the answer.
///
/// What may be put before the function is put there one by one, and each is an operator of the view. Any number of
/// handlers follow one view; none feels another, see [`Subscriber`].
///
/// ```
/// # use streamnest_runtime::{Batching, Observable, StreamHandler, StreamUpdate, TextMeter};
/// # use std::time::Duration;
/// # fn example(tokens: Observable<StreamUpdate>) {
/// let meter = TextMeter::new();
/// let handler = StreamHandler::new(|text: &str| print!("{text}"))
///     .metered(&meter)
///     .batched(Batching::default().with_max_items(10).with_max_wait(Duration::from_millis(50)));
/// let following = handler.follow(&tokens);
/// # drop(following);
/// # }
/// ```
///
/// A node that is tried again says its text again; a handler that must not show it twice looks at `visit` and `attempt` of
/// the frames themselves, which a view of [`StreamUpdate`]s has.
#[must_use = "a handler is called once it follows a view"]
pub struct StreamHandler {
    prepare: Prepare,
    subscriber: Subscriber<String>,
}

/// What is put between the view and the function.
type Prepare = Box<dyn FnOnce(Observable<String>) -> Observable<String> + Send>;

impl StreamHandler {
    /// Calls `on_text` with each piece of text.
    pub fn new(mut on_text: impl FnMut(&str) + Send + 'static) -> Self {
        let subscriber = Subscriber::new(move |text: String| on_text(&text)).named("stream-handler");
        Self { prepare: Box::new(|texts| texts), subscriber }
    }

    fn then(self, operator: impl FnOnce(Observable<String>) -> Observable<String> + Send + 'static) -> Self {
        let prepare = self.prepare;
        Self { prepare: Box::new(move |texts| operator(prepare(texts))), ..self }
    }

    /// Joins pieces: by count, by quiet and by age, whichever comes first. The last ones are kept at the end, also when the
    /// execution fails.
    pub fn batched(self, batching: Batching) -> Self {
        self.then(move |texts| texts.batches(batching).map(|texts| texts.concat()))
    }

    /// Counts what passes here.
    pub fn metered(self, meter: &TextMeter) -> Self {
        let meter = meter.clone();
        self.then(move |texts| texts.tap(move |text| meter.count(text)))
    }

    /// Tells the server's trace, at the level `debug`, what passes here.
    pub fn traced(self, name: &'static str) -> Self {
        self.then(move |texts| texts.tap(move |text| tracing::debug!(handler = name, text, "text passes")))
    }

    /// Says when text begins and ceases to come: `true` before the first piece, `false` once none has come for `pause` and at
    /// the end, and so on. For a typing indicator beside the text; nothing is ever written into it.
    pub fn typing(self, pause: Duration, on_typing: impl FnMut(bool) + Send + 'static) -> Self {
        let on_typing = Arc::new(Mutex::new(on_typing));
        self.then(move |texts| texts.activity(pause, move |typing| (*lock(&on_typing))(typing)))
    }

    /// A panic of the function costs it that one piece, and it goes on with the next. Default false.
    pub fn survives_panics(self, survives_panics: bool) -> Self {
        Self { subscriber: self.subscriber.survives_panics(survives_panics), ..self }
    }

    /// Follows the tokens among `updates`. When the subscription is dropped the function is no longer called.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn follow(self, updates: &Observable<StreamUpdate>) -> Subscription {
        let texts = updates.filter_map(|update| update.token()).map(|token| token.content);
        (self.prepare)(texts).subscribe_with(self.subscriber)
    }
}

impl fmt::Debug for StreamHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHandler").field("subscriber", &self.subscriber).finish_non_exhaustive()
    }
}

/// Figures of a text as it comes. A cheap handle.
#[derive(Clone, Debug)]
pub struct TextMeter(Arc<Mutex<Measured>>);

#[derive(Debug)]
struct Measured {
    began: Instant,
    first: Option<Instant>,
    last: Instant,
    pieces: u64,
    bytes: u64,
}

/// What a [`TextMeter`] has measured so far.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct TextStatistics {
    /// Pieces of text.
    pub pieces: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// The time from the making of the meter to the first piece.
    pub time_to_first: Option<Duration>,
    /// The time from the first piece to the last one.
    pub duration: Duration,
    /// Pieces per second over that time, the first one not counted; 0 before the second one.
    pub pieces_per_second: f64,
}

impl TextMeter {
    /// Begins to measure.
    pub fn new() -> Self {
        let began = Instant::now();
        Self(Arc::new(Mutex::new(Measured { began, first: None, last: began, pieces: 0, bytes: 0 })))
    }

    /// Counts a piece of text.
    pub fn count(&self, text: &str) {
        let mut measured = lock(&self.0);
        measured.last = Instant::now();
        measured.first = measured.first.or(Some(measured.last));
        measured.pieces += 1;
        measured.bytes += text.len() as u64;
    }

    /// The figures so far.
    pub fn statistics(&self) -> TextStatistics {
        let measured = lock(&self.0);
        let duration = measured.first.map_or(Duration::ZERO, |first| measured.last - first);
        let seconds = duration.as_secs_f64();
        let after_first = measured.pieces.saturating_sub(1) as f64;
        TextStatistics {
            pieces: measured.pieces,
            bytes: measured.bytes,
            time_to_first: measured.first.map(|first| first - measured.began),
            duration,
            pieces_per_second: if seconds > 0.0 { after_first / seconds } else { 0.0 },
        }
    }
}

impl Default for TextMeter {
    fn default() -> Self {
        Self::new()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
