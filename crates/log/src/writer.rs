//! The one place where entries get their numbers.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use streamnest_core::{
    Appended, AttributeChange, Class, Entry, Event, Seq, StoreError, payload::StatusUpdate,
};

use crate::{
    Error,
    attributes::weight,
    event_log::{EventLog, State},
    wake::Woken,
};

/// How many entries an append may hold for its memory to be kept for the next one.
const SCRATCH_ENTRIES: usize = 256;

thread_local! {
    /// What an append writes its entries to before the store takes them; empty between appends. The thread's, for a log's own
    /// would have left the processor's cache each time where many logs take turns.
    static SCRATCH: Cell<Vec<Arc<Entry>>> = const { Cell::new(Vec::new()) };
}

/// The one writer of a log: it gives each event its [`Seq`] and its time.
///
/// A cheap handle; all clones are the same writer. Events that different clones append at once are put in an order by
/// a lock, each append in one piece.
#[derive(Clone)]
pub struct Writer {
    log: Arc<EventLog>,
}

impl Writer {
    pub(crate) const fn new(log: Arc<EventLog>) -> Self {
        Self { log }
    }

    /// The log that it writes.
    pub const fn log(&self) -> &Arc<EventLog> {
        &self.log
    }

    /// Appends `events` in order and in one piece, and returns the last one's sequence number.
    ///
    /// The store has accepted them when this returns; readers see them once they are durable. Waits only while
    /// [`LogOptions::max_pending_bytes`](crate::LogOptions::max_pending_bytes) are not durable yet, never for readers.
    ///
    /// # Errors
    /// [`Error::EventTooLarge`], and then none is appended; [`Error::Sealed`]; [`Error::Removed`]; [`Error::Store`].
    ///
    /// # Cancel safety
    /// Safe: all or none are appended.
    pub async fn append(&self, events: impl IntoIterator<Item = Event>) -> Result<Seq, Error> {
        let mut events: Vec<Event> = events.into_iter().collect();
        let bytes = self.check(&events)?;
        let appended = self.wait_until(|state| {
            let fits = self.fits(state, bytes);
            fits.then(|| self.append_now(state, &mut events, false))
        });
        self.tell(appended.await)
    }

    /// Appends `events`, and changes attributes, in one piece; without events it changes attributes only, also those of a
    /// log that has ended.
    ///
    /// The store has accepted them when this returns; wait with [`settled`](Self::settled) until they are durable.
    ///
    /// # Errors
    /// As [`append`](Self::append), and [`Error::TooManyAttributes`], [`Error::AttributesTooLarge`].
    ///
    /// # Cancel safety
    /// Safe: all or none are appended and changed.
    pub async fn append_with(
        &self,
        events: impl IntoIterator<Item = Event>,
        changes: Vec<AttributeChange>,
    ) -> Result<Accepted, Error> {
        self.append_or_close(events.into_iter().collect(), changes, false).await
    }

    /// As [`append_with`](Self::append_with), and nothing follows. Unlike [`finish_with`](Self::finish_with) this appends no
    /// status: it is for logs that are no execution's.
    ///
    /// # Errors
    /// As [`append_with`](Self::append_with).
    ///
    /// # Cancel safety
    /// Safe: all happens or nothing.
    pub async fn close_with(
        &self,
        events: impl IntoIterator<Item = Event>,
        changes: Vec<AttributeChange>,
    ) -> Result<Accepted, Error> {
        self.append_or_close(events.into_iter().collect(), changes, true).await
    }

    async fn append_or_close(
        &self,
        mut events: Vec<Event>,
        changes: Vec<AttributeChange>,
        closed: bool,
    ) -> Result<Accepted, Error> {
        let bytes = self.check(&events)? + changes.iter().map(weight).sum::<usize>();
        let appended = self.wait_until(|state| {
            let fits = self.fits(state, bytes);
            fits.then(|| {
                let outcome = self.append_all(state, &mut events, &changes, closed);
                (outcome, state.attributes.accepted())
            })
        });
        let (outcome, accepted) = appended.await;
        Ok(Accepted { last: self.tell(outcome)?, changes: accepted, closed })
    }

    /// All that was accepted so far.
    pub fn so_far(&self) -> Accepted {
        let state = self.log.lock();
        Accepted { last: state.accepted, changes: state.attributes.accepted(), closed: state.sealing }
    }

