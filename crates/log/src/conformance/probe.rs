//! One open log under test, and what its watch heard.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use streamnest_core::{
    Appended, AttributeChange, DurabilityWatch, Entry, Event, EventType, ExecutionId, LogName, LogStore,
    Mark, NamesLog as _, NodeName, Passage, Seq, StoreError, StoredHead, StoredLog, Term, Timestamp, payload,
};
use tokio::sync::Notify;

/// The longest that a store may take to make entries durable.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a store may say on the way: the highest durable entry, the seal, a failure.
#[derive(Default)]
pub(super) struct Heard {
    state: Mutex<HeardState>,
    changed: Notify,
}

#[derive(Default)]
struct HeardState {
    durable: Mark,
    failed: Option<StoreError>,
    /// The thread that is inside a call of the store now. A watch that is called from there would lock twice.
    calling: Option<ThreadId>,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, HeardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DurabilityWatch for Heard {
    fn durable(&self, mark: Mark) {
        {
            let mut state = self.lock();
            assert!(
                state.calling != Some(thread::current().id()),
                "the watch is called from within `append` or `seal`, whose caller holds a lock that the watch takes"
            );
            let before = state.durable;
            assert!(mark.last >= before.last, "durability steps back from {before:?} to {mark:?}");
            assert!(mark.changes >= before.changes, "durability steps back from {before:?} to {mark:?}");
            assert!(mark.sealed || !before.sealed, "the seal was durable and is not any more");
            state.durable = mark;
        }
        self.changed.notify_waiters();
    }

    fn failed(&self, error: StoreError) {
        self.lock().failed = Some(error);
        self.changed.notify_waiters();
    }
}

/// An open log.
pub(super) struct Probe {
    pub(super) log: Arc<dyn StoredLog>,
    pub(super) term: Term,
    heard: Arc<Heard>,
    /// Appends with changes of attributes so far.
    changes: AtomicU64,
}

impl Probe {
    /// Opens the log of the execution `id`, or makes it.
    pub(super) async fn open(store: &Arc<dyn LogStore>, id: &str) -> Self {
        match Self::try_open(store, id).await {
            Err(StoreError::NotFound { .. }) => Self::create(store, id, &[]).await,
            Err(error) => broken(&format!("log `{id}` cannot be opened"), &error),
            Ok(opened) => opened,
        }
    }

    /// Opens the log of the execution `id`.
    pub(super) async fn try_open(store: &Arc<dyn LogStore>, id: &str) -> Result<Self, StoreError> {
        let heard = Arc::new(Heard::default());
        let log = store.open(&name(id), heard.clone()).await?;
        Ok(Self::of(log, heard))
    }

    /// Makes the log of the execution `id`.
    pub(super) async fn create(store: &Arc<dyn LogStore>, id: &str, attributes: &[AttributeChange]) -> Self {
        let made = Self::try_create(store, id, attributes).await;
        made.unwrap_or_else(|error| broken(&format!("log `{id}` cannot be made"), &error))
    }

    /// As [`create`](Self::create), if the store will.
    pub(super) async fn try_create(
        store: &Arc<dyn LogStore>,
        id: &str,
        attributes: &[AttributeChange],
    ) -> Result<Self, StoreError> {
        let heard = Arc::new(Heard::default());
        let log = store.create(&name(id), attributes, heard.clone()).await?;
        Ok(Self::of(log, heard))
    }

    /// Makes a log of this full name.
    pub(super) async fn create_named(
        store: &Arc<dyn LogStore>,
        name: &str,
        attributes: &[AttributeChange],
    ) -> Self {
        let heard = Arc::new(Heard::default());
        match store.create(&log_name(name), attributes, heard.clone()).await {
            Ok(log) => Self::of(log, heard),
            Err(error) => broken(&format!("log `{name}` cannot be made"), &error),
        }
    }

    /// Deletes the log of this full name, or of the execution of that name.
    pub(super) async fn delete(store: &Arc<dyn LogStore>, id: &str) {
        let name = if id.contains('/') { log_name(id) } else { name(id) };
        let deleted = store.delete(&name).await;
        assert!(deleted.is_ok(), "delete of `{name}` is refused: {deleted:?}");
    }

    fn of(log: Arc<dyn StoredLog>, heard: Arc<Heard>) -> Self {
        let term = log.head().term;
        Self { log, term, heard, changes: AtomicU64::new(0) }
    }

