//! A reader's place in a log.

use std::{
    fmt,
    future::poll_fn,
    ops::Deref,
    sync::Arc,
    task::{Context, Poll, ready},
};

use streamnest_core::{BoxFuture, Class, Delivery, Entry, Position, Seq, StoreError};

use crate::{Error, EventLog, Start, event_log::State, wake::Ticket};

/// One reader of one log. It pulls; nothing is queued for it.
///
/// # Ordering
/// Batches are dense and in order: each entry's [`Seq`] is the one before plus one, across batches too, except where a
/// [`Gap`] says otherwise.
pub struct Cursor {
    log: Arc<EventLog>,
    place: Place,
    subscriber: bool,
    ticket: Option<Ticket>,
    cold: Option<BoxFuture<'static, Result<Vec<Arc<Entry>>, StoreError>>>,
}

/// How far a reader has come.
#[derive(Debug)]
struct Place {
    /// The last entry that was read.
    seq: Seq,
    /// Whether it began at a position that this log never handed out.
    foreign: bool,
    at_most_once: bool,
    /// [`LogOptions::at_most_once_lag`](crate::LogOptions::at_most_once_lag).
    lag: u64,
}

/// What a cursor found.
#[derive(Clone, Debug)]
pub enum Read {
    /// The next entries.
    Batch(Batch),
    /// Entries that this reader will never see.
    Gap(Gap),
}

/// One or more entries, in order and without gaps. Never empty.
#[derive(Clone, Debug)]
pub struct Batch(Vec<Arc<Entry>>);

