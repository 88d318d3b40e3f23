//! All logs of one program.

mod idle;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt, mem,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use streamnest_core::{
    AttributeChange, Attributes, Clock, Listed, LogIdentity, LogName, LogStore, NamesLog, Position,
    StoreError, StoredLog, Timestamp,
};
use tokio::sync::Notify;

use crate::{
    Error, EventLog, Filter, LogOptions, RunObserver, Writer,
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
    /// Told when the store has done what it was asked for a name.
    opened: Notify,
}

/// Hears of a log that is in memory now, with the attributes that it came with.
type OpenedHook = Arc<dyn Fn(&Arc<EventLog>, &Attributes) + Send + Sync>;
/// Hears of a log that is gone.
type RemovedHook = Arc<dyn Fn(&LogName, Removal) + Send + Sync>;

/// How a log left memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Removal {
    /// The store has forgotten it too.
    Deleted,
    /// The store keeps it, and [`Registry::open`] brings it back.
    Evicted,
}

#[derive(Default)]
struct Logs {
    by_name: HashMap<LogName, Writer>,
    /// Names whose log the store is making, opening or deleting.
    opening: HashSet<LogName>,
    /// Places that are kept for logs which the store is making or has opened.
    places: usize,
    /// Names that readers wait for.
    awaited: HashMap<LogName, Arc<Notify>>,
    waiters: usize,
    fans: Vec<Weak<Arrivals>>,
    on_opened: Vec<OpenedHook>,
    on_removed: Vec<RemovedHook>,
}

impl Logs {
    /// From now on logs that come arrive there, too. Returns those that are there and have not ended, and where each of them is.
    fn enlist(&mut self, arrivals: &Arc<Arrivals>) -> Vec<(Arc<EventLog>, Position)> {
        self.fans.retain(|fan| fan.strong_count() > 0);
        self.fans.push(Arc::downgrade(arrivals));
        let logs = self.by_name.values().map(Writer::log);
        // Taken now, not when the log is looked at: one that is about to arrive may have said much by then.
        let heads = logs.map(|log| (log, log.head())).filter(|(_, head)| !head.sealed);
        heads.map(|(log, head)| (log.clone(), log.position(head.last))).collect()
    }

    /// Takes a log out. A table that once held many gives back the room that is left over.
    fn take_out(&mut self, name: &LogName) -> Option<Writer> {
        let writer = self.by_name.remove(name);
        if self.by_name.len() < self.by_name.capacity() / 4 {
            self.by_name.shrink_to(self.by_name.len() * 2);
        }
        writer
    }
}

/// What all logs of a registry share.
pub(crate) struct Shared {
    pub(crate) options: LogOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) relay: WakeRelay,
    /// Bytes that all kept entries take.
    pub(crate) bytes: AtomicUsize,
    /// Hears of runs that end.
    pub(crate) observer: OnceLock<Arc<dyn RunObserver>>,
    store: Arc<dyn LogStore>,
    /// Logs that have ended, oldest first.
    finished: Mutex<BTreeSet<(Timestamp, LogName)>>,
}

impl Shared {
    /// Whether what the store keeps outlives this process.
    pub(crate) fn is_persistent(&self) -> bool {
        self.store.is_persistent()
    }

    /// Counts a log as one that may be let go. A stream of another kind is kept until it is deleted, so it may be let go
    /// only where the store keeps it.
    pub(crate) fn finished(&self, name: &LogName, at: Timestamp) {
        if !self.is_persistent() && !name.starts_with(LogName::EXECUTIONS) {
            return;
        }
        self.ended().insert((at, name.clone()));
    }