    /// Keeps others who do this out until what it returns is dropped: for who has to look at the log before it appends.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.log.turn.lock().await
    }

    /// Waits until what was accepted is durable: the entries visible, the attributes to be read.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Removed`] if it never will be.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn settled(&self, accepted: Accepted) -> Result<(), Error> {
        self.wait_until(|state| {
            let kept = state.last >= accepted.last && state.attributes.settled() >= accepted.changes;
            let settled = kept && (state.sealed || !accepted.closed);
            if settled { Some(Ok(())) } else { lost(state) }
        })
        .await
    }

    /// How many attributes whose keys begin with `prefix` were accepted, durable or not.
    pub(crate) fn count_attributes(&self, prefix: &str) -> usize {
        self.log.lock().attributes.count(prefix)
    }

    /// An attribute as it was accepted last, durable or not; [`EventLog::attribute`] has what is durable.
    pub fn attribute(&self, key: &str) -> Option<Bytes> {
        self.log.lock().attributes.newest(key).cloned()
    }

    /// Appends `events` in order and in one piece if there is room now, and takes them out of the vector.
    ///
    /// `None` means that [`LogOptions::max_pending_bytes`](crate::LogOptions::max_pending_bytes) are not durable yet: wait for
    /// [`room`](Self::room) and try again. For callers that must append in the order of a lock of their own.
    ///
    /// # Errors
    /// As [`append`](Self::append), and then the events stay where they are.
    pub fn try_append(&self, events: &mut Vec<Event>) -> Result<Option<Seq>, Error> {
        self.try_append_with(events, &[])
    }

    /// As [`try_append`](Self::try_append), and changes attributes, in one piece.
    ///
    /// # Errors
    /// As [`try_append`](Self::try_append), and [`Error::TooManyAttributes`], [`Error::AttributesTooLarge`].
    pub fn try_append_with(
        &self,
        events: &mut Vec<Event>,
        changes: &[AttributeChange],
    ) -> Result<Option<Seq>, Error> {
        let bytes = self.check(events)? + changes.iter().map(weight).sum::<usize>();
        let appended = {
            let mut state = self.log.lock();
            if !self.fits(&state, bytes) {
                state.wanted_bytes = state.wanted_bytes.max(bytes);
                return Ok(None);
            }
            state.wanted_bytes = 0;
            self.append_all(&mut state, events, changes, false)
        };
        self.tell(appended).map(Some)
    }

    /// Waits until there is room for what [`try_append`](Self::try_append) had no room for.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn room(&self) {
        self.wait_until(|state| self.fits(state, state.wanted_bytes).then_some(())).await;
    }

    /// Appends the terminal status and seals the log: nothing follows it.
    ///
    /// # Errors
    /// [`Error::Sealed`] if it was sealed already; [`Error::Store`].
    ///
    /// # Cancel safety
    /// Safe: it happens before the first await or not at all.
    pub async fn finish(&self, last: StatusUpdate) -> Result<Seq, Error> {
        self.finish_with([], last).await
    }

    /// Appends `events` and after them the terminal status, in one piece, and seals the log.
    ///
    /// # Errors
    /// [`Error::Sealed`] if it was sealed already; [`Error::Store`]. A status whose result is larger than
    /// [`LogOptions::max_event_bytes`](crate::LogOptions::max_event_bytes) is [`Error::EventTooLarge`].
    ///
    /// # Cancel safety
    /// Safe: it happens before the first await or not at all.
    pub async fn finish_with(
        &self,
        events: impl IntoIterator<Item = Event>,
        last: StatusUpdate,
    ) -> Result<Seq, Error> {
        debug_assert!(last.status.is_terminal(), "only a terminal status ends a log");
        let mut events: Vec<Event> = events.into_iter().chain([Event::status(&last)]).collect();
        self.check(&events)?;
        let appended = self.append_now(&mut self.log.lock(), &mut events, true);
        let seq = self.tell(appended)?;
        self.wait_until(|state| if state.sealed { Some(Ok(())) } else { lost(state) }).await?;
        Ok(seq)
    }

    /// Seals a log whose last entry is its terminal status already: who wrote that was stopped before it could.
    ///
    /// # Errors
    /// [`Error::Sealed`] if it is sealed; [`Error::Store`].
    ///
    /// # Cancel safety
    /// Safe: it happens before the first await or not at all.
    pub async fn seal(&self) -> Result<Seq, Error> {
        let sealed = {
            let mut state = self.log.lock();
            match state.sealing && !state.seal_owed {
                true => Outcome::refused(Error::Sealed { last: state.accepted }),
                false => self.append_now(&mut state, &mut Vec::new(), true),
            }
        };
        let seq = self.tell(sealed)?;
        self.wait_until(|state| if state.sealed { Some(Ok(())) } else { lost(state) }).await?;
        Ok(seq)
    }

    /// Gives the log up without a terminal status: nothing more is accepted, and its readers get `error` once they have
    /// read what is visible. It may then be evicted like one that ended. Does nothing to a log that is sealed or removed.
    ///
    /// What was accepted before may still become durable.
    pub fn abandon(&self, error: Error) {
        let wakers = {
            let mut state = self.log.lock();
            if state.sealed || matches!(state.failed, Some(Error::Removed)) {
                return;
            }
            self.log.shared.finished(self.log.identity().name(), state.accepted_time);
            self.log.fail(&mut state, error)
        };
        self.log.wake(wakers);
        self.log.room.notify_waiters();
    }

    /// Waits until the entry `seq` is durable, and so visible.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Removed`] if it never will be.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn durable(&self, seq: Seq) -> Result<(), Error> {
        self.wait_until(|state| if state.last >= seq { Some(Ok(())) } else { lost(state) }).await
    }

    fn check(&self, events: &[Event]) -> Result<usize, Error> {
        let limit = self.log.shared.options.max_event_bytes;
        let mut bytes = 0;
        for event in events {
            let size = event.payload().len();
            // Who appends data has checked it against a bound of its own.
            if size > limit && event.class() != Class::Data {
                return Err(Error::EventTooLarge { size, limit });
            }
            bytes += size + Entry::OVERHEAD;
        }
        Ok(bytes)
    }

    /// Whether `bytes` more may wait for the store. A broken store lets everything through, to its error.
    fn fits(&self, state: &State, bytes: usize) -> bool {
        let limit = self.log.shared.options.max_pending_bytes;
        state.pending_bytes == 0 || state.pending_bytes + bytes <= limit || state.failed.is_some()
    }

    /// Waits until `done`, which is asked under the lock, has an answer.
    async fn wait_until<T>(&self, mut done: impl FnMut(&mut State) -> Option<T>) -> T {
        if let Some(answer) = done(&mut self.log.lock()) {
            return answer;
        }
        loop {
            let changed = self.log.room.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(answer) = done(&mut self.log.lock()) {
                return answer;
            }
            changed.await;
        }
    }

    fn append_now(&self, state: &mut State, events: &mut Vec<Event>, seal: bool) -> Outcome {
        self.append_all(state, events, &[], seal)
    }

    fn append_all(
        &self,
        state: &mut State,
        events: &mut Vec<Event>,
        changes: &[AttributeChange],
        seal: bool,
    ) -> Outcome {
        if let Some(error) = &state.failed {
            return Outcome::refused(error.clone());
        }
        if state.seal_owed && seal {
            return self.seal_now(state, Appended::Durable);
        }
        if state.sealing && !events.is_empty() {
            return Outcome::refused(Error::Sealed { last: state.accepted });
        }
        if !changes.is_empty()
            && let Err(error) = state.attributes.check(changes, &self.log.shared.options)
        {
            return Outcome::refused(error);
        }
        // A wall clock may step back; within a log time does not.
        let time = self.log.shared.clock.now().max(state.accepted_time);
        let mut seq = state.accepted;
        let mut bytes = 0;
        let mut entries = SCRATCH.try_with(Cell::take).unwrap_or_default();
        // Several are encoded by their first reader, as one block.
        let live = state.live_format.filter(|_| events.len() == 1 && !state.waiters.is_empty());
        entries.extend(events.drain(..).map(|event| {
            seq = seq.next();
            let mut entry = Entry::new(seq, time, event);
            if let Some(format) = live {
                format.encode(self.log.identity(), &mut entry);
                self.log.encoded.fetch_add(1, Ordering::Relaxed);
            }
            bytes += entry.weight();
            Arc::new(entry)
        }));
        let mut appended = Appended::Durable;
        if !entries.is_empty() || !changes.is_empty() {
            match self.log.stored().append(self.log.term, state.accepted, &entries, changes) {
                Ok(answer) => appended = answer,
                Err(error) => {
                    events.extend(entries.iter().map(|entry| entry.event().clone()));
                    return self.refused(state, error);
                }
            }
        }
        if !entries.is_empty() {
            state.accepted = seq;
            state.accepted_time = time;
        }
        if !changes.is_empty() {
            let count = state.accept_changes(changes.to_vec());
            if appended == Appended::Durable {
                state.settle_changes(count);
            }
        }
        if appended == Appended::Durable && state.pending.is_empty() && !seal {
            let wakers = self.log.publish_at_once(state, &mut entries);
            keep(entries);
            return Outcome { result: Ok(state.accepted), wakers };
        }
        state.pending_bytes += bytes;
        state.pending.extend(entries.drain(..));
        keep(entries);
        if seal {
            return self.seal_now(state, appended);
        }
        self.accepted(state, appended, false)
    }

    /// Seals after the last entry, which the store `appended`.
    fn seal_now(&self, state: &mut State, appended: Appended) -> Outcome {
        state.sealing = true;
        match self.log.stored().seal(self.log.term, state.accepted) {
            Ok(sealed) => {
                state.seal_owed = false;
                let both = if sealed == Appended::Durable { appended } else { Appended::Pending };
                self.accepted(state, both, true)
            }
            Err(error) => {
                // The entries are accepted, so they stand, and nothing follows them. Only the seal may be tried again.
                state.seal_owed = true;
                let accepted = self.accepted(state, appended, false);
                let refused = self.refused(state, error);
                Outcome { result: refused.result, wakers: accepted.wakers.and(refused.wakers) }
            }
        }
    }

    fn accepted(&self, state: &mut State, appended: Appended, sealed: bool) -> Outcome {
        let seq = state.accepted;
        let wakers = match appended {
            Appended::Durable => self.log.publish(state, seq, sealed),
            Appended::Pending => Woken::default(),
        };
        Outcome { result: Ok(seq), wakers }
    }

    /// The store refused. If it will always refuse this writer, readers hear of it too.
    fn refused(&self, state: &mut State, error: StoreError) -> Outcome {
        let for_good = !error.is_retryable();
        let error = Error::Store(error);
        let wakers = if for_good { self.log.fail(state, error.clone()) } else { Woken::default() };
        Outcome { result: Err(error), wakers }
    }

    /// Wakes whom an append concerns, now that the lock is free.
    fn tell(&self, outcome: Outcome) -> Result<Seq, Error> {
        self.log.wake(outcome.wakers);
        if outcome.result.is_err() {
            self.log.room.notify_waiters();
        }
        outcome.result
    }

    /// Why the store has refused this writer for good, if it has.
    pub fn failed(&self) -> Option<StoreError> {
        match &self.log.lock().failed {
            Some(Error::Store(error)) => Some(error.clone()),
            _ => None,
        }
    }
}

/// What an append was given: to be awaited with [`Writer::settled`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The last entry of the log after it.
    pub last: Seq,
    changes: u64,
    closed: bool,
}

/// Keeps the memory of an append for this thread's next one.
fn keep(scratch: Vec<Arc<Entry>>) {
    if scratch.capacity() <= SCRATCH_ENTRIES {
        // A thread that ends has no use for it.
        let _ = SCRATCH.try_with(|kept| kept.set(scratch));
    }
}

/// Why an entry that is not visible will never be, if so. What was accepted before a failure may still become durable.
fn lost<T>(state: &State) -> Option<Result<T, Error>> {
    state.failed.as_ref().filter(|_| state.pending.is_empty()).map(|error| Err(error.clone()))
}

/// What came of an append, to be told without the lock.
struct Outcome {
    result: Result<Seq, Error>,
    wakers: Woken,
}

impl Outcome {
    fn refused(error: Error) -> Self {
        Self { result: Err(error), wakers: Woken::default() }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("log", &self.log).field("term", &self.log.term).finish()
    }
}
