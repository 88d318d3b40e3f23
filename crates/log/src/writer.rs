//! The one place where entries get their numbers.

use std::{fmt, sync::Arc};

use streamnest_core::{Appended, Entry, Event, Seq, StoreError, Term, Timestamp, payload::StatusUpdate};

use crate::{
    Error,
    event_log::{EventLog, State},
};

/// The one writer of a log: it gives each event its [`Seq`] and its time.
///
/// A cheap handle; all clones are the same writer. Events that different clones append at once are put in an order by
/// a lock, each append in one piece.
#[derive(Clone)]
pub struct Writer {
    log: Arc<EventLog>,
    term: Term,
}

impl Writer {
    pub(crate) const fn new(log: Arc<EventLog>, term: Term) -> Self {
        Self { log, term }
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
    /// [`Error::EventTooLarge`], and then none is appended; [`Error::Sealed`]; [`Error::Store`].
    ///
    /// # Cancel safety
    /// Safe: all or none are appended.
    pub async fn append(&self, events: impl IntoIterator<Item = Event>) -> Result<Seq, Error> {
        let events: Vec<Event> = events.into_iter().collect();
        let bytes = self.check(&events)?;
        self.room_for(bytes).await;
        self.append_now(events, false)
    }

    /// Appends `events` in order and in one piece if there is room now, and takes them out of the vector.
    ///
    /// `None` means that [`LogOptions::max_pending_bytes`](crate::LogOptions::max_pending_bytes) are not durable yet: wait for
    /// [`room`](Self::room) and try again. For callers that must append in the order of a lock of their own.
    ///
    /// # Errors
    /// As [`append`](Self::append), and then the events stay where they are.
    pub fn try_append(&self, events: &mut Vec<Event>) -> Result<Option<Seq>, Error> {
        let bytes = self.check(events)?;
        if !self.fits(&self.log.lock(), bytes) {
            return Ok(None);
        }
        self.append_now(std::mem::take(events), false).map(Some)
    }

    /// Waits until there is room for more that is not durable yet.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn room(&self) {
        self.room_for(size_of::<Entry>()).await;
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
        let events: Vec<Event> = events.into_iter().chain([Event::status(&last)]).collect();
        self.check(&events)?;
        let seq = self.append_now(events, true)?;
        self.durable(seq).await?;
        Ok(seq)
    }

    /// Waits until the entry `seq` is durable, and so visible.
    ///
    /// # Errors
    /// [`Error::Store`] if it never will be.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn durable(&self, seq: Seq) -> Result<(), Error> {
        let done = |state: &State| match (&state.failed, state.last >= seq) {
            (_, true) => Some(Ok(())),
            (Some(error), false) => Some(Err(Error::Store(error.clone()))),
            (None, false) => None,
        };
        self.wait_until(done).await
    }

    fn check(&self, events: &[Event]) -> Result<usize, Error> {
        let limit = self.log.shared.options.max_event_bytes;
        if let Some(size) = events.iter().map(|event| event.payload().len()).find(|size| *size > limit) {
            return Err(Error::EventTooLarge { size, limit });
        }
        Ok(events.iter().map(|event| event.payload().len() + size_of::<Entry>()).sum())
    }

    async fn room_for(&self, bytes: usize) {
        self.wait_until(|state| self.fits(state, bytes).then_some(())).await;
    }

    /// Whether `bytes` more may wait for the store. A broken store lets everything through, to its error.
    fn fits(&self, state: &State, bytes: usize) -> bool {
        let limit = self.log.shared.options.max_pending_bytes;
        state.pending_bytes == 0 || state.pending_bytes + bytes <= limit || state.failed.is_some()
    }

    /// Waits until `done` says something of the state.
    async fn wait_until<T>(&self, done: impl Fn(&State) -> Option<T>) -> T {
        if let Some(answer) = done(&self.log.lock()) {
            return answer;
        }
        loop {
            let changed = self.log.room.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(answer) = done(&self.log.lock()) {
                return answer;
            }
            changed.await;
        }
    }

    fn append_now(&self, events: Vec<Event>, seal: bool) -> Result<Seq, Error> {
        let shared = &self.log.shared;
        let now = shared.clock.now();
        let mut state = self.log.lock();
        if let Some(error) = &state.failed {
            return Err(Error::Store(error.clone()));
        }
        if state.sealing {
            return Err(Error::Sealed { last: state.accepted });
        }
        let expected_last = state.accepted;
        // A wall clock may step back; within a log time does not.
        let time = now.max(state.accepted_time);
        let mut seq = expected_last;
        let number = |event| {
            seq = seq.next();
            Arc::new(Entry::new(seq, time, event))
        };
        let entries: Vec<Arc<Entry>> = events.into_iter().map(number).collect();
        let mut appended = Appended::Durable;
        if !entries.is_empty() {
            appended = self.log.stored().append(self.term, expected_last, &entries)?;
        }
        if seal {
            match self.log.stored().seal(self.term, seq) {
                Ok(Appended::Durable) => {}
                Ok(Appended::Pending) => appended = Appended::Pending,
                Err(error) => {
                    // The entries are accepted, so they stand; the log just never ends.
                    self.accept(&mut state, seq, time, entries);
                    return Err(Error::Store(error));
                }
            }
        }
        state.sealing = seal;
        self.accept(&mut state, seq, time, entries);
        if appended == Appended::Pending {
            return Ok(seq);
        }
        let wakers = self.log.publish(&mut state, seq, seal);
        drop(state);
        shared.relay.wake(wakers, shared.options.wake_inline);
        Ok(seq)
    }

    fn accept(&self, state: &mut State, last: Seq, time: Timestamp, entries: Vec<Arc<Entry>>) {
        state.accepted = last;
        state.accepted_time = time;
        state.pending_bytes += entries.iter().map(|entry| entry.weight()).sum::<usize>();
        state.pending.extend(entries);
    }

    /// Whether the store has refused this writer for good.
    pub fn failed(&self) -> Option<StoreError> {
        self.log.lock().failed.clone()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("log", &self.log).field("term", &self.term).finish()
    }
}
