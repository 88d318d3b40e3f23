//! A store that makes entries durable when it is told to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use streamnest_core::{
    Appended, AttributeChange, Attributes, BoxFuture, DurabilityWatch, Entry, Epoch, ExecutionId, Listed,
    LogName, LogStore, Mark, NamesLog as _, Seq, Status, StoreError, StoredHead, StoredLog, Term,
};

use crate::support::{Random, seq};

/// Accepts at once, keeps when told.
#[derive(Default)]
pub(crate) struct SlowStore {
    logs: Mutex<BTreeMap<LogName, Arc<Kept>>>,
    epochs: Mutex<u64>,
}

struct Kept(Mutex<State>);

struct State {
    epoch: Epoch,
    term: u64,
    trimmed: u64,
    /// All accepted entries after `trimmed`, durable or not.
    entries: Vec<Arc<Entry>>,
    durable: u64,
    /// Accepted changes of attributes since the log was opened, each with the last entry before it and with it; those
    /// that are durable are applied.
    changes: Vec<(u64, Vec<AttributeChange>)>,
    attributes: Attributes,
    settled: usize,
    deleted: bool,
    sealing: bool,
    sealed: bool,
    append_errors: usize,
    seal_errors: usize,
    failed: Option<StoreError>,
    watch: Arc<dyn DurabilityWatch>,
}

impl State {
    fn accepted(&self) -> u64 {
        self.trimmed + self.entries.len() as u64
    }

    /// Makes up to `count` more entries durable; who is to be told of what.
    fn settle(&mut self, count: u64) -> Option<(Arc<dyn DurabilityWatch>, Mark)> {
        let before = (self.durable, self.settled, self.sealed);
        let accepted = self.accepted();
        self.durable = accepted.min(self.durable.saturating_add(count));
        self.sealed = self.sealing && self.durable == accepted;
        while let Some((_, changes)) =
            self.changes.get(self.settled).filter(|(last, _)| *last <= self.durable)
        {
            changes.iter().for_each(|change| change.apply(&mut self.attributes));
            self.settled += 1;
        }
        if before == (self.durable, self.settled, self.sealed) {
            return None;
        }
        let mark = Mark { last: seq(self.durable), changes: self.settled as u64, sealed: self.sealed };
        Some((self.watch.clone(), mark))
    }

    fn head(&self) -> StoredHead {
        let durable = &self.entries[..(self.durable - self.trimmed) as usize];
        let status = durable.iter().rev().find_map(|entry| entry.event().as_status().ok().flatten());
        StoredHead {
            epoch: self.epoch,
            term: Term(self.term),
            trimmed: seq(self.trimmed),
            last: seq(self.durable),
            sealed: self.sealed,
            status: status.map(|update| update.status).or(None::<Status>),
            time: durable.last().map(|entry| entry.time()),
            bytes: durable.iter().map(|entry| entry.weight() as u64).sum(),
            attributes: self.attributes.clone(),
        }
    }

    fn check(&self, term: Term, expected_last: Seq, seals: bool, name: &LogName) -> Result<(), StoreError> {
        let (term, newest, actual) = (term.0, self.term, seq(self.accepted()));
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if term < newest => Err(StoreError::Fenced { term, newest }),
            None if self.deleted => Err(StoreError::NotFound { name: name.clone() }),
            None if self.sealing && seals => Err(StoreError::Sealed { last: actual }),
            None if expected_last != actual => Err(StoreError::WrongLast { expected: expected_last, actual }),
            None => Ok(()),
        }
    }
}

impl Kept {
    /// Makes up to `count` more entries durable, and the seal if that was all.
    fn settle(&self, count: u64) {
        let settled = self.0.lock().unwrap().settle(count);
        if let Some((watch, mark)) = settled {
            watch.durable(mark);
        }
    }
}

impl SlowStore {
    fn kept(&self, id: &ExecutionId) -> Arc<Kept> {
        self.logs.lock().unwrap()[&id.log_name()].clone()
    }

