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
    logs: Mutex<BTreeMap<LogName, Arc<MemoryLog>>>,
}

/// How many entries wait at hand to go where all are kept.
const NEWEST: usize = 7;

/// What is kept of one log. What each append needs stands first and together, for where many logs take turns it is in no cache.
#[repr(C)]
struct Kept {
    /// The last entry; kept here so that an append need not look at the one before it.
    last: Seq,
    term: Term,
    time: Option<Timestamp>,
    deleted: bool,
    sealed: bool,
    status: Option<Status>,
    /// Entries after `entries` that came one by one: the end of that is memory elsewhere, which is touched once for several.
    newest: [Option<Arc<Entry>>; NEWEST],
    entries: VecDeque<Arc<Entry>>,
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
            newest: [const { None }; NEWEST],
            entries: VecDeque::new(),
            sealed: false,
            status: None,
            time: None,
            attributes: Attributes::new(),
            deleted: false,
        }
    }

    fn push(&mut self, entries: &[Arc<Entry>]) {
        if let [entry] = entries
            && let Some(free) = self.newest.iter_mut().find(|place| place.is_none())
        {
            *free = Some(entry.clone());
            return;
        }
        self.gather();
        self.entries.extend(entries.iter().cloned());
    }

    /// All entries in one list.
    fn gather(&mut self) -> &mut VecDeque<Arc<Entry>> {
        self.entries.extend(self.newest.iter_mut().filter_map(Option::take));
        &mut self.entries
    }

    fn head(&mut self, term: Term) -> StoredHead {
        StoredHead {
            epoch: self.epoch,
            term,
            trimmed: self.trimmed,
            last: self.last,
            sealed: self.sealed,
            status: self.status,
            time: self.time,
            bytes: self.gather().iter().map(|entry| entry.weight() as u64).sum(),
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

/// A log, also as who made it has it.
#[repr(C)]
struct MemoryLog {
    kept: Mutex<Kept>,
    name: LogName,
}

/// A log as somebody has it who opened it later.
struct Reopened {
    log: Arc<MemoryLog>,
    term: Term,
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
                let log = MemoryLog { kept: Mutex::new(kept), name: name.clone() };
                Ok(vacant.insert(Arc::new(log)).clone() as Arc<dyn StoredLog>)
            }
        };
        Box::pin(async move { made })
    }

    fn open<'a>(
        &'a self,
        name: &'a LogName,
        _watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        let log = lock(&self.logs).get(name).cloned();
        let opened = log.ok_or_else(|| StoreError::NotFound { name: name.clone() }).map(|log| {
            let term = {
                let mut kept = lock(&log.kept);
                kept.term = Term(kept.term.0 + 1);
                kept.term
            };
            Arc::new(Reopened { log, term }) as Arc<dyn StoredLog>
        });
        Box::pin(async move { opened })
    }

    fn delete<'a>(&'a self, name: &'a LogName) -> BoxFuture<'a, Result<(), StoreError>> {
        if let Some(log) = lock(&self.logs).remove(name) {
            lock(&log.kept).deleted = true;
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
                .map(|(name, log)| {
                    let mut kept = lock(&log.kept);
                    let term = kept.term;
                    Listed { name: name.clone(), head: kept.head(term) }
                })
                .collect()
        };
        Box::pin(async move { Ok(listed) })
    }
}

impl StoredLog for MemoryLog {
    fn head(&self) -> StoredHead {
        lock(&self.kept).head(Term::FIRST)
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
        kept.push(entries);
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
            let mut kept = lock(&self.kept);
            if from <= kept.trimmed {
                return Err(StoreError::Trimmed { trimmed: kept.trimmed });
            }
            let skip = usize::try_from(from.distance_from(kept.trimmed) - 1).unwrap_or(usize::MAX);
            let mut found: Vec<Arc<Entry>> = Vec::new();
            let mut bytes = 0;
            for entry in kept.gather().iter().skip(skip).take(max_entries) {
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
        kept.gather();
        while kept.entries.front().is_some_and(|entry| entry.seq() <= up_to) {
            kept.trimmed = kept.trimmed.next();
            kept.entries.pop_front();
        }
        Ok(())
    }
}

impl StoredLog for Reopened {
    fn head(&self) -> StoredHead {
        lock(&self.log.kept).head(self.term)
    }

    fn append(
        &self,
        term: Term,
        expected_last: Seq,
        entries: &[Arc<Entry>],
        attributes: &[AttributeChange],
    ) -> Result<Appended, StoreError> {
        self.log.append(term, expected_last, entries, attributes)
    }

    fn seal(&self, term: Term, expected_last: Seq) -> Result<Appended, StoreError> {
        self.log.seal(term, expected_last)
    }

    fn read(
        &self,
        from: Seq,
        max_entries: usize,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, StoreError>> {
        self.log.read(from, max_entries, max_bytes)
    }

    fn trim(&self, term: Term, up_to: Seq) -> Result<(), StoreError> {
        self.log.trim(term, up_to)
    }
}

/// What is kept is consistent between statements, so a panic elsewhere leaves nothing broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
