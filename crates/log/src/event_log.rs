//! The log of one execution.

mod acknowledge;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use streamnest_core::{
    AttributeChange, Attributes, Class, DurabilityWatch, Entry, LogIdentity, Mark, Position, Seq, Status,
    StoreError, StoredHead, StoredLog, Term, Timestamp,
};
use tokio::sync::Notify;

use crate::{
    Cursor, Error,
    attributes::{AttributeBook, weight},
    encode::LiveFormat,
    pace::Pace,
    registry::Shared,
    retention::Ledger,
    subscriptions::Subscriptions,
    wake::{Waiters, Woken},
};

/// The append-only log of one execution, or of another stream: a hot tail in memory in front of a store.
///
/// Read it with a [`cursor`](Self::cursor); only its [`Writer`](crate::Writer) appends.
// What each append needs stands together, up to the first half of the state.
#[repr(C)]
pub struct EventLog {
    pub(crate) shared: Arc<Shared>,
    stored: Arc<dyn StoredLog>,
    /// The fencing number of the one writer.
    pub(crate) term: Term,
    /// How many entries were encoded, in all formats together.
    pub(crate) encoded: AtomicUsize,
    identity: LogIdentity,
    state: Mutex<State>,
    /// Held while entries are encoded, so that each is encoded once.
    pub(crate) encoding: Mutex<()>,
    subscribers: AtomicUsize,
    /// How many there were ever; raised after `subscribers`, so that who sees the one sees the other.
    subscribed: AtomicU64,
    subscribers_changed: Notify,
    /// Told when entries became durable, for producers that wait for room.
    pub(crate) room: Notify,
    /// Held by who has to look at the log before it appends.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// When it was opened or asked for last, in microseconds since 1970.
    used: AtomicU64,
}

/// What is guarded by one lock, held for copying only. What each append needs stands first and together, for where many logs
/// take turns it is in no cache.
#[repr(C)]
pub(crate) struct State {
    /// What is visible and at hand, without gaps; the last is `last`.
    pub(crate) hot: VecDeque<Arc<Entry>>,
    /// The last visible entry.
    pub(crate) last: Seq,
    /// The last accepted entry.
    pub(crate) accepted: Seq,
    pub(crate) accepted_time: Timestamp,
    pub(crate) pending_bytes: usize,
    /// Bytes that an append was refused for want of room, until one goes through.
    pub(crate) wanted_bytes: usize,
    pub(crate) live_format: Option<LiveFormat>,
    pub(crate) waiters: Waiters,
    pub(crate) ledger: Ledger,
    /// The last entry is accepted; nothing follows it.
    pub(crate) sealing: bool,
    /// The store has not accepted the seal after that last entry yet.
    pub(crate) seal_owed: bool,
    pub(crate) sealed: bool,
    pub(crate) status: Option<Status>,
    /// Of an execution that this process began.
    pub(crate) pace: Option<Pace>,
    /// Why nothing more is accepted, if the log did not end.
    pub(crate) failed: Option<Error>,
    /// What is accepted and not durable yet, in order; follows `last`.
    pub(crate) pending: VecDeque<Arc<Entry>>,
    subscriptions: Subscriptions,
    pub(crate) attributes: AttributeBook,
}

impl State {
    /// The entries after `seq`; `None` if the next one is not at hand.
    pub(crate) fn hot_after(&self, seq: Seq) -> Option<impl Iterator<Item = &Arc<Entry>>> {
        // What is hot ends with `last` and has no gaps, so its first entry, which is cold memory, need not be looked at.
        let before = self.last.get().checked_sub(self.hot.len() as u64)?;
        let offset = seq.get().checked_sub(before)?;
        Some(self.hot.range(usize::try_from(offset).ok()?..))
    }

    /// Takes changes of attributes that the store has accepted. Which change that is, counted from 1.
    pub(crate) fn accept_changes(&mut self, changes: Vec<AttributeChange>) -> u64 {
        self.pending_bytes += changes.iter().map(weight).sum::<usize>();
        self.attributes.accept(changes)
    }