    /// How many appends to `id` changed attributes since it was opened.
    pub(crate) fn changes(&self, id: &ExecutionId) -> usize {
        self.kept(id).0.lock().unwrap().changes.len()
    }

    /// Makes `count` more entries of `id` durable.
    pub(crate) fn settle(&self, id: &ExecutionId, count: u64) {
        self.kept(id).settle(count);
    }

    /// Makes `count` more entries of `id` durable, and is slow to say so.
    pub(crate) fn settle_in_silence(&self, id: &ExecutionId, count: u64) {
        self.kept(id).0.lock().unwrap().settle(count);
    }

    /// Lets another writer take over the log of `id`, while entries of the one before are not durable yet.
    pub(crate) fn fence(&self, id: &ExecutionId) {
        self.kept(id).0.lock().unwrap().term += 1;
    }

    /// Breaks the log of `id`: what is not durable is lost.
    pub(crate) fn fail(&self, id: &ExecutionId) {
        let kept = self.kept(id);
        let error = unavailable();
        let watch = {
            let mut state = kept.0.lock().unwrap();
            let left = (state.durable - state.trimmed) as usize;
            state.entries.truncate(left);
            state.failed = Some(error.clone());
            state.watch.clone()
        };
        watch.failed(error);
    }

    /// Refuses the next `count` appends to `id`.
    pub(crate) fn refuse_appends(&self, id: &ExecutionId, count: usize) {
        self.kept(id).0.lock().unwrap().append_errors = count;
    }

    /// Refuses the next `count` seals of `id`.
    pub(crate) fn refuse_seals(&self, id: &ExecutionId, count: usize) {
        self.kept(id).0.lock().unwrap().seal_errors = count;
    }

    /// Settles by itself, a random number of entries at a time, until the store is dropped.
    pub(crate) fn settle_at_random(self: &Arc<Self>, mut random: Random) {
        let store: Weak<Self> = Arc::downgrade(self);
        thread::spawn(move || {
            while let Some(store) = store.upgrade() {
                let logs: Vec<_> = store.logs.lock().unwrap().values().cloned().collect();
                drop(store);
                for kept in logs {
                    kept.settle(1 + random.below(20));
                }
                thread::sleep(Duration::from_micros(random.below(200)));
            }
        });
    }
}

pub(crate) fn unavailable() -> StoreError {
    StoreError::Unavailable { source: Arc::new(std::io::Error::other("the disk is gone")) }
}

