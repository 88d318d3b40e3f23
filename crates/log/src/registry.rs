//! All logs of one program.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use streamnest_core::{Clock, ExecutionId, LogIdentity, LogStore, Timestamp};
use tokio::sync::Notify;

use crate::{
    Error, EventLog, Filter, LogOptions, Writer,
    event_log::Watch,
    fan_in::{Arrivals, FanInCursor, FanInScope},
    wake::{WakeRelay, yield_once},
};

/// How often finished logs are looked over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How many logs are looked over before waiting readers get their turn.
const SWEEP_AT_ONCE: usize = 256;

/// Finds and makes the logs. A cheap handle; all clones are the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    store: Arc<dyn LogStore>,
    logs: Mutex<Logs>,
}

/// Hears of a log that is gone.
type RemovedHook = Arc<dyn Fn(&ExecutionId) + Send + Sync>;

#[derive(Default)]
struct Logs {
    by_id: HashMap<ExecutionId, Writer>,
    /// Ids whose log the store is opening.
    opening: HashSet<ExecutionId>,
    /// Ids that readers wait for.
    awaited: HashMap<ExecutionId, Arc<Notify>>,
    waiters: usize,
    fans: Vec<Weak<Arrivals>>,
    on_removed: Vec<RemovedHook>,
}

/// What all logs of a registry share.
pub(crate) struct Shared {
    pub(crate) options: LogOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) relay: WakeRelay,
    /// Bytes that all kept entries take.
    pub(crate) bytes: AtomicUsize,
    /// Logs that have ended, oldest first.
    finished: Mutex<BTreeSet<(Timestamp, ExecutionId)>>,
}

impl Shared {
    pub(crate) fn finished(&self, id: &ExecutionId, at: Timestamp) {
        self.ended().insert((at, id.clone()));
    }

    fn ended(&self) -> MutexGuard<'_, BTreeSet<(Timestamp, ExecutionId)>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// A registry of logs that `store` keeps.
    pub fn new(store: Arc<dyn LogStore>, clock: Arc<dyn Clock>, options: LogOptions) -> Self {
        let shared = Shared {
            options,
            clock,
            relay: WakeRelay::default(),
            bytes: AtomicUsize::new(0),
            finished: Mutex::default(),
        };
        Self(Arc::new(Inner { shared: Arc::new(shared), store, logs: Mutex::default() }))
    }

    /// The bounds of its logs.
    pub fn options(&self) -> &LogOptions {
        &self.0.shared.options
    }

    /// The time by the registry's clock.
    pub fn now(&self) -> Timestamp {
        self.0.shared.clock.now()
    }

    /// Makes the log of a new execution and returns its one writer.
    ///
    /// If the store has entries of it from before, the log goes on after them.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]; [`Error::TooManyLogs`] or [`Error::TooMuchKept`] if none can be evicted;
    /// [`Error::Store`].
    ///
    /// # Cancel safety
    /// Safe: there is a log or there is none.
    pub async fn create(&self, id: &ExecutionId) -> Result<Writer, Error> {
        let reserved = self.reserve(id).await?;
        let watch = Arc::new(Watch::default());
        let stored = self.0.store.open(id, watch.clone()).await?;
        let head = stored.head();
        let identity = LogIdentity { execution: id.clone(), epoch: head.epoch };
        let log = Arc::new(EventLog::new(identity, stored, &head, self.0.shared.clone()));
        // Nothing was appended yet, so nothing can have become durable before this.
        let _ = watch.0.set(Arc::downgrade(&log));
        let writer = Writer::new(log);
        if head.sealed {
            self.0.shared.finished(id, writer.log().ended_at());
        }
        let (awaited, fans) = self.enter(&writer, reserved);
        awaited.iter().for_each(|awaited| awaited.notify_waiters());
        fans.iter().for_each(|fan| fan.arrive(writer.log()));
        Ok(writer)
    }

