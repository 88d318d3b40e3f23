//! What goes on on a connection, seen from beside it.
//!
//! Over HTTP/2 an answer that its client has no window for is not asked for more, so it cannot find out that it is over; and a
//! connection that asks nothing has nobody in it who would. Both are ended from here.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// One connection that the gateway accepted.
pub(crate) struct Watch {
    since: Instant,
    answers: Mutex<Answers>,
    is_blocked: AtomicBool,
    cut: CancellationToken,
}

/// The answers that are not given yet. HTTP/2 bounds how many there are.
struct Answers {
    open: Vec<Arc<Owed>>,
    none_since: Instant,
    had_one: bool,
}

/// Since when a piece of an answer waits for the client to take it, in ms since the connection began, and one more; 0 if none waits.
#[derive(Default)]
struct Owed(AtomicU64);

impl Watch {
    pub(crate) fn new() -> Arc<Self> {
        let since = Instant::now();
        Arc::new(Self {
            since,
            answers: Mutex::new(Answers { open: Vec::new(), none_since: since, had_one: false }),
            is_blocked: AtomicBool::new(false),
            cut: CancellationToken::new(),
        })
    }

    /// Says whether the socket has no room for what is to be written.
    pub(crate) fn block(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Release);
    }

    /// Whether what was written may still stand in buffers of ours.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Acquire)
    }

    /// Ends the connection, with all that it still owes.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Completes when the connection has to end.
    pub(super) async fn cuts(&self) {
        self.cut.cancelled().await;
    }

    /// A request came.
    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        let owed = Arc::<Owed>::default();
        let mut answers = self.answers();
        answers.had_one = true;
        answers.open.push(owed.clone());
        Turn { watch: self.clone(), owed }
    }

    /// Whether a request ever came.
    pub(super) fn was_asked(&self) -> bool {
        self.answers().had_one
    }

    /// Completes when no request was open for as long.
    pub(super) async fn is_idle(&self, limit: Duration) {
        loop {
            let idle_since = {
                let answers = self.answers();
                answers.open.is_empty().then_some(answers.none_since)
            };
            match idle_since {
                Some(since) if since.elapsed() >= limit => return,
                Some(since) => sleep_until(since + limit).await,
                // It cannot have been idle for as long before that.
                None => sleep(limit).await,
            }
        }
    }

    /// Completes when the client took nothing of an answer for as long.
    pub(super) async fn is_stalled(&self, limit: Duration) {
        loop {
            let waits = |owed: &Arc<Owed>| owed.0.load(Ordering::Relaxed).checked_sub(1);
            let oldest = self.answers().open.iter().filter_map(waits).min();
            match oldest.map(|at| self.since + Duration::from_millis(at) + limit) {
                Some(end) if end <= Instant::now() => return,
                Some(end) => sleep_until(end).await,
                None => sleep(limit).await,
            }
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request and its answer, until this is dropped.
pub(super) struct Turn {
    watch: Arc<Watch>,
    owed: Arc<Owed>,
}

impl Turn {
    fn owes(&self, owes: bool) {
        let now = match owes {
            true => {
                u64::try_from(self.watch.since.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
            }
            false => 0,
        };
        self.owed.0.store(now, Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut answers = self.watch.answers();
        answers.open.retain(|one| !Arc::ptr_eq(one, &self.owed));
        if answers.open.is_empty() {
            answers.none_since = Instant::now();
        }
    }
}

/// The body of an answer over HTTP/2, which tells whether its client takes it.
///
/// hyper takes a piece, waits until the client has a window for its first byte, leaves all of it to be sent as windows open, and
/// asks for the next. The last byte of each piece is given by itself: that it has a window for it says that all before it is on its
/// way, so when hyper asks again, nothing waits that nobody knows of.
pub(super) struct Watched {
    body: Body,
    last: Option<Bytes>,
    turn: Turn,
}

impl Watched {
    pub(super) const fn new(body: Body, turn: Turn) -> Self {
        Self { body, last: None, turn }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(last) = self.last.take() {
            return Poll::Ready(Some(Ok(Frame::data(last))));
        }
        self.turn.owes(false);
        let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(Ok(frame)) = next else { return Poll::Ready(next) };
        self.turn.owes(true);
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(mut data) if data.len() > 1 => {
                self.last = Some(data.split_off(data.len() - 1));
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(trailers) => trailers,
        })))
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.last.as_ref().map_or(0, |last| last.len() as u64);
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + held);
        }
        hint.set_lower(rest.lower() + held);
        hint
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.body.is_end_stream()
    }
}