    /// The first `count` appends with changes of attributes are durable; whether some were not before.
    pub(crate) fn settle_changes(&mut self, count: u64) -> bool {
        let settles = self.attributes.settled() < count;
        if settles {
            self.pending_bytes -= self.attributes.settle(count);
        }
        settles
    }
}

/// Where a log stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The last entry that is no longer kept; the first kept one is the next.
    pub trimmed: Seq,
    /// The last visible entry.
    pub last: Seq,
    /// Whether nothing follows.
    pub sealed: bool,
    /// The newest status.
    pub status: Option<Status>,
    /// Bytes that the kept entries take, encodings included.
    pub bytes: usize,
}

/// Where a cursor begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// Before the first entry. If that is no longer kept, the cursor says so by a gap.
    #[default]
    Beginning,
    /// After the last visible entry.
    Now,
    /// After a position that was handed out before.
    After(Position),
}

impl EventLog {
    pub(crate) fn new(
        identity: LogIdentity,
        stored: Arc<dyn StoredLog>,
        head: StoredHead,
        shared: Arc<Shared>,
    ) -> Self {
        let opened = shared.clock.now();
        let at_hand = match identity.execution() {
            Some(_) if shared.is_persistent() => Some(shared.options.retention.max_bytes),
            Some(_) => None,
            None => Some(shared.options.hot_bytes),
        };
        let state = State {
            hot: VecDeque::new(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            last: head.last,
            accepted: head.last,
            accepted_time: head.time.unwrap_or(opened),
            wanted_bytes: 0,
            sealing: head.sealed,
            seal_owed: false,
            sealed: head.sealed,
            status: head.status,
            pace: None,
            failed: None,
            ledger: Ledger::opened(&head, opened, at_hand),
            waiters: Waiters::default(),
            live_format: None,
            subscriptions: Subscriptions::opened(&head.attributes, opened),
            attributes: AttributeBook::opened(head.attributes),
        };
        Self {
            identity,
            stored,
            term: head.term,
            shared,
            state: Mutex::new(state),
            encoding: Mutex::new(()),
            encoded: AtomicUsize::new(0),
            subscribers: AtomicUsize::new(0),
            subscribed: AtomicU64::new(0),
            subscribers_changed: Notify::new(),
            room: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            used: AtomicU64::new(opened.as_micros()),
        }
    }

    /// Which log this is, and which incarnation.
    pub const fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    /// Where it stands.
    pub fn head(&self) -> Head {
        let state = self.lock();
        Head {
            trimmed: state.ledger.trimmed(),
            last: state.last,
            sealed: state.sealed,
            status: state.status,
            bytes: state.ledger.bytes(),
        }
    }

    /// The time now, by the clock that its entries are told.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The position after `seq`.
    pub const fn position(&self, seq: Seq) -> Position {
        self.identity.position(seq)
    }

    /// A new reader. It counts as a subscriber until it is dropped.
    pub fn cursor(self: &Arc<Self>, from: Start) -> Cursor {
        self.subscribers.fetch_add(1, Ordering::AcqRel);
        self.subscribed.fetch_add(1, Ordering::AcqRel);
        self.subscribers_changed.notify_waiters();
        Cursor::new(self.clone(), from, true)
    }

    /// A new reader that does not count as a subscriber: it watches, but nobody looks through it.
    pub fn observer(self: &Arc<Self>, from: Start) -> Cursor {
        Cursor::new(self.clone(), from, false)
    }

    /// Somebody asks for it.
    pub(crate) fn used(&self) {
        self.used.store(self.now().as_micros(), Ordering::Relaxed);
    }

    /// When somebody asked for it last.
    pub(crate) fn used_at(&self) -> Timestamp {
        Timestamp::from_micros(self.used.load(Ordering::Relaxed))
    }

    /// Whether all that was accepted is durable, and nothing is owed to the store.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.lock();
        let attributes = state.attributes.settled() == state.attributes.accepted();
        state.pending.is_empty() && attributes && state.failed.is_none() && state.sealing == state.sealed
    }

    /// When its last entry was written.
    pub(crate) fn ended_at(&self) -> Timestamp {
        self.lock().accepted_time
    }

