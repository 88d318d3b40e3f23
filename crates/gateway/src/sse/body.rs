//! The body of an event stream: it pulls from a cursor and hands out bytes that all streams share.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use streamnest_core::{Entry, Position};
use streamnest_log::{Cursor, Filter, Read, ReadLimit};
use streamnest_protocol::native::{Replay, ServerFrame, Snapshot, SseEvent, sse};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    account::Account,
    compact::{Compact, Compacted},
    connection::{choose, gap_frame, weight_before},
    http::error_frame,
    leaving::Leaving,
    shared::Shared,
};

/// Entries in one read. Fewer than over WebSocket: hyper holds what it was handed until it is written.
const BATCH_ENTRIES: usize = 256;
/// Reads of which nothing is sent, after which others have their turn.
const FRUITLESS_READS: usize = 16;

/// What an event stream still has to say.
pub(super) struct EventStream {
    cursor: Cursor,
    filter: Option<Box<Filter>>,
    /// What the reader has missed, while that is folded.
    compact: Option<Box<Compact>>,
    limit: ReadLimit,
    /// What is handed out next, the next one last.
    owed: Vec<Bytes>,
    heartbeat: Pin<Box<Sleep>>,
    heartbeat_interval: Duration,
    heartbeats: bool,
    leaving: Leaving,
    /// The position that the reader knows; a filter may have passed others since.
    told: Position,
    ended: bool,
    account: Account,
    shared: Arc<Shared>,
}

impl EventStream {
    pub(super) fn new(
        cursor: Cursor,
        filter: Option<Box<Filter>>,
        replay: Replay,
        account: Account,
        shared: &Arc<Shared>,
    ) -> Self {
        let options = &shared.options;
        let is_compact = replay == Replay::Compact;
        let mut greeting = sse::HEARTBEAT.to_vec();
        sse::retry(options.sse_retry, &mut greeting);
        Self {
            told: cursor.position(),
            compact: if is_compact { Compact::of(&cursor, options.max_write_bytes) } else { None },
            cursor,
            filter,
            limit: ReadLimit { entries: BATCH_ENTRIES, bytes: options.max_write_bytes },
            owed: vec![greeting.into()],
            heartbeat: Box::pin(sleep_until(Instant::now() + options.heartbeat_interval)),
            heartbeat_interval: options.heartbeat_interval,
            heartbeats: options.heartbeats,
            leaving: Leaving::new(shared),
            ended: false,
            account,
            shared: shared.clone(),
        }
    }

