//! The store that forgets when the program ends.

use std::{
    collections::{BTreeMap, VecDeque, btree_map},
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use streamnest_core::{
    Appended, AttributeChange, Attributes, BoxFuture, Class, Clock, DurabilityWatch, Entry, Epoch, Listed,
    LogName, LogStore, Seq, Status, StoreError, StoredHead, StoredLog, Term, Timestamp,
};

/// A [`LogStore`] in memory: everything is durable at once, and gone with the process.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    newest_epoch: AtomicU64,
    logs: Mutex<BTreeMap<LogName, Arc<Mutex<Kept>>>>,
}

/// What is kept of one log. What each append needs stands first and together, for where many logs take turns it is in no cache.
#[repr(C)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    /// The last entry; kept here so that an append need not look at the one before it.
    last: Seq,
    term: Term,
    time: Option<Timestamp>,
    deleted: bool,
    sealed: bool,
    status: Option<Status>,
    epoch: Epoch,
    trimmed: Seq,
    attributes: Attributes,
}

impl Kept {
    fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            term: Term::FIRST,
            trimmed: Seq::BEFORE_FIRST,
            last: Seq::BEFORE_FIRST,
            entries: VecDeque::new(),
            sealed: false,
            status: None,
            time: None,
            attributes: Attributes::new(),
            deleted: false,
        }
    }

    fn head(&self, term: Term) -> StoredHead {
        StoredHead {
            epoch: self.epoch,
            term,
            trimmed: self.trimmed,
            last: self.last,
            sealed: self.sealed,
            status: self.status,
            time: self.time,
            bytes: self.entries.iter().map(|entry| entry.weight() as u64).sum(),
            attributes: self.attributes.clone(),
        }
    }

    fn check(&self, term: Term) -> Result<(), StoreError> {
        if term < self.term {
            return Err(StoreError::Fenced { term: term.0, newest: self.term.0 });
        }
        Ok(())
    }

    fn check_append(&self, term: Term, expected_last: Seq, name: &LogName) -> Result<(), StoreError> {
        self.check(term)?;
        if self.deleted {
            return Err(StoreError::NotFound { name: name.clone() });
        }
        let last = self.last;
        if expected_last != last {
            return Err(StoreError::WrongLast { expected: expected_last, actual: last });
        }
        Ok(())
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.sealed { Err(StoreError::Sealed { last: self.last }) } else { Ok(()) }
    }
}

struct MemoryLog {
    name: LogName,
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
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        _watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        let made = match lock(&self.logs).entry(name.clone()) {
            btree_map::Entry::Occupied(_) => Err(StoreError::Exists { name: name.clone() }),
            btree_map::Entry::Vacant(vacant) => {
                let mut kept = Kept::new(self.new_epoch());
                attributes.iter().for_each(|change| change.apply(&mut kept.attributes));
                let kept = vacant.insert(Arc::new(Mutex::new(kept))).clone();
                Ok(MemoryLog { name: name.clone(), term: Term::FIRST, kept })
            }
        };
        Box::pin(async move { made.map(|log| Arc::new(log) as Arc<dyn StoredLog>) })
    }

    fn open<'a>(
        &'a self,
        name: &'a LogName,
        _watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        let kept = lock(&self.logs).get(name).cloned();
        let opened = kept.ok_or_else(|| StoreError::NotFound { name: name.clone() }).map(|kept| {
            let term = {
                let mut kept = lock(&kept);
                kept.term = Term(kept.term.0 + 1);
                kept.term
            };
            MemoryLog { name: name.clone(), term, kept }
        });
        Box::pin(async move { opened.map(|log| Arc::new(log) as Arc<dyn StoredLog>) })
    }

    fn delete<'a>(&'a self, name: &'a LogName) -> BoxFuture<'a, Result<(), StoreError>> {
        if let Some(kept) = lock(&self.logs).remove(name) {
            lock(&kept).deleted = true;
        }
        Box::pin(async { Ok(()) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a LogName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        let listed = {
            let logs = lock(&self.logs);
            let start = after
                .filter(|after| after.as_str() >= prefix)
                .map_or(Bound::Included(prefix), |after| Bound::Excluded(after.as_str()));
            let named = logs.range::<str, _>((start, Bound::Unbounded));
            let named = named.take_while(|(name, _)| name.starts_with(prefix)).take(limit);
            named
                .map(|(name, kept)| {
                    let kept = lock(kept);
                    Listed { name: name.clone(), head: kept.head(kept.term) }
                })
                .collect()
        };
        Box::pin(async move { Ok(listed) })
    }
}

impl StoredLog for MemoryLog {
    fn head(&self) -> StoredHead {
        lock(&self.kept).head(self.term)
    }

    fn append(
        &self,
        term: Term,
        expected_last: Seq,
        entries: &[Arc<Entry>],
        attributes: &[AttributeChange],
    ) -> Result<Appended, StoreError> {
        let mut kept = lock(&self.kept);
        kept.check_append(term, expected_last, &self.name)?;
        if let Some(last) = entries.last() {
            kept.check_open()?;
            (kept.last, kept.time) = (last.seq(), Some(last.time()));
        }
        let mut statuses = entries.iter().filter(|entry| entry.event().class() == Class::Status);
        if let Some(Ok(Some(update))) = statuses.next_back().map(|entry| entry.event().as_status()) {
            kept.status = Some(update.status);
        }
        kept.entries.extend(entries.iter().cloned());
        attributes.iter().for_each(|change| change.apply(&mut kept.attributes));
        Ok(Appended::Durable)
    }

    fn seal(&self, term: Term, expected_last: Seq) -> Result<Appended, StoreError> {
        let mut kept = lock(&self.kept);
        kept.check_append(term, expected_last, &self.name)?;
        kept.check_open()?;
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
