//! One log of the store: what is accepted of it, what is durable, and where it lies.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use streamnest_core::{
    AttributeChange, AttributeKey, Attributes, DurabilityWatch, Epoch, LogName, Mark, Seq, Status,
    StoredHead, Term, Timestamp,
};

use crate::{
    codec::{self, State},
    record::HEADER,
    segment::{self, Chapter, Extent},
};

/// Bytes of memory that a log takes without its name, its attributes and the places of its entries, about: its state, and its
/// place in the catalog.
const LOG_WEIGHT: u64 = 480;
/// Bytes that an attribute takes beside its key and its value, about.
const ATTRIBUTE_WEIGHT: u64 = 96;
/// The most bytes of memory that the place of one append takes: it may begin a chapter.
pub(crate) const PLACE_WEIGHT: u64 = (size_of::<Chapter>() + size_of::<Extent>()) as u64;

/// A log.
pub(crate) struct Log {
    pub(crate) number: u64,
    pub(crate) name: LogName,
    state: Mutex<LogState>,
}

/// What is guarded by a log's lock. Who holds it may take the queue's lock, never the other way round.
pub(crate) struct LogState {
    pub(crate) epoch: u64,
    pub(crate) term: u64,
    pub(crate) trimmed: u64,
    /// The last entry that a trim record in the files names.
    pub(crate) trim_written: u64,
    /// The last accepted entry.
    pub(crate) accepted: u64,
    pub(crate) accepted_status: Option<Status>,
    pub(crate) accepted_time: Option<Timestamp>,
    /// The last durable entry.
    pub(crate) durable: u64,
    pub(crate) sealing: bool,
    pub(crate) sealed: bool,
    pub(crate) status: Option<Status>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) attributes: Attributes,
    /// Bytes of memory that the name takes, which is there twice.
    pub(crate) name_bytes: u64,
    /// Bytes of memory that the durable attributes take, about.
    pub(crate) attribute_bytes: u64,
    /// Bytes of memory that changes and places may take that are accepted and not durable yet.
    pub(crate) pending_bytes: u64,
    /// Changes of attributes that are accepted and not durable, one item for each append that has some.
    pub(crate) pending: VecDeque<Vec<AttributeChange>>,
    /// How many appends with changes are durable since the writer opened the log.
    pub(crate) changes: u64,
    /// Where its entries lie, in order.
    pub(crate) chapters: Vec<Chapter>,
    /// The segment with the last record that says all there is to know of it.
    pub(crate) base: u64,
    pub(crate) deleted: bool,
    /// Hears of durability.
    pub(crate) watch: Option<Arc<dyn DurabilityWatch>>,
}

impl Log {
    pub(crate) fn new(number: u64, name: LogName, state: State, base: u64) -> Arc<Self> {
        Arc::new(Self { number, name, state: Mutex::new(LogState::new(state, base)) })
    }

    /// What stands for a log that is gone, so that this can be said again.
    pub(crate) fn gone(number: u64) -> Option<Arc<Self>> {
        let name = LogName::new(&format!("gone/{number}")).ok()?;
        let state = State {
            name: name.as_str().into(),
            epoch: 0,
            term: 0,
            trimmed: 0,
            last: 0,
            sealed: true,
            status: None,
            time: None,
            attributes: Attributes::new(),
        };
        let log = Self::new(number, name, state, 0);
        log.lock().deleted = true;
        Some(log)
    }