    pub(crate) fn unsubscribe(&self) {
        self.subscribers.fetch_sub(1, Ordering::AcqRel);
        self.subscribers_changed.notify_waiters();
    }

    /// How many cursors follow it now.
    pub fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Acquire)
    }

    /// Waits until the number of subscribers is one that `condition` holds of. Who comes and goes between two polls is not
    /// seen.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn subscribers_become(&self, condition: impl Fn(usize) -> bool) {
        self.subscribers_reach(|_, now| condition(now)).await;
    }

    /// Waits until somebody has subscribed and nobody does any more. Returns how many have subscribed ever, to be given to
    /// [`subscribed_since`](Self::subscribed_since).
    ///
    /// A subscriber that came and went before this was called, or between two polls, is seen too.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn subscribers_left(&self) -> u64 {
        self.subscribers_reach(|ever, now| ever > 0 && now == 0).await
    }

    /// Waits until more than `ever` have subscribed, whether they stayed or not.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn subscribed_since(&self, ever: u64) {
        self.subscribers_reach(|count, _| count > ever).await;
    }

    /// Waits until `condition` holds of how many have subscribed ever and how many do now; the former.
    async fn subscribers_reach(&self, condition: impl Fn(u64, usize) -> bool) -> u64 {
        loop {
            let changed = self.subscribers_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let ever = self.subscribed.load(Ordering::Acquire);
            if condition(ever, self.subscribers()) {
                return ever;
            }
            changed.await;
        }
    }

    /// How many times an entry of this log was encoded; at most once per entry and wire format while it is at hand.
    pub fn encodings(&self) -> usize {
        self.encoded.load(Ordering::Relaxed)
    }

    /// A durable attribute.
    pub fn attribute(&self, key: &str) -> Option<Bytes> {
        self.lock().attributes.durable(key).cloned()
    }

    /// All durable attributes whose keys begin with `prefix`.
    pub fn attributes(&self, prefix: &str) -> Attributes {
        self.lock().attributes.with_prefix(prefix)
    }

    /// Forgets every visible entry up to and including `up_to`, but never the newest one.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn trim(&self, up_to: Seq) -> Result<(), Error> {
        let mut state = self.lock();
        let limit = Seq::try_from(state.last.get().saturating_sub(1)).unwrap_or_default();
        let before = state.ledger.bytes();
        let trimmed = state.ledger.trim(up_to.min(limit));
        self.forget(&mut state, before, trimmed).map_err(Error::Store)
    }

    /// Forgets what retention no longer allows.
    pub(crate) fn enforce_retention(&self, state: &mut State, now: Timestamp) -> Result<(), StoreError> {
        let before = state.ledger.bytes();
        let trimmed = state.ledger.enforce(&self.shared.options.retention, now);
        self.forget(state, before, trimmed)
    }

    fn forget(&self, state: &mut State, bytes_before: usize, trimmed: Option<Seq>) -> Result<(), StoreError> {
        let Some(trimmed) = trimmed else { return Ok(()) };
        self.shared.bytes.fetch_sub(bytes_before - state.ledger.bytes(), Ordering::Relaxed);
        while state.hot.front().is_some_and(|entry| entry.seq() <= trimmed) {
            state.hot.pop_front();
        }
        self.stored.trim(self.term, trimmed)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between statements, so a panic elsewhere leaves nothing broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stored(&self) -> &Arc<dyn StoredLog> {
        &self.stored
    }

    /// Makes accepted entries up to `up_to` visible. Returns who waits for them, to be woken without the lock.
    pub(crate) fn publish(&self, state: &mut State, up_to: Seq, sealed: bool) -> Woken {
        if matches!(state.failed, Some(Error::Removed)) {
            return Woken::default();
        }
        let before = state.ledger.bytes();
        let mut added = false;
        while state.pending.front().is_some_and(|entry| entry.seq() <= up_to) {
            let Some(entry) = state.pending.pop_front() else { break };
            state.pending_bytes -= entry.weight();
            self.show(state, entry);
            added = true;
        }
        self.shown(state, before, added, sealed)
    }

    /// Makes entries visible that were durable when they were accepted, while none before them waits.
    pub(crate) fn publish_at_once(&self, state: &mut State, entries: &mut Vec<Arc<Entry>>) -> Woken {
        let before = state.ledger.bytes();
        let added = !entries.is_empty();
        entries.drain(..).for_each(|entry| self.show(state, entry));
        self.shown(state, before, added, false)
    }

    fn show(&self, state: &mut State, entry: Arc<Entry>) {
        state.ledger.push(&entry);
        let update =
            (entry.event().class() == Class::Status).then(|| entry.event().as_status().ok().flatten());
        let update = update.flatten();
        let ends = update.as_ref().is_some_and(|update| update.status.is_terminal());
        // A run whose first entry is its last began in a process that was killed before anything it said was durable.
        if state.last == Seq::BEFORE_FIRST && !ends && self.identity.execution().is_some() {
            state.pace = Some(Pace::new(entry.time()));
        }
        if let Some(pace) = &mut state.pace {
            pace.take(&entry);
        }
        state.last = entry.seq();
        if let Some(update) = update {
            state.status = Some(update.status);
            if ends && let (Some(pace), Some(observer)) = (state.pace.take(), self.shared.observer.get()) {
                observer.ended(&update, entry.time(), &pace);
            }
        }
        state.hot.push_back(entry);
        self.cool(state);
    }

    /// Lets go of what need not be at hand, for the store has it.
    pub(crate) fn cool(&self, state: &mut State) {
        let most = self.shared.options.hot_entries;
        while state.hot.len() > most || (state.ledger.is_too_warm() && state.hot.len() > 1) {
            state.hot.pop_front();
            state.ledger.cool();
        }
    }

    /// Keeps the books after entries were shown, or the log was sealed. Returns who waits.
    fn shown(&self, state: &mut State, bytes_before: usize, added: bool, sealed: bool) -> Woken {
        // Modulo 2^64, for there may be less than before.
        self.shared.bytes.fetch_add(state.ledger.bytes().wrapping_sub(bytes_before), Ordering::Relaxed);
        let seals = sealed && !state.sealed;
        state.sealed |= sealed;
        if !added && !seals {
            return Woken::default();
        }
        if let Err(error) = self.enforce_retention(state, state.accepted_time) {
            tracing::warn!(log = self.identity.subject(), %error, "retention could not trim the log");
        }
        if seals {
            self.shared.finished(self.identity.name(), state.accepted_time);
        }
        state.waiters.take()
    }

    /// Accepts nothing more, for `error`. Returns who waits, to be woken without the lock.
    pub(crate) fn fail(&self, state: &mut State, error: Error) -> Woken {
        if state.failed.is_none() || matches!(error, Error::Removed) {
            state.failed = Some(error);
        }
        state.waiters.take()
    }

    /// Lets what is accepted and not durable go, and tells everyone `error` who has read what is visible.
    pub(crate) fn break_off(&self, error: Error) {
        let wakers = {
            let mut state = self.lock();
            state.pending.clear();
            state.attributes.clear_pending();
            state.pending_bytes = 0;
            self.fail(&mut state, error)
        };
        self.wake(wakers);
        self.room.notify_waiters();
    }

    pub(crate) fn wake(&self, woken: Woken) {
        self.shared.relay.wake(woken, self.shared.options.wake_inline);
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        let bytes = self.lock().ledger.bytes();
        self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").field("identity", &self.identity).field("head", &self.head()).finish()
    }
}

/// Hears of durability for a log that is made only after the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Watch(pub(crate) OnceLock<Weak<EventLog>>);

impl DurabilityWatch for Watch {
    fn durable(&self, mark: Mark) {
        let Some(log) = self.0.get().and_then(Weak::upgrade) else { return };
        let wakers = {
            let mut state = log.lock();
            if state.settle_changes(mark.changes) {
                log.send_acknowledged(&mut state);
            }
            log.publish(&mut state, mark.last, mark.sealed)
        };
        log.wake(wakers);
        log.room.notify_waiters();
    }

    fn failed(&self, error: StoreError) {
        if let Some(log) = self.0.get().and_then(Weak::upgrade) {
            log.break_off(Error::Store(error));
        }
    }
}