    /// Keeps `id` free for the caller, evicting a finished log if there is no room.
    async fn reserve<'a>(&'a self, id: &'a ExecutionId) -> Result<Reserved<'a>, Error> {
        let options = &self.0.shared.options;
        loop {
            let too_much = self.bytes() > options.max_total_bytes;
            {
                let mut logs = self.lock();
                if logs.by_id.contains_key(id) || logs.opening.contains(id) {
                    return Err(Error::AlreadyExists { id: id.clone() });
                }
                if !too_much && logs.by_id.len() + logs.opening.len() < options.max_logs {
                    logs.opening.insert(id.clone());
                    return Ok(Reserved { registry: self, id });
                }
            }
            if !self.evict_oldest().await? {
                return Err(if too_much {
                    Error::TooMuchKept { limit: options.max_total_bytes }
                } else {
                    Error::TooManyLogs { limit: options.max_logs }
                });
            }
        }
    }

    /// Puts a log in its reserved place. Returns who is to hear of it, without the lock.
    fn enter(&self, writer: &Writer, reserved: Reserved<'_>) -> (Option<Arc<Notify>>, Vec<Arc<Arrivals>>) {
        let id = reserved.id;
        let mut logs = self.lock();
        reserved.release(&mut logs);
        logs.by_id.insert(id.clone(), writer.clone());
        let mut fans = Vec::new();
        logs.fans.retain(|fan| fan.upgrade().map(|fan| fans.push(fan)).is_some());
        (logs.awaited.remove(id), fans)
    }

    /// The log of `id`, if there is one.
    pub fn get(&self, id: &ExecutionId) -> Option<Arc<EventLog>> {
        self.lock().by_id.get(id).map(|writer| writer.log().clone())
    }

    /// The writer of the log of `id`, if there is one.
    pub fn writer(&self, id: &ExecutionId) -> Option<Writer> {
        self.lock().by_id.get(id).cloned()
    }

    /// How many logs there are.
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that all kept entries take, encodings included.
    pub fn bytes(&self) -> usize {
        self.0.shared.bytes.load(Ordering::Relaxed)
    }

