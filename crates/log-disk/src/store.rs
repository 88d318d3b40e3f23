//! The store: what the rest of the program sees of it.

use std::{
    collections::HashMap,
    fmt,
    ops::Bound,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use streamnest_core::{
    AttributeChange, Attributes, BoxFuture, Clock, DurabilityWatch, Listed, LogName, LogStore, StoreError,
    StoredLog, Timestamp,
};

use crate::{
    DiskOptions, Error,
    blocks::Blocks,
    bounds,
    catalog::Catalog,
    codec::{self, State},
    commit::Committer,
    compact::{self, Compactor},
    completion,
    files::Files,
    handle::DiskLog,
    log::Log,
    queue::{Health, Queue, What},
    readers::Readers,
    recover::{Damage, Recovery, recover, verify},
    repair::undo_half_done,
    room::{RESERVE, is_full},
    segment::Segment,
    storage::{Directory, Storage},
};

/// A [`LogStore`] in a directory: entries survive the program, and in the default mode a power cut.
///
/// All logs share the segment files of the directory, and one sync makes durable what waits in all of them. See
/// `docs/format.md` for the files, and [`Durability`](crate::Durability) for what each mode can lose.
///
/// Drop it, or [`close`](LogStore::close) it, so that the next start finds an orderly stop.
pub struct DiskStore {
    inner: Arc<Inner>,
    recovery: Recovery,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads share.
pub(crate) struct Inner {
    pub(crate) files: Files,
    pub(crate) options: DiskOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queue: Queue,
    pub(crate) compactor: Compactor,
    pub(crate) readers: Readers,
    pub(crate) blocks: Arc<Blocks>,
    /// Bytes of memory that all logs take in the catalog, about.
    index_bytes: AtomicU64,
    catalog: Mutex<Catalog>,
    /// Held by whoever writes down which segments there are.
    bounds: Mutex<()>,
}

/// How the index grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Growth {
    /// By a log or an attribute that was not there.
    Extended,
    /// By the place of what is appended to a log that is there.
    Placed,
}

/// Keeps other processes out of the directory. The threads that write hold it, and so it is given up when both have ended, whoever
/// reads on from files that are open.
type Lock = Arc<dyn Send + Sync>;

impl Inner {
    pub(crate) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        // A catalog is consistent between statements, so a panic elsewhere leaves nothing broken.
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says durably which segments there are.
    pub(crate) fn note_bounds(&self) -> std::io::Result<()> {
        let _turn = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = {
            let catalog = self.catalog();
            catalog.segments.keys().next().copied().zip(catalog.segments.keys().next_back().copied())
        };
        ends.map_or(Ok(()), |ends| bounds::write(&self.files, ends))
    }

    /// Counts `more` bytes of memory, or refuses what would take more than the index may. The last quarter is left to the places of
    /// entries, so that logs that are there go on when no other can be made.
    pub(crate) fn reserve_index(&self, growth: Growth, more: u64) -> Result<(), StoreError> {
        let limit = self.options.max_index_bytes;
        let most = if growth == Growth::Placed { limit } else { limit - limit / 4 };
        let within = |bytes: u64| bytes.checked_add(more).filter(|bytes| *bytes <= most);
        let reserved = self.index_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
        reserved.map(drop).map_err(|_| StoreError::IndexFull { limit })
    }

    /// Something in the index took `before` bytes and takes `now`.
    pub(crate) fn weigh(&self, before: u64, now: u64) {
        // Modulo 2^64, for it may take less than before.
        self.index_bytes.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Adds a record to the next batch.
    pub(crate) fn push(
        &self,
        log: &Arc<Log>,
        last: u64,
        what: What,
        urgent: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), StoreError> {
        self.queue.push(log, last, what, urgent, &|| self.files.storage.place(), write)
    }

    pub(crate) fn barrier(&self, done: crate::queue::Done) -> Result<(), StoreError> {
        self.queue.barrier(done, &|| self.files.storage.place())
    }
}

impl DiskStore {
    /// Opens the data directory `path`, or makes it.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it open; [`Error::Format`], [`Error::Foreign`], [`Error::MissingSegment`],
    /// [`Error::Io`], [`Error::InvalidOption`].
    pub fn open(path: &Path, clock: Arc<dyn Clock>, options: DiskOptions) -> Result<Self, Error> {
        // Nothing is made for a program that will not begin.
        options.validate()?;
        let directory = Directory::new(path).map_err(|source| Error::Io {
            path: path.display().to_string(),
            file: String::new(),
            source: Arc::new(source),
        })?;
        Self::open_on(Arc::new(directory), clock, options)
    }

    /// Opens a store whose files are elsewhere.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        options: DiskOptions,
    ) -> Result<Self, Error> {
        options.validate()?;
        let mut files = Files { storage, salt: 0 };
        let lock: Lock = files.lock()?.into();
        files.check_format()?;
        undo_half_done(&files)?;
        let recovered = recover(&files)?;
        let report = recovered.report.clone();
        tell(&report);
        let active = match recovered.active {
            Some(active) => active,
            None => {
                let first = recovered.catalog.segments.keys().next_back().map_or(1, |last| last + 1);
                files.io(&Segment::name_of(first), Segment::create(&*files.storage, first, files.salt))?
            }
        };
        let mut catalog = recovered.catalog;
        catalog.segments.insert(active.id, active.clone());
        let index_bytes = catalog.by_name.values().map(|log| log.lock().weight()).sum();
        let readers = files.io("", Readers::start(options.readers))?;
        let blocks = Arc::new(Blocks::new(options.max_cached_bytes));
        let inner = Arc::new(Inner {
            files,
            options,
            clock,
            queue: Queue::default(),
            compactor: Compactor::default(),
            readers,
            blocks,
            index_bytes: AtomicU64::new(index_bytes),
            catalog: Mutex::new(catalog),
            bounds: Mutex::default(),
        });
        let kept = inner.files.keep_reserve(inner.options.reserve_bytes);
        match kept {
            Err(error) if is_full(&error) => inner.queue.set_health(Health::Full),
            kept => inner.files.io(RESERVE, kept)?,
        }
        match inner.note_bounds() {
            // It is said when the next segment begins.
            Err(error) if is_full(&error) => {}
            noted => inner.files.io("", noted)?,
        }
        if !recovered.doubted.is_empty() {
            begin_epochs(&inner, &recovered.doubted).map_err(|error| Error::Io {
                path: inner.files.storage.place(),
                file: active.name(),
                source: Arc::new(std::io::Error::other(error)),
            })?;
        }
        // What was recovered may not be durable yet: nothing is built on it before it is.
        inner.files.io(&active.name(), active.file.sync())?;
        let threads = start(&inner, active, recovered.touched.into_iter().collect(), lock)?;
        Ok(Self { inner, recovery: report, threads: Mutex::new(threads) })
    }

    /// Its bounds.
    pub fn options(&self) -> &DiskOptions {
        &self.inner.options
    }

    /// What the start found.
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Reads everything, and lists what is not as it was written.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn verify(&self) -> Result<Vec<Damage>, Error> {
        let segments: Vec<Arc<Segment>> = self.inner.catalog().segments.values().cloned().collect();
        let mut damages = Vec::new();
        for segment in segments {
            damages.extend(self.inner.files.io(&segment.name(), verify(&segment))?);
        }
        Ok(damages)
    }

    /// Makes room now, as is done by itself when enough bytes are dead.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn compact(&self) -> Result<(), Error> {
        match compact::compact_all(&self.inner) {
            Ok(()) | Err(compact::Stopped::Store) => Ok(()),
            Err(compact::Stopped::Io(error)) => self.inner.files.io("", Err(error)),
        }
    }

    /// Bytes of memory that the names, attributes and places of all logs take, about: what
    /// [`DiskOptions::max_index_bytes`] bounds.
    pub fn index_bytes(&self) -> u64 {
        self.inner.index_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.inner.catalog().segments.values().map(|segment| segment.length()).sum()
    }

    /// Makes everything durable, takes nothing more, and waits for the threads.
    fn stop(&self) {
        self.inner.compactor.close();
        self.inner.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let own = thread::current().id();
        if threads.iter().any(|thread| thread.thread().id() == own) {
            // Who was told of durability was the last to hold the store. This thread ends when it is back.
            return;
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the log store panicked");
            }
        }
    }

    fn find(&self, name: &LogName) -> Option<Arc<Log>> {
        self.inner.catalog().by_name.get(name).cloned()
    }
}