impl LogStore for SlowStore {
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        let mut logs = self.logs.lock().unwrap();
        if logs.contains_key(name) {
            return Box::pin(async move { Err(StoreError::Exists { name: name.clone() }) });
        }
        let mut epochs = self.epochs.lock().unwrap();
        *epochs += 1;
        let mut state = State {
            epoch: Epoch::new(*epochs),
            term: 1,
            trimmed: 0,
            entries: Vec::new(),
            durable: 0,
            changes: Vec::new(),
            attributes: Attributes::new(),
            settled: 0,
            deleted: false,
            sealing: false,
            sealed: false,
            append_errors: 0,
            seal_errors: 0,
            failed: None,
            watch,
        };
        attributes.iter().for_each(|change| change.apply(&mut state.attributes));
        let kept = Arc::new(Kept(Mutex::new(state)));
        logs.insert(name.clone(), kept.clone());
        let log = Arc::new(SlowLog { name: name.clone(), kept, term: Term(1) });
        Box::pin(async move { Ok(log as Arc<dyn StoredLog>) })
    }

    fn open<'a>(
        &'a self,
        name: &'a LogName,
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        let Some(kept) = self.logs.lock().unwrap().get(name).cloned() else {
            return Box::pin(async move { Err(StoreError::NotFound { name: name.clone() }) });
        };
        kept.settle(u64::MAX);
        let term = {
            let mut state = kept.0.lock().unwrap();
            state.term += 1;
            state.watch = watch;
            // The new writer counts its own.
            state.changes.clear();
            state.settled = 0;
            Term(state.term)
        };
        let log = Arc::new(SlowLog { name: name.clone(), kept, term });
        Box::pin(async move { Ok(log as Arc<dyn StoredLog>) })
    }

    fn delete<'a>(&'a self, name: &'a LogName) -> BoxFuture<'a, Result<(), StoreError>> {
        if let Some(kept) = self.logs.lock().unwrap().remove(name) {
            kept.0.lock().unwrap().deleted = true;
        }
        Box::pin(async { Ok(()) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a LogName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        let logs = self.logs.lock().unwrap();
        let named = logs
            .iter()
            .filter(|(name, _)| name.starts_with(prefix) && after.is_none_or(|after| *name > after));
        let listed = named
            .take(limit)
            .map(|(name, kept)| Listed { name: name.clone(), head: kept.0.lock().unwrap().head() })
            .collect();
        Box::pin(async move { Ok(listed) })
    }
}

struct SlowLog {
    name: LogName,
    kept: Arc<Kept>,
    term: Term,
}

impl StoredLog for SlowLog {
    fn head(&self) -> StoredHead {
        StoredHead { term: self.term, ..self.kept.0.lock().unwrap().head() }
    }

    fn append(
        &self,
        term: Term,
        expected_last: Seq,
        entries: &[Arc<Entry>],
        attributes: &[AttributeChange],
    ) -> Result<Appended, StoreError> {
        let mut state = self.kept.0.lock().unwrap();
        state.check(term, expected_last, !entries.is_empty(), &self.name)?;
        if state.append_errors > 0 {
            state.append_errors -= 1;
            return Err(unavailable());
        }
        state.entries.extend_from_slice(entries);
        if !attributes.is_empty() {
            let last = state.accepted();
            state.changes.push((last, attributes.to_vec()));
        }
        Ok(Appended::Pending)
    }

    fn seal(&self, term: Term, expected_last: Seq) -> Result<Appended, StoreError> {
        let mut state = self.kept.0.lock().unwrap();
        state.check(term, expected_last, true, &self.name)?;
        if state.seal_errors > 0 {
            state.seal_errors -= 1;
            return Err(unavailable());
        }
        state.sealing = true;
        Ok(Appended::Pending)
    }

    fn read(
        &self,
        from: Seq,
        max_entries: usize,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, StoreError>> {
        // Ready only at the second poll, so that a read can be dropped while it is under way.
        let polled = AtomicBool::new(false);
        Box::pin(std::future::poll_fn(move |cx| {
            if !polled.swap(true, Ordering::SeqCst) {
                cx.waker().wake_by_ref();
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(self.read_now(from, max_entries, max_bytes))
        }))
    }

    fn trim(&self, term: Term, up_to: Seq) -> Result<(), StoreError> {
        let mut state = self.kept.0.lock().unwrap();
        if term.0 < state.term {
            return Err(StoreError::Fenced { term: term.0, newest: state.term });
        }
        let trimmed = up_to.get().clamp(state.trimmed, state.durable);
        let gone = (trimmed - state.trimmed) as usize;
        state.entries.drain(..gone);
        state.trimmed = trimmed;
        Ok(())
    }
}

impl SlowLog {
    /// Entries are made anew, as a disk would.
    fn read_now(
        &self,
        from: Seq,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let state = self.kept.0.lock().unwrap();
        if from.get() <= state.trimmed {
            return Err(StoreError::Trimmed { trimmed: seq(state.trimmed) });
        }
        let durable = &state.entries[..(state.durable - state.trimmed) as usize];
        let skip = (from.get() - state.trimmed - 1) as usize;
        let mut read: Vec<Arc<Entry>> = Vec::new();
        let mut bytes = 0;
        for entry in durable.iter().skip(skip).take(max_entries) {
            bytes += entry.weight();
            if !read.is_empty() && bytes > max_bytes {
                break;
            }
            read.push(Arc::new(Entry::new(entry.seq(), entry.time(), entry.event().clone())));
        }
        Ok(read)
    }
}
