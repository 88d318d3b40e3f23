//! What a log keeps, and what it forgets.

use std::collections::VecDeque;

use streamnest_core::{Entry, Seq, StoredHead, Timestamp, WIRE_FORMAT_SLOTS};

use crate::Retention;

/// What each kept entry weighs and when it came: the books by which retention decides.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The last entry that is no longer kept.
    trimmed: Seq,
    /// Entries that the store had when the log was opened. They are older than `kept`, and what they weigh is not known.
    earlier: u64,
    /// When the log was opened, which stands for the time of those.
    opened: Timestamp,
    bytes: usize,
    kept: VecDeque<Kept>,
    /// The time of the first of `kept`, if any: by itself, for that one is cold memory and each append asks for it.
    oldest: Timestamp,
    /// How many bytes stay at hand of a log whose store keeps all, and then only what is at hand is counted. `None` if retention
    /// decides what is kept.
    at_hand: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    bytes: u32,
    /// One bit for each wire format whose bytes are counted.
    formats: u8,
    time: Timestamp,
}

impl Ledger {
    /// The books of a log that was opened as it stands in the store.
    ///
    /// Retention is for executions in memory. A stream keeps all until it is deleted, and a store that outlives the process keeps all
    /// of an execution: then `at_hand` says how many bytes of it stay in memory.
    pub(crate) fn opened(head: &StoredHead, opened: Timestamp, at_hand: Option<usize>) -> Self {
        let earlier = head.last.distance_from(head.trimmed);
        Self {
            trimmed: head.trimmed,
            earlier,
            opened,
            bytes: 0,
            kept: VecDeque::new(),
            oldest: opened,
            at_hand,
        }
    }

    /// Whether more bytes are at hand than have to be, of a log whose store keeps all.
    pub(crate) fn is_too_warm(&self) -> bool {
        self.at_hand.is_some_and(|most| self.bytes > most)
    }

    /// The oldest counted entry is no longer at hand: where all is kept, it counts no more.
    pub(crate) fn cool(&mut self) {
        if self.at_hand.is_some()
            && let Some(oldest) = self.pop_oldest()
        {
            self.bytes -= oldest.bytes as usize;
            self.earlier += 1;
        }
    }

    /// The last entry that is no longer kept.
    pub(crate) const fn trimmed(&self) -> Seq {
        self.trimmed
    }

    /// The bytes of all kept entries, encodings included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts an entry that follows the last counted one, with what it has of encodings.
    pub(crate) fn push(&mut self, entry: &Entry) {
        let (mut bytes, mut formats) = (entry.weight() + size_of::<Kept>(), 0);
        for slot in 0..WIRE_FORMAT_SLOTS {
            if let Some(encoded) = entry.encoded(slot) {
                bytes += encoded.length();
                formats |= 1 << slot;
            }
        }
        let bytes = clamped(bytes);
        self.bytes += bytes as usize;
        if self.kept.is_empty() {
            self.oldest = entry.time();
        }
        self.kept.push_back(Kept { bytes, formats, time: entry.time() });
    }

    /// Counts `bytes` more of the kept entry `seq` for the wire format of `slot`, once.
    pub(crate) fn add(&mut self, seq: Seq, slot: usize, bytes: usize) {
        let before = self.trimmed.forward(self.earlier);
        let index = seq.distance_from(before).checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let Some(kept) = index.and_then(|index| self.kept.get_mut(index)) else { return };
        let format = 1 << slot;
        if kept.formats & format != 0 {
            // A store that reads entries back afresh has them encoded afresh too; those are not kept.
            return;
        }
        kept.formats |= format;
        let added = clamped(bytes).min(u32::MAX - kept.bytes);
        kept.bytes += added;
        self.bytes += added as usize;
    }

    /// Forgets what `retention` does not allow to be kept; the last entry that went, if any did.
    ///
    /// The newest entry is always kept, so that a log never forgets how it stands.
    pub(crate) fn enforce(&mut self, retention: &Retention, now: Timestamp) -> Option<Seq> {
        let before = self.trimmed;
        while self.at_hand.is_none() {
            let count = self.earlier + self.kept.len() as u64;
            let too_old = || {
                let oldest = if self.earlier > 0 { self.opened } else { self.oldest };
                now.since(oldest) > retention.max_age
            };
            let too_much = count > retention.max_entries || self.bytes > retention.max_bytes;
            if count <= 1 || !(too_much || too_old()) {
                break;
            }
            self.forget_oldest();
        }
        (self.trimmed > before).then_some(self.trimmed)
    }

    /// Forgets everything up to and including `up_to`; the last entry that went, if any did.
    pub(crate) fn trim(&mut self, up_to: Seq) -> Option<Seq> {
        let before = self.trimmed;
        while self.trimmed < up_to && (self.earlier > 0 || !self.kept.is_empty()) {
            self.forget_oldest();
        }
        (self.trimmed > before).then_some(self.trimmed)
    }

    fn forget_oldest(&mut self) {
        if self.earlier > 0 {
            self.earlier -= 1;
        } else if let Some(oldest) = self.pop_oldest() {
            self.bytes -= oldest.bytes as usize;
        } else {
            return;
        }
        self.trimmed = self.trimmed.next();
    }

    fn pop_oldest(&mut self) -> Option<Kept> {
        let popped = self.kept.pop_front();
        if let Some(next) = self.kept.front() {
            self.oldest = next.time;
        }
        popped
    }
}

fn clamped(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