/// Says what a start found that an operator should know.
fn tell(report: &Recovery) {
    tracing::info!(
        segments = report.segments,
        scanned = report.scanned,
        logs = report.logs,
        clean = report.was_clean,
        took = ?report.took,
        "log store opened"
    );
    if let Some(cut) = &report.cut {
        tracing::warn!(
            file = cut.file,
            offset = cut.offset,
            bytes = cut.length,
            "torn tail cut; none of it was acknowledged"
        );
    }
    for name in &report.nameless {
        tracing::error!(name, "the name of a log is damaged; what is left of it is found under this one");
    }
    for damage in &report.damages {
        let log = damage.log.as_deref().unwrap_or("unknown");
        let outcome = match (damage.is_mended, &damage.log) {
            (true, _) => "what stood there is known, and nothing is lost",
            (false, Some(_)) => "readers of the log are told a gap",
            (false, None) => "logs that have not ended and say nothing behind it begin a new epoch",
        };
        tracing::error!(
            file = damage.file,
            offset = damage.offset,
            bytes = damage.length,
            log,
            outcome,
            "damage"
        );
    }
}

/// Each of `logs` begins a new epoch: visible entries of it may be gone.
fn begin_epochs(inner: &Inner, logs: &[Arc<Log>]) -> Result<(), StoreError> {
    for log in logs {
        let mut state = log.lock();
        let epoch = inner.catalog().new_epoch(inner.clock.now().as_micros());
        inner.push(log, state.accepted, What::Noted, true, |out| codec::put_epoch(epoch, out))?;
        state.epoch = epoch;
    }
    Ok(())
}

