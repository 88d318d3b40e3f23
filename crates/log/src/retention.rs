//! What a log keeps, and what it forgets.

use std::collections::VecDeque;

use streamnest_core::{Entry, Seq, Timestamp};

use crate::Retention;

/// What each kept entry weighs and when it came: the books by which retention decides.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The last entry that is no longer kept.
    trimmed: Seq,
    bytes: usize,
    kept: VecDeque<Kept>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    bytes: u32,
    time: Timestamp,
}

impl Ledger {
    /// The books of a log of which everything up to `trimmed` is gone.
    pub(crate) fn after(trimmed: Seq) -> Self {
        Self { trimmed, ..Self::default() }
    }

    /// The last entry that is no longer kept.
    pub(crate) const fn trimmed(&self) -> Seq {
        self.trimmed
    }

    /// The bytes of all kept entries, encodings included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts an entry that follows the last counted one.
    pub(crate) fn push(&mut self, entry: &Entry) {
        let bytes = entry.weight() + size_of::<Kept>();
        self.bytes += bytes;
        self.kept.push_back(Kept { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), time: entry.time() });
    }

    /// Counts `bytes` more of the kept entry `seq`; whether it is kept.
    pub(crate) fn add(&mut self, seq: Seq, bytes: usize) -> bool {
        let Some(offset) = seq.distance_from(self.trimmed).checked_sub(1) else { return false };
        let Some(kept) = usize::try_from(offset).ok().and_then(|index| self.kept.get_mut(index)) else {
            return false;
        };
        kept.bytes = kept.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.bytes += bytes;
        true
    }

    /// Forgets what `retention` does not allow to be kept; the last entry that went, if any did.
    ///
    /// The newest entry is always kept, so that a log never forgets how it stands.
    pub(crate) fn enforce(&mut self, retention: &Retention, now: Timestamp) -> Option<Seq> {
        let before = self.trimmed;
        while let (Some(oldest), true) = (self.kept.front(), self.kept.len() > 1) {
            let too_many = self.kept.len() as u64 > retention.max_entries;
            let too_large = self.bytes > retention.max_bytes;
            let too_old = now.since(oldest.time) > retention.max_age;
            if !(too_many || too_large || too_old) {
                break;
            }
            self.forget_oldest();
        }
        (self.trimmed > before).then_some(self.trimmed)
    }

    /// Forgets everything up to and including `up_to`; the last entry that went, if any did.
    pub(crate) fn trim(&mut self, up_to: Seq) -> Option<Seq> {
        let before = self.trimmed;
        while self.trimmed < up_to && !self.kept.is_empty() {
            self.forget_oldest();
        }
        (self.trimmed > before).then_some(self.trimmed)
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.bytes as usize;
            self.trimmed = self.trimmed.next();
        }
    }
}