    fn ended(&self) -> MutexGuard<'_, BTreeSet<(Timestamp, LogName)>> {
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
            observer: OnceLock::new(),
            store: store.clone(),
            finished: Mutex::default(),
        };
        Self(Arc::new(Inner {
            shared: Arc::new(shared),
            store,
            logs: Mutex::default(),
            opened: Notify::new(),
        }))
    }

    /// The bounds of its logs.
    pub fn options(&self) -> &LogOptions {
        &self.0.shared.options
    }

    /// The time by the registry's clock.
    pub fn now(&self) -> Timestamp {
        self.0.shared.clock.now()
    }

    /// Makes a new log, that of an execution or any other, and returns its one writer.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], also if only the store has it; [`Error::TooManyLogs`] or [`Error::TooMuchKept`] if none can
    /// be evicted; [`Error::Store`].
    ///
    /// # Cancel safety
    /// Safe: there is a log or there is none.
    pub async fn create(&self, name: &impl NamesLog) -> Result<Writer, Error> {
        self.create_with(name, &[]).await
    }

    /// As [`create`](Self::create), with attributes that the log has from the first.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    ///
    /// # Cancel safety
    /// Safe: there is a log or there is none.
    pub async fn create_with(
        &self,
        name: &impl NamesLog,
        attributes: &[AttributeChange],
    ) -> Result<Writer, Error> {
        let name = name.log_name();
        let mut reserved = self.reserve(&name)?;
        reserved.place().await?;
        let watch = Arc::new(Watch::default());
        match self.0.store.create(&name, attributes, watch.clone()).await {
            Ok(stored) => Ok(self.take_in(stored, &watch, reserved)),
            Err(StoreError::Exists { name }) => Err(Error::AlreadyExists { name }),
            Err(error) => Err(Error::Store(error)),
        }
    }

    /// The writer of a log, which is opened if only the store has it; `None` if there is no such log.
    ///
    /// # Errors
    /// [`Error::TooManyLogs`] or [`Error::TooMuchKept`] if none can be evicted; [`Error::Store`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open(&self, name: &impl NamesLog) -> Result<Option<Writer>, Error> {
        let name = name.log_name();
        loop {
            let changed = self.0.opened.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(writer) = self.lock().by_name.get(&name) {
                writer.log().used();
                return Ok(Some(writer.clone()));
            }
            let Ok(mut reserved) = self.reserve(&name) else {
                // Somebody else makes, opens or deletes it at this moment.
                changed.await;
                continue;
            };
            let watch = Arc::new(Watch::default());
            return match self.0.store.open(&name, watch.clone()).await {
                Ok(stored) => {
                    // Only for a log that there is others have to go.
                    reserved.place().await?;
                    Ok(Some(self.take_in(stored, &watch, reserved)))
                }
                Err(StoreError::NotFound { .. }) => Ok(None),
                Err(error) => Err(Error::Store(error)),
            };
        }
    }

    /// The logs that the store has whose names begin with `prefix`, after `after`, at most `limit`, in the order of their
    /// names; in memory or not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        Ok(self.0.store.list(prefix, after, limit).await?)
    }

    /// Whether logs outlive this process.
    pub fn is_persistent(&self) -> bool {
        self.0.store.is_persistent()
    }

    /// Whether the store takes appends, or may again by itself.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: it takes nothing more for as long as this process lives.
    pub fn check(&self) -> Result<(), StoreError> {
        self.0.store.check()
    }

    /// Makes everything durable that was accepted; the store takes nothing more.
    pub async fn close(&self) {
        self.0.store.close().await;
    }

    /// Puts a log that the store has opened in its reserved place, and tells who waits for it.
    fn take_in(&self, stored: Arc<dyn StoredLog>, watch: &Watch, reserved: Reserved<'_>) -> Writer {
        let head = stored.head();
        let (sealed, identity) = (head.sealed, LogIdentity::new(reserved.name, head.epoch));
        let hooks = self.lock().on_opened.clone();
        let attributes = if hooks.is_empty() { Attributes::default() } else { head.attributes.clone() };
        let log = Arc::new(EventLog::new(identity, stored, head, self.0.shared.clone()));
        // Nothing was appended yet, so nothing can have become durable before this.
        let _ = watch.0.set(Arc::downgrade(&log));
        let writer = Writer::new(log);
        if sealed {
            self.0.shared.finished(reserved.name, writer.log().ended_at());
        }
        // While its name is reserved nobody removes it, so that nobody hears of that first.
        hooks.iter().for_each(|hook| hook(writer.log(), &attributes));
        let (awaited, fans) = self.enter(&writer, reserved);
        awaited.iter().for_each(|awaited| awaited.notify_waiters());
        // What has ended says nothing new.
        fans.iter().filter(|_| !sealed).for_each(|fan| fan.arrive(writer.log()));
        writer
    }

    /// Keeps `name` free for the caller.
    fn reserve<'a>(&'a self, name: &'a LogName) -> Result<Reserved<'a>, Error> {
        let mut logs = self.lock();
        if logs.by_name.contains_key(name) || !logs.opening.insert(name.clone()) {
            return Err(Error::AlreadyExists { name: name.clone() });
        }
        Ok(Reserved { registry: self, name, has_place: false })
    }

    /// Puts a log in its reserved place. Returns who is to hear of it, without the lock.
    fn enter(&self, writer: &Writer, reserved: Reserved<'_>) -> (Option<Arc<Notify>>, Vec<Arc<Arrivals>>) {
        let name = reserved.name;
        let mut logs = self.lock();
        reserved.release(&mut logs);
        logs.by_name.insert(name.clone(), writer.clone());
        let mut fans = Vec::new();
        logs.fans.retain(|fan| fan.upgrade().map(|fan| fans.push(fan)).is_some());
        (logs.awaited.remove(name), fans)
    }

    /// The log `name`, if it is in memory or can be opened without waiting; [`open`](Self::open) waits.
    pub fn get(&self, name: &impl NamesLog) -> Option<Arc<EventLog>> {
        self.writer(name).map(|writer| writer.log().clone())
    }

    /// The writer of the log `name`, if that is in memory or can be opened without waiting.
    pub fn writer(&self, name: &impl NamesLog) -> Option<Writer> {
        match self.look(name) {
            Poll::Ready(writer) => writer,
            Poll::Pending => None,
        }
    }

    /// The writer of the log `name`, `None` if there is no such log that can be opened. `Pending` if something of it is under
    /// way, such as another task that opens it: [`open`](Self::open) waits for that.
    pub fn look(&self, name: &impl NamesLog) -> Poll<Option<Writer>> {
        let name = name.log_name();
        let known = self.lock().by_name.get(&name).cloned();
        if known.is_some() || !self.is_persistent() {
            return Poll::Ready(known);
        }
        // A store on this machine has nothing to wait for else.
        let mut opening = pin!(self.open(&name));
        opening.as_mut().poll(&mut Context::from_waker(Waker::noop())).map(|opened| {
            opened.unwrap_or_else(|error| {
                tracing::warn!(log = %name, %error, "log cannot be opened");
                None
            })
        })
    }

    /// How many logs are in memory.
    pub fn len(&self) -> usize {
        self.lock().by_name.len()
    }

    /// Whether none is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that all kept entries take, encodings included.
    pub fn bytes(&self) -> usize {
        self.0.shared.bytes.load(Ordering::Relaxed)
    }

    /// Lets `observer` hear of every run that ends; whether nobody did before.
    pub fn observe(&self, observer: Arc<dyn RunObserver>) -> bool {
        self.0.shared.observer.set(observer).is_ok()
    }

    /// How many runs there are that have not ended, and how many entries of tokens they have so far. It looks at every log.
    pub fn running(&self) -> (usize, u64) {
        let writers: Vec<_> = self.lock().by_name.values().cloned().collect();
        let paces = writers.iter().filter_map(|writer| writer.log().lock().pace);
        paces.fold((0, 0), |(runs, tokens), pace| (runs + 1, tokens + pace.token_entries))
    }

    /// Waits for the log `name`, which may not exist yet. It is opened if only the store has it.
    ///
    /// # Errors
    /// [`Error::TooManyWaiters`]; as [`open`](Self::open).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait_for(&self, name: &impl NamesLog) -> Result<Arc<EventLog>, Error> {
        let name = name.log_name();
        let mut waiting = None;
        loop {
            let arrived = {
                let mut logs = self.lock();
                if let Some(writer) = logs.by_name.get(&name) {
                    return Ok(writer.log().clone());
                }
                if waiting.is_none() {
                    let limit = self.0.shared.options.max_waiters;
                    if logs.waiters >= limit {
                        return Err(Error::TooManyWaiters { limit });
                    }
                    logs.waiters += 1;
                    waiting = Some(Waiting { registry: self, name: &name });
                }
                logs.awaited.entry(name.clone()).or_default().clone()
            };
            let notified = arrived.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            // It may have come between the look and the wait, or lie in the store.
            let found = if self.is_persistent() { self.open(&name).await? } else { self.writer(&name) };
            if let Some(writer) = found {
                return Ok(writer.log().clone());
            }
            notified.await;
        }
    }

    /// A view over many logs at once.
    pub fn fan_in(&self, filter: Filter, scope: FanInScope) -> FanInCursor {
        let arrivals = Arrivals::new(scope, self.0.shared.options.max_fan_in);
        let present = self.lock().enlist(&arrivals);
        FanInCursor::new(arrivals, filter, &present)
    }

    /// The same view of the logs that another scope takes. It goes on where it stands in each that both take, so that nothing of
    /// them is missed or comes twice; what only the new one takes is followed from now on.
    pub fn change_scope(&self, mut view: FanInCursor, scope: FanInScope) -> FanInCursor {
        let arrivals = Arrivals::new(scope, self.0.shared.options.max_fan_in);
        let mut logs = self.lock();
        // At one moment: what comes later arrives at the new one, and may at the old one as well. One that is there and has not
        // arrived yet says nothing before it has, so it is either among those that came or stands at its beginning.
        let present = logs.enlist(&arrivals);
        let came = view.take_came();
        drop(logs);
        view.moved(arrivals, came, &present)
    }

    /// Forgets the log `name` and all its entries, also in the store. Does nothing if there is none.
    ///
    /// Who reads it reads on as far as it was written. If it had not ended, they and its writer then get
    /// [`Error::Removed`].
    ///
    /// # Errors
    /// [`Error::Store`], and then the log stays.
    ///
    /// # Cancel safety
    /// Not safe: the log is gone, but the store may keep what it holds of it.
    pub async fn remove(&self, name: &impl NamesLog) -> Result<(), Error> {
        self.remove_if(name, |_| true).await
    }

    /// As [`remove`](Self::remove), unless another log has that name now: one in memory of which `is_it` does not hold.
    pub(crate) async fn remove_if(
        &self,
        name: &impl NamesLog,
        is_it: impl Fn(&LogIdentity) -> bool,
    ) -> Result<(), Error> {
        let name = name.log_name();
        let (writer, reserved, hooks) = {
            let mut logs = self.lock();
            if logs.by_name.get(&name).is_some_and(|writer| !is_it(writer.log().identity())) {
                return Ok(());
            }
            let writer = logs.take_out(&name);
            if logs.opening.contains(&name) || (writer.is_none() && !self.is_persistent()) {
                return Ok(());
            }
            // Until the store has forgotten it nobody makes it anew.
            logs.opening.insert(name.clone());
            (writer, Reserved { registry: self, name: &name, has_place: false }, logs.on_removed.clone())
        };
        if let Err(error) = self.0.store.delete(&name).await {
            let mut logs = self.lock();
            reserved.release(&mut logs);
            if let Some(writer) = writer {
                logs.by_name.insert(name.clone(), writer);
            }
            return Err(Error::Store(error));
        }
        if let Some(writer) = writer {
            writer.log().break_off(Error::Removed);
            self.0.shared.ended().remove(&(writer.log().ended_at(), name.clone()));
        }
        // While its name is reserved nobody makes another, whom they would take for this one.
        hooks.iter().for_each(|hook| hook(&name, Removal::Deleted));
        drop(reserved);
        Ok(())
    }

    /// Calls `hook` whenever a log comes into memory, made anew or opened, with its durable attributes.
    pub fn on_opened(&self, hook: impl Fn(&Arc<EventLog>, &Attributes) + Send + Sync + 'static) {
        self.lock().on_opened.push(Arc::new(hook));
    }

    /// Calls `hook` whenever a log leaves memory: by a call, or because it was evicted.
    pub fn on_removed(&self, hook: impl Fn(&LogName, Removal) + Send + Sync + 'static) {
        self.lock().on_removed.push(Arc::new(hook));
    }

    /// Lets the log go that ended first; whether there was one. A persistent store keeps it.
    async fn evict_oldest(&self) -> Result<bool, Error> {
        loop {
            let Some((_, name)) = self.0.shared.ended().pop_first() else { return Ok(false) };
            let Some(log) = self.lock().by_name.get(&name).map(|writer| writer.log().clone()) else {
                continue;
            };
            if self.is_persistent() {
                self.let_go(&name);
            } else if let Err(error) = self.remove(&name).await {
                self.0.shared.finished(&name, log.ended_at());
                return Err(error);
            }
            return Ok(true);
        }
    }

    /// Lets a log go from memory that the store keeps. Who reads it reads on.
    fn let_go(&self, name: &LogName) {
        let hooks = {
            let mut logs = self.lock();
            logs.take_out(name);
            logs.on_removed.clone()
        };
        hooks.iter().for_each(|hook| hook(name, Removal::Evicted));
    }

    /// Deletes what the store's own retention no longer allows.
    async fn delete_expired(&self) {
        for name in self.0.store.expired(self.now()) {
            if let Err(error) = self.remove(&name).await {
                tracing::warn!(log = %name, %error, "an expired log could not be deleted");
                return;
            }
            tracing::info!(log = %name, "expired log deleted");
            yield_once().await;
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
                    Ok(false) if self.make_room_of_idle() => yield_once().await,
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "a finished log could not be evicted");
                        break;
                    }
                }
            }
            self.let_idle_go(now);
            self.delete_expired().await;
            let logs: Vec<_> = self.lock().by_name.values().map(|writer| writer.log().clone()).collect();
            for (index, log) in logs.iter().enumerate() {
                if index % SWEEP_AT_ONCE == SWEEP_AT_ONCE - 1 {
                    yield_once().await;
                }
                if let Err(error) = log.enforce_retention(&mut log.lock(), now) {
                    tracing::warn!(log = log.identity().subject(), %error, "retention could not trim the log");
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

/// A name that is kept free while the store opens or deletes its log.
struct Reserved<'a> {
    registry: &'a Registry,
    name: &'a LogName,
    has_place: bool,
}

impl Reserved<'_> {
    /// Keeps a place for its log too, evicting a finished one if there is none.
    async fn place(&mut self) -> Result<(), Error> {
        let registry = self.registry;
        let options = registry.options();
        loop {
            let too_much = registry.bytes() > options.max_total_bytes;
            {
                let mut logs = registry.lock();
                if !too_much && logs.by_name.len() + logs.places < options.max_logs {
                    logs.places += 1;
                    self.has_place = true;
                    return Ok(());
                }
            }
            if !registry.evict_oldest().await? && !registry.make_room_of_idle() {
                return Err(match too_much {
                    true => Error::TooMuchKept { limit: options.max_total_bytes },
                    false => Error::TooManyLogs { limit: options.max_logs },
                });
            }
        }
    }

    /// Gives the name back under a lock that is held already.
    fn release(self, logs: &mut Logs) {
        self.give_back(logs);
        mem::forget(self);
    }

    fn give_back(&self, logs: &mut Logs) {
        logs.opening.remove(self.name);
        logs.places -= usize::from(self.has_place);
        self.registry.0.opened.notify_waiters();
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.give_back(&mut self.registry.lock());
    }
}

/// One reader that waits for a log.
struct Waiting<'a> {
    registry: &'a Registry,
    name: &'a LogName,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut logs = self.registry.lock();
        logs.waiters -= 1;
        // The last one to leave takes the place with it: this reader's own count is gone, one is the map's.
        if logs.awaited.get(self.name).is_some_and(|awaited| Arc::strong_count(awaited) == 1) {
            logs.awaited.remove(self.name);
        }
    }
}