    /// Takes what comes next from the log; whether the stream goes on.
    fn poll_log(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        for _ in 0..FRUITLESS_READS {
            ready!(self.account.poll_turn(cx, self.limit.bytes));
            let read = match self.cursor.poll_next_batch(cx, self.limit) {
                Poll::Pending => {
                    self.account.rest(|| self.cursor.lag());
                    return Poll::Pending;
                }
                Poll::Ready(Ok(Some(read))) => read,
                Poll::Ready(Ok(None)) => return Poll::Ready(false),
                Poll::Ready(Err(error)) => {
                    let execution = self.cursor.log().identity().subject();
                    tracing::warn!(execution, %error, "event stream cannot read its log");
                    let mut event = Vec::new();
                    error_frame(&error).encode_sse(&mut event);
                    self.owed.push(event.into());
                    self.ended = true;
                    return Poll::Ready(true);
                }
            };
            let mut unsent = 0;
            match read {
                Read::Gap(gap) => {
                    self.shared.metrics.gap(gap.reason);
                    let log = self.cursor.log();
                    let before = self.compact.as_mut().and_then(|compact| compact.cut(log, None));
                    self.owe(before);
                    self.compact = self.compact.take().filter(|compact| !compact.is_over_at(gap.to));
                    let mut event = Vec::new();
                    gap_frame(self.cursor.log(), gap, None)
                        .iter()
                        .for_each(|frame| frame.encode_sse(&mut event));
                    self.owed.push(event.into());
                    self.told = self.cursor.position();
                }
                Read::Batch(batch) => unsent = self.take(&batch),
            }
            // What was read again is what the log gave, however little of it is sent.
            self.account.took(self.owed.iter().map(Bytes::len).sum::<usize>() + unsent);
            if !self.owed.is_empty() {
                self.account.look(|| behind(&self.cursor, self.compact.as_deref()));
                self.owed.reverse();
                return Poll::Ready(true);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What is handed out next; `None` if nothing ever is.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(next) = self.owed.pop() {
            return Poll::Ready(Some(next));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        match self.poll_log(cx) {
            Poll::Ready(true) => Poll::Ready(self.owed.pop()),
            Poll::Ready(false) => Poll::Ready(None),
            // What is there is still sent, so that nobody misses the end of a run that ended in time.
            Poll::Pending if Pin::new(&mut self.leaving).poll(cx).is_ready() => Poll::Ready(None),
            Poll::Pending if self.heartbeat.as_mut().poll(cx).is_ready() => {
                let beat = self.beat();
                // Lets the timer know who waits for the next one.
                let _ = self.heartbeat.as_mut().poll(cx);
                beat.map_or(Poll::Pending, |beat| Poll::Ready(Some(beat)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn owe(&mut self, snapshot: Option<Box<Snapshot>>) {
        let Some(snapshot) = snapshot else { return };
        let mut event = Vec::new();
        ServerFrame::Snapshot(snapshot).encode_sse(&mut event);
        self.owed.push(event.into());
    }

    /// Owes what was read; how many bytes of it are not sent as they are.
    fn take(&mut self, mut entries: &[Arc<Entry>]) -> usize {
        let mut unsent = 0;
        if let Some(compact) = &mut self.compact {
            let taken = compact.take(self.cursor.log(), entries, self.filter.as_deref(), None);
            let Compacted { snapshot, rest, is_over } = taken;
            unsent += weight_before(rest, entries);
            entries = rest;
            if is_over {
                self.compact = None;
            }
            self.told = snapshot.as_ref().map_or(self.told, |snapshot| snapshot.position);
            self.owe(snapshot);
        }
        let log = self.cursor.log();
        match &self.filter {
            None => log.encoded::<SseEvent>(entries, &mut self.owed),
            Some(filter) => {
                let (chosen, left_out) = choose(filter, entries);
                unsent += left_out;
                log.encoded::<SseEvent>(&chosen, &mut self.owed);
            }
        }
        if let (false, Some(last)) = (self.owed.is_empty(), entries.last()) {
            // The reader's own last event may be before it, and that is where it resumes. That is no loss: what lies
            // between did not pass the filter.
            self.told = log.position(last.seq());
        }
        unsent
    }

    /// A comment, if there are to be heartbeats; where a filter let nothing through for a while, with the position that was reached, so that the
    /// reader resumes there. An event without data fires nothing (WHATWG HTML §9.2.6).
    fn beat(&mut self) -> Option<Bytes> {
        self.heartbeat.as_mut().reset(Instant::now() + self.heartbeat_interval);
        self.account.look(|| behind(&self.cursor, self.compact.as_deref()));
        if !self.heartbeats {
            return None;
        }
        // What is folded is not sent yet.
        let sent = self.compact.as_ref().and_then(|compact| compact.sent(self.cursor.log()));
        let position = sent.unwrap_or_else(|| self.cursor.position());
        if position == self.told {
            return Some(Bytes::from_static(sse::HEARTBEAT));
        }
        self.told = position;
        Some(format!(": hb\nid: {position}\n\n").into())
    }
}

/// How many entries its reader was not sent, those included that are folded.
fn behind(cursor: &Cursor, compact: Option<&Compact>) -> u64 {
    let log = cursor.log();
    let sent = compact.and_then(|compact| compact.sent(log)).unwrap_or_else(|| cursor.position());
    log.head().last.distance_from(sent.seq())
}

impl http_body::Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let next = ready!(this.poll_next(cx));
        if let Some(next) = &next {
            this.account.sent(next.len());
        }
        Poll::Ready(next.map(|next| Ok(Frame::data(next))))
    }
}