fn start(
    inner: &Arc<Inner>,
    active: Arc<Segment>,
    touched: HashMap<u64, Option<Arc<Log>>>,
    lock: Lock,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let synced = active.length();
    let committer = Committer {
        inner: inner.clone(),
        active,
        touched,
        synced,
        noted: 0,
        is_mode_durable: false,
        last_sync: Instant::now(),
        looked: Instant::now(),
    };
    let held = lock.clone();
    let write = thread::Builder::new().name("log-write".into()).spawn(move || {
        committer.run();
        drop(held);
    });
    let write = inner.files.io("", write)?;
    let shared = inner.clone();
    let compact = thread::Builder::new().name("log-compact".into()).spawn(move || {
        compact::run(&shared);
        drop(lock);
    });
    Ok(vec![write, inner.files.io("", compact)?])
}

impl LogStore for DiskStore {
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        Box::pin(async move {
            let (promise, done) = completion::pair();
            let log = {
                let mut catalog = self.inner.catalog();
                if catalog.by_name.contains_key(name) {
                    return Err(StoreError::Exists { name: name.clone() });
                }
                let (number, epoch) = catalog.new_log(self.inner.clock.now().as_micros());
                let mut state = State {
                    name: name.as_str().into(),
                    epoch,
                    term: 1,
                    trimmed: 0,
                    last: 0,
                    sealed: false,
                    status: None,
                    time: None,
                    attributes: Attributes::new(),
                };
                attributes.iter().for_each(|change| change.apply(&mut state.attributes));
                let log = Log::new(number, name.clone(), state.clone(), 0);
                let weight = log.lock().weight();
                self.inner.reserve_index(Growth::Extended, weight)?;
                log.lock().watch = Some(watch);
                let made = What::Made(promise);
                let pushed = self.inner.push(&log, 0, made, false, |out| codec::put_state(&state, out));
                pushed.inspect_err(|_| self.inner.weigh(weight, 0))?;
                catalog.by_name.insert(name.clone(), log.clone());
                log
            };
            match done.await {
                Some(Ok(())) => Ok(Arc::new(DiskLog::new(self.inner.clone(), log, 1)) as Arc<dyn StoredLog>),
                lost => {
                    let mut catalog = self.inner.catalog();
                    if catalog.by_name.get(name).is_some_and(|known| Arc::ptr_eq(known, &log)) {
                        catalog.by_name.remove(name);
                        self.inner.weigh(log.lock().weight(), 0);
                    }
                    Err(lost.and_then(Result::err).unwrap_or_else(crate::queue::closed))
                }
            }
        })
    }

    fn open<'a>(
        &'a self,
        name: &'a LogName,
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        Box::pin(async move {
            let log = self.find(name).ok_or_else(|| StoreError::NotFound { name: name.clone() })?;
            // From here on the writer before is fenced off; then what it has under way is waited for.
            let (term, pending) = {
                let mut state = log.lock();
                state.term += 1;
                (state.term, state.is_pending() || state.base == 0)
            };
            if pending {
                let (promise, done) = completion::pair();
                self.inner.barrier(promise)?;
                done.await.unwrap_or_else(|| Err(crate::queue::closed()))?;
            }
            {
                let mut state = log.lock();
                if state.deleted {
                    return Err(StoreError::NotFound { name: name.clone() });
                }
                if state.term == term {
                    state.changes = 0;
                    state.watch = Some(watch);
                }
            }
            Ok(Arc::new(DiskLog::new(self.inner.clone(), log, term)) as Arc<dyn StoredLog>)
        })
    }

    fn delete<'a>(&'a self, name: &'a LogName) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (promise, done) = completion::pair();
            {
                let mut catalog = self.inner.catalog();
                let Some(log) = catalog.by_name.get(name).cloned() else { return Ok(()) };
                let mut state = log.lock();
                // Deleting makes room, so a full disk takes it.
                self.inner.push(&log, state.accepted, What::Deleted(promise), true, codec::put_delete)?;
                state.deleted = true;
                state.bury();
                self.inner.weigh(state.weight(), 0);
                catalog.by_name.remove(name);
            }
            let deleted = done.await.unwrap_or_else(|| Err(crate::queue::closed()));
            self.inner.compactor.wake();
            deleted
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a LogName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        let logs: Vec<Arc<Log>> = {
            let catalog = self.inner.catalog();
            let after = after.filter(|after| after.as_str() >= prefix);
            let start = after.map_or(Bound::Included(prefix), |after| Bound::Excluded(after.as_str()));
            let named = catalog.by_name.range::<str, _>((start, Bound::Unbounded));
            named
                .take_while(|(name, _)| name.starts_with(prefix))
                .take(limit)
                .map(|(_, log)| log.clone())
                .collect()
        };
        let listed = logs.iter().map(|log| {
            let state = log.lock();
            Listed { name: log.name.clone(), head: state.head(state.term) }
        });
        let listed = listed.collect();
        Box::pin(async move { Ok(listed) })
    }

    fn is_persistent(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.inner.queue.health() {
            Health::Failed(source) => Err(StoreError::Failed { source }),
            Health::Well | Health::Full | Health::Closed => Ok(()),
        }
    }

    fn expired(&self, now: Timestamp) -> Vec<LogName> {
        let logs: Vec<Arc<Log>> = self.inner.catalog().by_name.values().cloned().collect();
        let mut finished: Vec<(Timestamp, u64, &LogName)> = Vec::new();
        for log in logs.iter().filter(|log| log.name.execution().is_some()) {
            let state = log.lock();
            if state.sealed && !state.deleted {
                finished.push((state.time.unwrap_or_default(), state.bytes(), &log.name));
            }
        }
        finished.sort_unstable();
        let options = &self.inner.options;
        let mut bytes: u64 = finished.iter().map(|(_, bytes, _)| bytes).sum();
        let expired = finished.into_iter().take_while(|(ended, size, _)| {
            let goes = now.since(*ended) > options.finished_ttl || bytes > options.max_finished_bytes;
            bytes -= size;
            goes
        });
        expired.map(|(_, _, name)| name.clone()).collect()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.stop();
        })
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("place", &self.inner.files.storage.place())
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}