    pub(super) fn head(&self) -> StoredHead {
        self.log.head()
    }

    /// Appends entries with these payloads after `last`, whose durability is reported later.
    pub(super) fn try_append(&self, last: u64, entries: &[Arc<Entry>]) -> Result<Appended, StoreError> {
        self.try_append_with(last, entries, &[])
    }

    /// As [`try_append`](Self::try_append), with changes of attributes.
    pub(super) fn try_append_with(
        &self,
        last: u64,
        entries: &[Arc<Entry>],
        changes: &[AttributeChange],
    ) -> Result<Appended, StoreError> {
        self.call(|| self.log.append(self.term, seq(last), entries, changes))
    }

    /// Appends and changes attributes, and waits until both are durable.
    pub(super) async fn append_with(&self, last: u64, entries: &[Arc<Entry>], changes: &[AttributeChange]) {
        let end = last + entries.len() as u64;
        match self.try_append_with(last, entries, changes) {
            Ok(appended) => {
                let count = self.changes.fetch_add(1, Ordering::Relaxed) + 1;
                if appended == Appended::Pending {
                    self.durable(end).await;
                    let what = format!("the change of attributes {count}");
                    self.until(&what, |heard| heard.durable.changes >= count).await;
                }
            }
            Err(error) => broken(&format!("append after {last} is refused"), &error),
        }
    }

    /// Appends, and waits until it is durable.
    pub(super) async fn append(&self, last: u64, entries: &[Arc<Entry>]) {
        let end = last + entries.len() as u64;
        match self.try_append(last, entries) {
            Ok(Appended::Durable) => {}
            Ok(Appended::Pending) => self.durable(end).await,
            Err(error) => broken(&format!("append after {last} is refused"), &error),
        }
    }

    pub(super) fn try_seal(&self, last: u64) -> Result<Appended, StoreError> {
        self.call(|| self.log.seal(self.term, seq(last)))
    }

    /// Seals, and waits until that is durable.
    pub(super) async fn seal(&self, last: u64) {
        match self.try_seal(last) {
            Ok(Appended::Durable) => {}
            Ok(Appended::Pending) => {
                self.until(&format!("the seal after {last}"), |heard| heard.durable.sealed).await
            }
            Err(error) => broken(&format!("seal after {last} is refused"), &error),
        }
    }

    /// Waits until the watch heard that `up_to` is durable.
    pub(super) async fn durable(&self, up_to: u64) {
        self.until(&format!("entry {up_to}"), |heard| heard.durable.last >= seq(up_to)).await;
    }

    /// What the watch heard to be durable so far.
    pub(super) fn heard(&self) -> (u64, bool) {
        let heard = self.heard.lock();
        (heard.durable.last.get(), heard.durable.sealed)
    }

