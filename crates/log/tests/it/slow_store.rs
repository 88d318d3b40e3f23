//! A store that makes entries durable when it is told to.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use streamnest_core::{
    Appended, BoxFuture, DurabilityWatch, Entry, Epoch, ExecutionId, LogStore, Seq, Status, StoreError,
    StoredHead, StoredLog, Term,
};

use crate::support::{Random, seq};

/// Accepts at once, keeps when told.
#[derive(Default)]
pub(crate) struct SlowStore {
    logs: Mutex<HashMap<ExecutionId, Arc<Kept>>>,
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
    fn settle(&mut self, count: u64) -> Option<(Arc<dyn DurabilityWatch>, u64, bool)> {
        let accepted = self.accepted();
        let durable = accepted.min(self.durable.saturating_add(count));
        let sealed = self.sealing && durable == accepted;
        if durable == self.durable && sealed == self.sealed {
            return None;
        }
        (self.durable, self.sealed) = (durable, sealed);
        Some((self.watch.clone(), durable, sealed))
    }

    fn check(&self, term: Term, expected_last: Seq) -> Result<(), StoreError> {
        let (term, newest, actual) = (term.0, self.term, seq(self.accepted()));
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if term < newest => Err(StoreError::Fenced { term, newest }),
            None if self.sealing => Err(StoreError::Sealed { last: actual }),
            None if expected_last != actual => Err(StoreError::WrongLast { expected: expected_last, actual }),
            None => Ok(()),
        }
    }
}

impl Kept {
    /// Makes up to `count` more entries durable, and the seal if that was all.
    fn settle(&self, count: u64) {
        let settled = self.0.lock().unwrap().settle(count);
        if let Some((watch, durable, sealed)) = settled {
            watch.durable(seq(durable), sealed);
        }
    }
}

impl SlowStore {
    fn kept(&self, id: &ExecutionId) -> Arc<Kept> {
        self.logs.lock().unwrap()[id].clone()
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
    fn open<'a>(
        &'a self,
        id: &'a ExecutionId,
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        let kept = {
            let mut logs = self.logs.lock().unwrap();
            let new = || {
                let mut epochs = self.epochs.lock().unwrap();
                *epochs += 1;
                Arc::new(Kept(Mutex::new(State {
                    epoch: Epoch::new(*epochs),
                    term: 0,
                    trimmed: 0,
                    entries: Vec::new(),
                    durable: 0,
                    sealing: false,
                    sealed: false,
                    append_errors: 0,
                    seal_errors: 0,
                    failed: None,
                    watch: watch.clone(),
                })))
            };
            logs.entry(id.clone()).or_insert_with(new).clone()
        };
        kept.settle(u64::MAX);
        let term = {
            let mut state = kept.0.lock().unwrap();
            state.term += 1;
            state.watch = watch;
            Term(state.term)
        };
        Box::pin(async move { Ok(Arc::new(SlowLog { kept, term }) as Arc<dyn StoredLog>) })
    }

    fn delete<'a>(&'a self, id: &'a ExecutionId) -> BoxFuture<'a, Result<(), StoreError>> {
        self.logs.lock().unwrap().remove(id);
        Box::pin(async { Ok(()) })
    }
}

struct SlowLog {
    kept: Arc<Kept>,
    term: Term,
}

impl StoredLog for SlowLog {
    fn head(&self) -> StoredHead {
        let state = self.kept.0.lock().unwrap();
        let durable = &state.entries[..(state.durable - state.trimmed) as usize];
        let status = durable.iter().rev().find_map(|entry| entry.event().as_status().ok().flatten());
        StoredHead {
            epoch: state.epoch,
            term: self.term,
            trimmed: seq(state.trimmed),
            last: seq(state.durable),
            sealed: state.sealed,
            status: status.map(|update| update.status).or(None::<Status>),
        }
    }

    fn append(&self, term: Term, expected_last: Seq, entries: &[Arc<Entry>]) -> Result<Appended, StoreError> {
        let mut state = self.kept.0.lock().unwrap();
        state.check(term, expected_last)?;
        if state.append_errors > 0 {
            state.append_errors -= 1;
            return Err(unavailable());
        }
        state.entries.extend_from_slice(entries);
        Ok(Appended::Pending)
    }

    fn seal(&self, term: Term, expected_last: Seq) -> Result<Appended, StoreError> {
        let mut state = self.kept.0.lock().unwrap();
        state.check(term, expected_last)?;
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