    /// What is guarded is consistent between statements, so a panic elsewhere leaves nothing broken.
    pub(crate) fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogState {
    /// How a log stands that was read to be so.
    pub(crate) fn new(state: State, base: u64) -> Self {
        Self {
            epoch: state.epoch,
            term: state.term,
            trimmed: state.trimmed,
            trim_written: state.trimmed,
            accepted: state.last,
            accepted_status: state.status,
            accepted_time: state.time,
            durable: state.last,
            sealing: state.sealed,
            sealed: state.sealed,
            status: state.status,
            time: state.time,
            name_bytes: 2 * state.name.len() as u64,
            pending_bytes: 0,
            attribute_bytes: state.attributes.iter().map(|(key, value)| weight(key, value)).sum(),
            attributes: state.attributes,
            pending: VecDeque::new(),
            changes: 0,
            chapters: Vec::new(),
            base,
            deleted: false,
            watch: None,
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { last: seq(self.durable), changes: self.changes, sealed: self.sealed }
    }

    pub(crate) fn head(&self, term: u64) -> StoredHead {
        StoredHead {
            epoch: Epoch::new(self.epoch),
            term: Term(term),
            trimmed: seq(self.trimmed),
            last: seq(self.durable),
            sealed: self.sealed,
            status: self.status,
            time: self.time,
            bytes: self.bytes(),
            attributes: self.attributes.clone(),
        }
    }

    /// Bytes that its entries take.
    pub(crate) fn bytes(&self) -> u64 {
        self.chapters.iter().map(|chapter| chapter.bytes).sum()
    }

    /// Bytes of memory that the log takes in the index, about. It has few chapters, one for each segment that it reaches into.
    pub(crate) fn weight(&self) -> u64 {
        let places: u64 = self.chapters.iter().map(Chapter::weight).sum();
        LOG_WEIGHT + self.name_bytes + self.attribute_bytes + self.pending_bytes + places
    }

    /// The changes that were accepted first are durable.
    pub(crate) fn settle_changes(&mut self) {
        self.changes += 1;
        let Some(changes) = self.pending.pop_front() else { return };
        self.pending_bytes = self.pending_bytes.saturating_sub(changes_weight(&changes));
        self.change(&changes);
    }

    /// Changes attributes.
    pub(crate) fn change<'a>(&mut self, changes: impl IntoIterator<Item = &'a AttributeChange>) {
        for change in changes {
            let old = self.attributes.get(&change.key).map_or(0, |value| weight(&change.key, value));
            let new = change.value.as_ref().map_or(0, |value| weight(&change.key, value));
            self.attribute_bytes = self.attribute_bytes + new - old;
            change.apply(&mut self.attributes);
        }
    }

    /// Whether `changes` set attributes that it has not, nor will have.
    pub(crate) fn is_extended_by(&self, changes: &[AttributeChange]) -> bool {
        let is_pending = |key: &AttributeKey| self.pending.iter().flatten().any(|change| change.key == *key);
        let is_new = |key: &AttributeKey| !self.attributes.contains_key(key) && !is_pending(key);
        changes.iter().any(|change| change.value.is_some() && is_new(&change.key))
    }

    /// Whether something is accepted that is not durable.
    pub(crate) fn is_pending(&self) -> bool {
        self.accepted != self.durable || !self.pending.is_empty() || self.sealing != self.sealed
    }

    /// All there is to know of it, as durable: what an index says at the end of its segment.
    pub(crate) fn durable_state(&self, name: &LogName) -> State {
        State {
            name: name.as_str().into(),
            epoch: self.epoch,
            term: self.term,
            trimmed: self.trimmed,
            last: self.durable,
            sealed: self.sealed,
            status: self.status,
            time: self.time,
            attributes: self.attributes.clone(),
        }
    }

    /// All there is to know of it, as accepted: what a record says that follows all others in the queue.
    pub(crate) fn accepted_state(&self, name: &LogName) -> State {
        let mut attributes = self.attributes.clone();
        self.pending.iter().flatten().for_each(|change| change.apply(&mut attributes));
        State {
            last: self.accepted,
            sealed: self.sealing,
            status: self.accepted_status,
            time: self.accepted_time,
            attributes,
            ..self.durable_state(name)
        }
    }

    /// Bytes of the record that says all there is to know of it, as accepted, at most.
    pub(crate) fn said_bytes(&self, name: &LogName) -> u64 {
        let pending =
            self.pending.iter().flatten().filter_map(|change| Some((&change.key, change.value.as_ref()?)));
        (HEADER + codec::state_length(name, self.attributes.iter().chain(pending))) as u64
    }

    /// Forgets entries up to and including `up_to`.
    pub(crate) fn trim(&mut self, up_to: u64) {
        self.trimmed = up_to.clamp(self.trimmed, self.durable.max(self.trimmed));
        segment::trim(&mut self.chapters, self.trimmed);
    }

    /// Gives up the room of its entries. Who reads them reads on.
    pub(crate) fn bury(&self) {
        self.chapters.iter().for_each(|chapter| chapter.segment.bury(chapter.bytes));
    }
}

/// Bytes of memory that what `changes` set takes, about.
pub(crate) fn changes_weight(changes: &[AttributeChange]) -> u64 {
    let set = |change: &AttributeChange| change.value.as_ref().map_or(0, |value| weight(&change.key, value));
    changes.iter().map(set).sum()
}

/// Bytes of memory that an attribute takes, about: it, and its place in a map.
fn weight(key: &AttributeKey, value: &Bytes) -> u64 {
    (key.len() + value.len()) as u64 + ATTRIBUTE_WEIGHT
}

/// A number of an entry as the rest of the program knows it.
pub(crate) fn seq(number: u64) -> Seq {
    Seq::try_from(number).unwrap_or(Seq::MAX)
}
