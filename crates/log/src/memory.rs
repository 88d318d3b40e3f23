//! The store that forgets when the program ends.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use streamnest_core::{
    Appended, BoxFuture, Class, Clock, DurabilityWatch, Entry, Epoch, ExecutionId, LogStore, Seq, Status,
    StoreError, StoredHead, StoredLog, Term,
};

/// A [`LogStore`] in memory: everything is durable at once, and gone with the process.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    newest_epoch: AtomicU64,
    logs: Mutex<HashMap<ExecutionId, Arc<Mutex<Kept>>>>,
}

/// What is kept of one log.
struct Kept {
    epoch: Epoch,
    term: Term,
    trimmed: Seq,
    /// The last entry; kept here so that an append need not look at the one before it.
    last: Seq,
    entries: VecDeque<Arc<Entry>>,
    sealed: bool,
    status: Option<Status>,
}

impl Kept {
    const fn last(&self) -> Seq {
        self.last
    }

    fn check(&self, term: Term) -> Result<(), StoreError> {
        if term < self.term {
            return Err(StoreError::Fenced { term: term.0, newest: self.term.0 });
        }
        Ok(())
    }

    fn check_append(&self, term: Term, expected_last: Seq) -> Result<(), StoreError> {
        self.check(term)?;
        let last = self.last();
        if self.sealed {
            return Err(StoreError::Sealed { last });
        }
        if expected_last != last {
            return Err(StoreError::WrongLast { expected: expected_last, actual: last });
        }
        Ok(())
    }
}

struct MemoryLog {
    term: Term,
    kept: Arc<Mutex<Kept>>,
}

impl MemoryStore {
    /// An empty store. Each log's epoch is the time by `clock` at which it was made, in microseconds.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, newest_epoch: AtomicU64::new(0), logs: Mutex::default() }
    }

    /// An epoch that no log had before, also if the clock stands still.
    fn new_epoch(&self) -> Epoch {
        let now = self.clock.now().as_micros();
        let next = |newest: u64| now.max(newest + 1);
        Epoch::new(next(
            self.newest_epoch
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |e| Some(next(e)))
                .unwrap_or_default(),
        ))
    }
}

impl LogStore for MemoryStore {
    fn open<'a>(
        &'a self,
        id: &'a ExecutionId,
        _watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        let kept = {
            let mut logs = lock(&self.logs);
            let new = || {
                Arc::new(Mutex::new(Kept {
                    epoch: self.new_epoch(),
                    term: Term(0),
                    trimmed: Seq::BEFORE_FIRST,
                    last: Seq::BEFORE_FIRST,
                    entries: VecDeque::new(),
                    sealed: false,
                    status: None,
                }))
            };
            logs.entry(id.clone()).or_insert_with(new).clone()
        };
        let term = {
            let mut kept = lock(&kept);
            kept.term = Term(kept.term.0 + 1);
            kept.term
        };
        let log: Arc<dyn StoredLog> = Arc::new(MemoryLog { term, kept });
        Box::pin(async move { Ok(log) })
    }

    fn delete<'a>(&'a self, id: &'a ExecutionId) -> BoxFuture<'a, Result<(), StoreError>> {
        lock(&self.logs).remove(id);
        Box::pin(async { Ok(()) })
    }
}

impl StoredLog for MemoryLog {
    fn head(&self) -> StoredHead {
        let kept = lock(&self.kept);
        StoredHead {
            epoch: kept.epoch,
            term: self.term,
            trimmed: kept.trimmed,
            last: kept.last(),
            sealed: kept.sealed,
            status: kept.status,
        }
    }

    fn append(&self, term: Term, expected_last: Seq, entries: &[Arc<Entry>]) -> Result<Appended, StoreError> {
        let mut kept = lock(&self.kept);
        kept.check_append(term, expected_last)?;
        let mut statuses = entries.iter().filter(|entry| entry.event().class() == Class::Status);
        if let Some(Ok(Some(update))) = statuses.next_back().map(|entry| entry.event().as_status()) {
            kept.status = Some(update.status);
        }
        kept.last = entries.last().map_or(kept.last, |entry| entry.seq());
        kept.entries.extend(entries.iter().cloned());
        Ok(Appended::Durable)
    }

    fn seal(&self, term: Term, expected_last: Seq) -> Result<Appended, StoreError> {
        let mut kept = lock(&self.kept);
        kept.check_append(term, expected_last)?;
        kept.sealed = true;
        Ok(Appended::Durable)
    }

    fn read(
        &self,
        from: Seq,
        max_entries: usize,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, StoreError>> {
        let read = || {
            let kept = lock(&self.kept);
            if from <= kept.trimmed {
                return Err(StoreError::Trimmed { trimmed: kept.trimmed });
            }
            let skip = usize::try_from(from.distance_from(kept.trimmed) - 1).unwrap_or(usize::MAX);
            let mut found: Vec<Arc<Entry>> = Vec::new();
            let mut bytes = 0;
            for entry in kept.entries.iter().skip(skip).take(max_entries) {
                bytes += entry.weight();
                if !found.is_empty() && bytes > max_bytes {
                    break;
                }
                found.push(entry.clone());
            }
            Ok(found)
        };
        let read = read();
        Box::pin(async move { read })
    }

    fn trim(&self, term: Term, up_to: Seq) -> Result<(), StoreError> {
        let mut kept = lock(&self.kept);
        kept.check(term)?;
        while kept.entries.front().is_some_and(|entry| entry.seq() <= up_to) {
            kept.trimmed = kept.trimmed.next();
            kept.entries.pop_front();
        }
        Ok(())
    }
}

/// What is kept is consistent between statements, so a panic elsewhere leaves nothing broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