    /// Waits for the log of `id`, which may not exist yet.
    ///
    /// # Errors
    /// [`Error::TooManyWaiters`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait_for(&self, id: &ExecutionId) -> Result<Arc<EventLog>, Error> {
        let mut waiting = None;
        loop {
            let arrived = {
                let mut logs = self.lock();
                if let Some(writer) = logs.by_id.get(id) {
                    return Ok(writer.log().clone());
                }
                if waiting.is_none() {
                    let limit = self.0.shared.options.max_waiters;
                    if logs.waiters >= limit {
                        return Err(Error::TooManyWaiters { limit });
                    }
                    logs.waiters += 1;
                    waiting = Some(Waiting { registry: self, id });
                }
                logs.awaited.entry(id.clone()).or_default().clone()
            };
            let notified = arrived.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            // It may have come between the look and the wait.
            if self.get(id).is_none() {
                notified.await;
            }
        }
    }

    /// A view over many logs at once.
    pub fn fan_in(&self, filter: Filter, scope: FanInScope) -> FanInCursor {
        let arrivals = Arrivals::new(scope, self.0.shared.options.max_fan_in);
        let mut logs = self.lock();
        let present: Vec<_> = logs.by_id.values().map(|writer| writer.log().clone()).collect();
        logs.fans.retain(|fan| fan.strong_count() > 0);
        logs.fans.push(Arc::downgrade(&arrivals));
        drop(logs);
        FanInCursor::new(arrivals, filter, &present)
    }

    /// Forgets the log of `id` and all its entries. Does nothing if there is none.
    ///
    /// Who reads it reads on as far as it was written. If it had not ended, they and its writer then get
    /// [`Error::Removed`].
    ///
    /// # Errors
    /// [`Error::Store`], and then the log stays.
    ///
    /// # Cancel safety
    /// Not safe: the log is gone, but the store may keep what it holds of it.
    pub async fn remove(&self, id: &ExecutionId) -> Result<(), Error> {
        let (writer, reserved, hooks) = {
            let mut logs = self.lock();
            let Some(writer) = logs.by_id.remove(id) else { return Ok(()) };
            // Until the store has forgotten it nobody makes it anew.
            logs.opening.insert(id.clone());
            (writer, Reserved { registry: self, id }, logs.on_removed.clone())
        };
        if let Err(error) = self.0.store.delete(id).await {
            let mut logs = self.lock();
            reserved.release(&mut logs);
            logs.by_id.insert(id.clone(), writer);
            return Err(Error::Store(error));
        }
        writer.log().break_off(Error::Removed);
        self.0.shared.ended().remove(&(writer.log().ended_at(), id.clone()));
        drop(reserved);
        hooks.iter().for_each(|hook| hook(id));
        Ok(())
    }

    /// Calls `hook` whenever a log is removed, by a call or because it was evicted.
    pub fn on_removed(&self, hook: impl Fn(&ExecutionId) + Send + Sync + 'static) {
        self.lock().on_removed.push(Arc::new(hook));
    }

    /// Removes the log that ended first; whether there was one.
    async fn evict_oldest(&self) -> Result<bool, Error> {
        loop {
            let Some((_, id)) = self.0.shared.ended().pop_first() else { return Ok(false) };
            let Some(log) = self.get(&id) else { continue };
            if let Err(error) = self.remove(&id).await {
                self.0.shared.finished(&id, log.ended_at());
                return Err(error);
            }
            return Ok(true);
        }
    }

    /// Wakes the readers that writers leave to it, and evicts what is finished for long or too much. Runs until it is
    /// dropped; without it, writers wake all readers themselves and nothing is evicted before it must.
    pub async fn maintain(&self) {
        tokio::select! {
            () = self.0.shared.relay.run() => {}
            () = self.sweep() => {}
        }
    }

    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let options = &self.0.shared.options;
            let now = self.0.shared.clock.now();
            loop {
                let oldest = self.0.shared.ended().first().map(|(ended, _)| *ended);
                let expired = oldest.is_some_and(|ended| now.since(ended) > options.finished_ttl);
                if !(expired || self.bytes() > options.max_total_bytes) {
                    break;
                }
                match self.evict_oldest().await {
                    Ok(true) => yield_once().await,
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "a finished log could not be evicted");
                        break;
                    }
                }
            }
            let logs: Vec<_> = self.lock().by_id.values().map(|writer| writer.log().clone()).collect();
            for (index, log) in logs.iter().enumerate() {
                if index % SWEEP_AT_ONCE == SWEEP_AT_ONCE - 1 {
                    yield_once().await;
                }
                if let Err(error) = log.enforce_retention(&mut log.lock(), now) {
                    tracing::warn!(execution = %log.identity().execution, %error, "retention could not trim the log");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Logs> {
        self.0.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("logs", &self.len()).field("bytes", &self.bytes()).finish()
    }
}

/// An id that is kept free while the store opens or deletes its log.
struct Reserved<'a> {
    registry: &'a Registry,
    id: &'a ExecutionId,
}

impl Reserved<'_> {
    /// Gives the id back under a lock that is held already.
    fn release(self, logs: &mut Logs) {
        logs.opening.remove(self.id);
        mem::forget(self);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.registry.lock().opening.remove(self.id);
    }
}

/// One reader that waits for a log.
struct Waiting<'a> {
    registry: &'a Registry,
    id: &'a ExecutionId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut logs = self.registry.lock();
        logs.waiters -= 1;
        // The last one to leave takes the place with it: this reader's own count is gone, one is the map's.
        if logs.awaited.get(self.id).is_some_and(|awaited| Arc::strong_count(awaited) == 1) {
            logs.awaited.remove(self.id);
        }
    }
}
