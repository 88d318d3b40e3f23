//! One log as its writer sees it.

use std::sync::Arc;

use streamnest_core::{
    Appended, AttributeChange, BoxFuture, Class, Entry, Passage, Seq, Status, StoreError, StoredHead,
    StoredLog, Term,
};

use crate::{
    codec::{self, Kind},
    completion,
    log::{self, Log, LogState, seq},
    passage,
    queue::What,
    read::{self, Wanted},
    store::{Growth, Inner},
};

/// Entries that are forgotten before it is written down how many were: until then a crash brings them back, which harms nobody,
/// and a log that is trimmed with each append does not write twice as much for it.
const TRIM_NOTED_EVERY: u64 = 1_024;

/// A log in a data directory.
pub(crate) struct DiskLog {
    inner: Arc<Inner>,
    log: Arc<Log>,
    term: u64,
}

impl DiskLog {
    pub(crate) const fn new(inner: Arc<Inner>, log: Arc<Log>, term: u64) -> Self {
        Self { inner, log, term }
    }

    fn check(
        &self,
        state: &LogState,
        term: Term,
        expected_last: Seq,
        extends: bool,
    ) -> Result<(), StoreError> {
        if term.0 < state.term {
            return Err(StoreError::Fenced { term: term.0, newest: state.term });
        }
        if state.deleted {
            return Err(StoreError::NotFound { name: self.log.name.clone() });
        }
        if state.sealing && extends {
            return Err(StoreError::Sealed { last: seq(state.accepted) });
        }
        if expected_last.get() != state.accepted {
            return Err(StoreError::WrongLast { expected: expected_last, actual: seq(state.accepted) });
        }
        Ok(())
    }
}

impl StoredLog for DiskLog {
    fn head(&self) -> StoredHead {
        self.log.lock().head(self.term)
    }

    fn append(
        &self,
        term: Term,
        expected_last: Seq,
        entries: &[Arc<Entry>],
        attributes: &[AttributeChange],
    ) -> Result<Appended, StoreError> {
        let mut state = self.log.lock();
        self.check(&state, term, expected_last, !entries.is_empty())?;
        if entries.is_empty() && attributes.is_empty() {
            return Ok(if state.is_pending() { Appended::Pending } else { Appended::Durable });
        }
        let first = state.accepted + 1;
        let last = state.accepted + entries.len() as u64;
        let statuses = entries.iter().rev().filter(|entry| entry.event().class() == Class::Status);
        let mut read = statuses.filter_map(|entry| entry.event().as_status().ok().flatten());
        let status = read.next().map(|update| update.status);
        let ends = status.is_some_and(Status::is_terminal) || attributes.iter().any(|change| change.ends);
        // What is accepted counts at once, so that many who wait for the same sync do not pass the bound together.
        let place = if entries.is_empty() { 0 } else { log::PLACE_WEIGHT };
        let more = log::changes_weight(attributes) + place;
        let growth = if state.is_extended_by(attributes) { Growth::Extended } else { Growth::Placed };
        match ends || (growth == Growth::Placed && place == 0) {
            true => self.inner.weigh(0, more),
            false => self.inner.reserve_index(growth, more)?,
        }
        let time = entries.last().map(|entry| entry.time());
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let what = What::Append { last, count, has_changes: !attributes.is_empty(), status, time };
        let pushed = self.inner.push(&self.log, last, what, false, |out| {
            let entries = entries.iter().map(|entry| &**entry);
            codec::put_entries(Kind::Append, term.0, first, entries, attributes, out);
        });
        pushed.inspect_err(|_| self.inner.weigh(more, 0))?;
        state.accepted = last;
        state.accepted_status = status.or(state.accepted_status);
        state.accepted_time = time.or(state.accepted_time);
        state.pending_bytes += more;
        if !attributes.is_empty() {
            state.pending.push_back(attributes.to_vec());
        }
        Ok(Appended::Pending)
    }

    fn seal(&self, term: Term, expected_last: Seq) -> Result<Appended, StoreError> {
        let mut state = self.log.lock();
        self.check(&state, term, expected_last, true)?;
        // It is small, and ends what was accepted already.
        self.inner.push(&self.log, state.accepted, What::Seal, true, |out| codec::put_seal(term.0, out))?;
        state.sealing = true;
        Ok(Appended::Pending)
    }

    fn read(
        &self,
        from: Seq,
        max_entries: usize,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, StoreError>> {
        let (promise, done) = completion::pair();
        let (log, wanted) =
            (self.log.clone(), Wanted { from: from.get(), entries: max_entries.max(1), bytes: max_bytes });
        self.inner.readers.give(move || promise.keep(read::read(&log, wanted)));
        Box::pin(async move { done.await.unwrap_or_else(|| Err(crate::queue::closed())) })
    }

    fn read_passage(
        &self,
        from: Seq,
        max_entries: usize,
        max_bytes: usize,
        lead: Option<u8>,
    ) -> BoxFuture<'_, Result<Passage, StoreError>> {
        let (promise, done) = completion::pair();
        let (log, blocks) = (self.log.clone(), self.inner.blocks.clone());
        let wanted = Wanted { from: from.get(), entries: max_entries.max(1), bytes: max_bytes };
        self.inner.readers.give(move || promise.keep(passage::read(&log, &blocks, wanted, lead)));
        Box::pin(async move { done.await.unwrap_or_else(|| Err(crate::queue::closed())) })
    }

    fn trim(&self, term: Term, up_to: Seq) -> Result<(), StoreError> {
        let mut state = self.log.lock();
        if term.0 < state.term {
            return Err(StoreError::Fenced { term: term.0, newest: state.term });
        }
        let (before, weight) = (state.trimmed, state.weight());
        state.trim(up_to.get());
        if !state.deleted {
            self.inner.weigh(weight, state.weight());
        }
        let trimmed = state.trimmed;
        let many = trimmed > before + 1 || trimmed >= state.trim_written + TRIM_NOTED_EVERY;
        if trimmed > before && many && !state.deleted {
            self.inner
                .push(&self.log, state.accepted, What::Noted, true, |out| codec::put_trim(trimmed, out))?;
            state.trim_written = trimmed;
        }
        Ok(())
    }
}