impl Deref for Batch {
    type Target = [Arc<Entry>];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl IntoIterator for Batch {
    type Item = Arc<Entry>;
    type IntoIter = std::vec::IntoIter<Arc<Entry>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A range of entries that a reader missed. The next entry it reads is the one after `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The first entry missed.
    pub from: Seq,
    /// The last entry missed; before `from` if the log has lost nothing, but is not the one that the reader knew.
    pub to: Seq,
    /// Why.
    pub reason: GapReason,
}

/// Why a reader missed entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GapReason {
    /// Retention passed it.
    Trimmed,
    /// Its position is of another incarnation of the log; it reads this one from the start.
    Epoch,
    /// It lagged too far behind for what is delivered at most once.
    Lagged,
    /// The store has them, but not as they were written: a disk has flipped a bit.
    Damaged,
}

impl GapReason {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Epoch => "epoch",
            Self::Lagged => "lagged",
            Self::Damaged => "damaged",
        }
    }
}

/// How much one read returns at most. At least one entry is returned even if it is larger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimit {
    /// Entries. Default 1,024.
    pub entries: usize,
    /// Bytes of memory of the entries. Default 256 KiB.
    pub bytes: usize,
}

impl Default for ReadLimit {
    fn default() -> Self {
        Self { entries: 1_024, bytes: 256 << 10 }
    }
}

impl Cursor {
    pub(crate) fn new(log: Arc<EventLog>, from: Start, subscriber: bool) -> Self {
        let last = log.head().last;
        let (seq, foreign) = match from {
            Start::Beginning | Start::After(Position::BEFORE_FIRST) => (Seq::BEFORE_FIRST, false),
            Start::Now => (last, false),
            Start::After(position) => {
                let ours = position.epoch() == Some(log.identity().epoch()) && position.seq() <= last;
                if ours { (position.seq(), false) } else { (Seq::BEFORE_FIRST, true) }
            }
        };
        let place = Place { seq, foreign, at_most_once: false, lag: log.shared.options.at_most_once_lag };
        Self { log, place, subscriber, ticket: None, cold: None }
    }

    /// With [`Delivery::AtMostOnce`] it is moved past whatever it lags too far behind, and told; otherwise only past
    /// events that their producer sent at most once.
    #[must_use]
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.place.at_most_once = delivery == Delivery::AtMostOnce;
        self
    }

    /// It reads every entry that is kept, however far it lags, also those that their producer sent at most once.
    #[must_use]
    pub const fn unabridged(mut self) -> Self {
        self.place.lag = u64::MAX;
        self
    }

    /// The log that it reads.
    pub const fn log(&self) -> &Arc<EventLog> {
        &self.log
    }

    /// After the last entry that it read: start there again to go on.
    pub fn position(&self) -> Position {
        self.log.position(self.place.seq)
    }

    /// How many visible entries it has not read.
    pub fn lag(&self) -> u64 {
        self.log.lock().last.distance_from(self.place.seq)
    }

    /// Waits for entries after this cursor and returns them in order.
    ///
    /// The batch holds 1..=`limit.entries` entries and at most `limit.bytes` of them, except that one larger entry is
    /// still returned alone. `None` means that the log is sealed and fully read.
    ///
    /// # Errors
    /// [`Error::Store`] if a cold read fails, and then the cursor has not moved and the call may be repeated; or if
    /// the log's store broke and everything visible was read. [`Error::Removed`] if the log was removed before it
    /// ended, and everything visible was read.
    ///
    /// # Cancel safety
    /// Safe: the position moves only when the batch is returned.
    pub async fn next_batch(&mut self, limit: ReadLimit) -> Result<Option<Read>, Error> {
        poll_fn(|cx| self.poll_next_batch(cx, limit)).await
    }

    /// As [`next_batch`](Self::next_batch), by hand. If this is `Pending`, `cx` is woken once there is more.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch).
    pub fn poll_next_batch(
        &mut self,
        cx: &mut Context<'_>,
        limit: ReadLimit,
    ) -> Poll<Result<Option<Read>, Error>> {
        loop {
            if let Some(cold) = &mut self.cold {
                let read = ready!(cold.as_mut().poll(cx));
                self.cold = None;
                if let Some(read) = self.take_cold(read, limit)? {
                    return Poll::Ready(Ok(Some(read)));
                }
            }
            let mut state = self.log.lock();
            let place = &mut self.place;
            let trimmed = state.ledger.trimmed();
            if place.foreign || place.seq < trimmed {
                let reason = if place.foreign { GapReason::Epoch } else { GapReason::Trimmed };
                place.foreign = false;
                return Poll::Ready(Ok(Some(place.skip_to(trimmed, reason))));
            }
            if place.seq < state.last {
                if let Some(read) = place.take_hot(&state, limit) {
                    return Poll::Ready(Ok(Some(read)));
                }
                self.cold = Some(read_cold(&self.log, place.seq, state.last, limit));
                continue;
            }
            if state.sealed {
                return Poll::Ready(Ok(None));
            }
            // What was accepted before a failure may still become durable.
            if let (Some(error), true) = (&state.failed, state.pending.is_empty()) {
                return Poll::Ready(Err(error.clone()));
            }
            state.waiters.wait(&mut self.ticket, cx.waker());
            return Poll::Pending;
        }
    }

    /// Takes what the store read. `None` if there is nothing to take any more, because retention passed meanwhile.
    fn take_cold(
        &mut self,
        read: Result<Vec<Arc<Entry>>, StoreError>,
        limit: ReadLimit,
    ) -> Result<Option<Read>, Error> {
        let (last, trimmed) = self.log.kept();
        let seq = self.place.seq;
        match read {
            Ok(entries) if entries.first().is_some_and(|first| first.seq() == seq.next()) => {
                Ok(self.place.take(entries.iter(), last, limit))
            }
            Ok(_) if trimmed > seq => Ok(None),
            Ok(_) => Err(Error::Store(missing(seq))),
            Err(error) => {
                let Gap { to, reason, .. } = self.log.gap(seq, error)?;
                Ok(Some(self.place.skip_to(to, reason)))
            }
        }
    }
}

/// Reads what follows `seq` from the store.
fn read_cold(
    log: &EventLog,
    seq: Seq,
    last: Seq,
    limit: ReadLimit,
) -> BoxFuture<'static, Result<Vec<Arc<Entry>>, StoreError>> {
    let stored = log.stored().clone();
    // What is accepted but not visible may be in the store already.
    let visible = usize::try_from(last.distance_from(seq)).unwrap_or(usize::MAX);
    let entries = limit.entries.clamp(1, visible);
    Box::pin(async move { stored.read(seq.next(), entries, limit.bytes).await })
}

/// The error of a store that has not got what it said was durable.
pub(crate) fn missing(seq: Seq) -> StoreError {
    let source =
        std::io::Error::other(format!("entries after {seq} are visible but the store has not got them"));
    StoreError::Unavailable { source: Arc::new(source) }
}

impl Place {
    /// Takes from the hot tail; `None` if the next entry is not in it.
    fn take_hot(&mut self, state: &State, limit: ReadLimit) -> Option<Read> {
        self.take(state.hot_after(self.seq)?, state.last, limit)
    }

    /// Takes as many of `entries`, which follow this place, as the limit allows.
    fn take<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Arc<Entry>>,
        last: Seq,
        limit: ReadLimit,
    ) -> Option<Read> {
        let late = last.get().saturating_sub(self.lag);
        let skips = |entry: &Entry| {
            let event = entry.event();
            entry.seq().get() <= late
                && (self.at_most_once || event.delivery() == Delivery::AtMostOnce)
                && event.class() != Class::Status
        };
        let mut entries = entries.peekable();
        let mut skipped = None;
        while let Some(entry) = entries.next_if(|entry| skips(entry)) {
            skipped = Some(entry.seq());
        }
        if let Some(to) = skipped {
            return Some(self.skip_to(to, GapReason::Lagged));
        }
        let mut batch = Vec::with_capacity(limit.entries.clamp(1, entries.size_hint().0.max(1)));
        let mut bytes = 0;
        while batch.len() < limit.entries.max(1) {
            let fits = |entry: &&Arc<Entry>| batch.is_empty() || bytes + entry.weight() <= limit.bytes;
            let Some(entry) = entries.next_if(|entry| fits(entry) && !skips(entry)) else { break };
            bytes += entry.weight();
            batch.push(entry.clone());
        }
        self.seq = batch.last()?.seq();
        Some(Read::Batch(Batch(batch)))
    }

    fn skip_to(&mut self, to: Seq, reason: GapReason) -> Read {
        let from = self.seq.next();
        self.seq = to;
        Read::Gap(Gap { from, to, reason })
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.log.lock().waiters.leave(&mut self.ticket);
        }
        if self.subscriber {
            self.log.unsubscribe();
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("log", &self.log.identity().name())
            .field("seq", &self.place.seq)
            .finish_non_exhaustive()
    }
}