    async fn until(&self, what: &str, done: impl Fn(&HeardState) -> bool) {
        let wait = async {
            loop {
                let changed = self.heard.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                {
                    let heard = self.heard.lock();
                    if let Some(error) = &heard.failed {
                        broken(&format!("{what} was accepted and then failed"), error);
                    }
                    if done(&heard) {
                        return;
                    }
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{what} was accepted, and is not durable after {PATIENCE:?}");
    }

    fn call<T>(&self, call: impl FnOnce() -> T) -> T {
        self.heard.lock().calling = Some(thread::current().id());
        let answer = call();
        self.heard.lock().calling = None;
        answer
    }

    /// Reads from `from` on; at most `entries` and `bytes`.
    pub(super) async fn read(&self, from: u64, entries: usize, bytes: usize) -> Vec<Arc<Entry>> {
        let read = self.log.read(seq(from), entries, bytes).await;
        read.unwrap_or_else(|error| broken(&format!("a read from {from} is refused"), &error))
    }

    /// Reads what entries from `from` on say; at most `entries` and about `bytes`.
    pub(super) async fn passage(&self, from: u64, entries: usize, bytes: usize, lead: Option<u8>) -> Passage {
        let read = self.log.read_passage(seq(from), entries, bytes, lead).await;
        read.unwrap_or_else(|error| broken(&format!("a passage from {from} is refused"), &error))
    }

    /// Holds that the log holds exactly `expected`, read in pieces.
    pub(super) async fn holds(&self, expected: &[Arc<Entry>]) {
        let mut rest = expected;
        let mut from = expected.first().map_or(self.head().last.get() + 1, |first| first.seq().get());
        loop {
            let read = self.read(from, 100, 1 << 20).await;
            if read.is_empty() {
                break;
            }
            assert!(read.len() <= rest.len(), "from {from} on there are entries that nobody appended");
            let (now, later) = rest.split_at(read.len());
            same(&read, now);
            from += read.len() as u64;
            rest = later;
        }
        assert!(rest.is_empty(), "the log ends before {from}, {} entries too early", rest.len());
    }
}

/// Holds that what was read is what was appended.
pub(super) fn same(read: &[Arc<Entry>], expected: &[Arc<Entry>]) {
    assert_eq!(read.len(), expected.len(), "a read returns another number of entries than were appended");
    for (read, expected) in read.iter().zip(expected) {
        assert_eq!(read.seq(), expected.seq(), "entries are not dense and in order");
        assert_eq!(read.time(), expected.time(), "entry {} has another time", expected.seq());
        let (ours, theirs) = (read.event(), expected.event());
        let (a, b) = (ours.payload(), theirs.payload());
        assert!(a == b, "entry {} has another payload of {} bytes", expected.seq(), a.len());
        assert_eq!(ours, theirs, "entry {} is another event", expected.seq());
    }
}

/// Entries that follow `last`: all classes, with and without a node, `payload_bytes` of content each.
pub(super) fn entries(last: u64, count: u64, payload_bytes: usize) -> Vec<Arc<Entry>> {
    let text = "é\u{1F30A}\"\\\u{2028}x".chars().cycle();
    let fitting = text.scan(0, |length, c| {
        *length += c.len_utf8();
        (*length <= payload_bytes).then_some(c)
    });
    let content: String = fitting.collect();
    let make = |n: u64| {
        let event = match n % 3 {
            0 => Event::token(
                node(),
                &payload::Token { content: content.clone(), index: n, ..Default::default() },
            ),
            1 => Event::named(None, event_type(), &content.clone().into()),
            _ => Event::named(Some(node()), EventType::CUSTOM, &content.clone().into())
                .with_delivery(streamnest_core::Delivery::AtMostOnce),
        };
        Arc::new(Entry::new(seq(n), Timestamp::from_micros(1_795_000_000_000_000 + n), event))
    };
    (last + 1..=last + count).map(make).collect()
}

/// A status entry that follows `last`.
pub(super) fn status(last: u64, update: &payload::StatusUpdate) -> [Arc<Entry>; 1] {
    [Arc::new(Entry::new(seq(last + 1), Timestamp::from_micros(last), Event::status(update)))]
}

pub(super) fn seq(number: u64) -> Seq {
    Seq::try_from(number).unwrap_or(Seq::MAX)
}

/// The name of the log of the execution `id`.
pub(super) fn name(id: &str) -> LogName {
    ExecutionId::new(id).expect("the suite's ids are legal").log_name()
}

fn log_name(name: &str) -> LogName {
    LogName::new(name).expect("the suite's names are legal")
}

/// The names and heads that a store lists.
pub(super) async fn listed(
    store: &Arc<dyn LogStore>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Vec<(String, StoredHead)> {
    let after = after.map(log_name);
    match store.list(prefix, after.as_ref(), limit).await {
        Ok(list) => list.into_iter().map(|log| (log.name.to_string(), log.head)).collect(),
        Err(error) => broken("a list is refused", &error),
    }
}

/// An entry of bytes.
pub(super) fn raw(number: u64, bytes: &[u8]) -> Arc<Entry> {
    let event = Event::data(bytes::Bytes::copy_from_slice(bytes));
    Arc::new(Entry::new(seq(number), Timestamp::from_micros(number), event))
}

pub(super) fn set(key: &str, value: &[u8]) -> AttributeChange {
    AttributeChange::set(key, bytes::Bytes::copy_from_slice(value)).expect("the suite's keys are legal")
}

pub(super) fn unset(key: &str) -> AttributeChange {
    AttributeChange::remove(key).expect("the suite's keys are legal")
}

fn node() -> NodeName {
    NodeName::new("write").expect("the suite's node names are legal")
}

fn event_type() -> EventType {
    EventType::new("my:own type").expect("the suite's event types are legal")
}

fn broken(what: &str, error: &StoreError) -> ! {
    unreachable!("{what}: {error}")
}
