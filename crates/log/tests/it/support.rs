//! What the tests share: a clock that is set, events of a size, seeds, and readers that are polled by hand.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use streamnest_core::{Clock, Entry, Event, EventType, ExecutionId, LogIdentity, Seq, Timestamp, WireFormat};
use streamnest_log::{Cursor, Error, Gap, LogOptions, MemoryStore, Read, ReadLimit, Registry, Writer};

/// A clock that stands until it is moved.
pub(crate) struct SetClock(AtomicU64);

impl SetClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_795_000_000_000_000)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as u64, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// A registry over a memory store.
pub(crate) fn registry(options: LogOptions) -> Registry {
    registry_at(SetClock::new(), options)
}

pub(crate) fn registry_at(clock: Arc<SetClock>, options: LogOptions) -> Registry {
    options.validate().unwrap();
    Registry::new(Arc::new(MemoryStore::new(clock.clone())), clock, options)
}

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::new(text).unwrap()
}

pub(crate) fn seq(number: u64) -> Seq {
    Seq::try_from(number).unwrap()
}

/// An event whose payload says `n` and holds about `bytes`.
pub(crate) fn event_of(n: u64, bytes: usize) -> Event {
    Event::named(None, EventType::CUSTOM, &format!("{n}:{}", "x".repeat(bytes)).into())
}

pub(crate) fn event(n: u64) -> Event {
    event_of(n, 0)
}

/// The number in an event of [`event_of`].
pub(crate) fn number(event: &Event) -> u64 {
    let data = event.as_data().unwrap().unwrap();
    data.as_str().unwrap().split(':').next().unwrap().parse().unwrap()
}

/// Appends events numbered as their sequence will be, one by one.
pub(crate) async fn append(writer: &Writer, count: u64) {
    for _ in 0..count {
        let next = writer.log().head().last.get() + 1;
        writer.append([event(next)]).await.unwrap();
    }
}

pub(crate) const fn limit(entries: usize) -> ReadLimit {
    ReadLimit { entries, bytes: usize::MAX }
}

/// Polls once.
pub(crate) fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// What the cursor reads now; `None` if it has read everything so far.
pub(crate) fn poll(cursor: &mut Cursor, limit: ReadLimit) -> Option<Result<Option<Read>, Error>> {
    match cursor.poll_next_batch(&mut Context::from_waker(Waker::noop()), limit) {
        Poll::Ready(read) => Some(read),
        Poll::Pending => None,
    }
}

/// What a reader got: sequence numbers, and gaps where they stood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Got {
    Entry(u64),
    Gap(Gap),
}

/// Everything that the cursor reads now.
pub(crate) fn drain(cursor: &mut Cursor, limit: ReadLimit) -> Vec<Got> {
    let mut got = Vec::new();
    while let Some(Ok(Some(read))) = poll(cursor, limit) {
        match read {
            Read::Gap(gap) => got.push(Got::Gap(gap)),
            Read::Batch(batch) => got.extend(batch.iter().map(|entry| Got::Entry(entry.seq().get()))),
        }
    }
    got
}

pub(crate) fn entries(range: impl IntoIterator<Item = u64>) -> Vec<Got> {
    range.into_iter().map(Got::Entry).collect()
}

/// The batch that a read must be.
pub(crate) fn batch(read: Option<Result<Option<Read>, Error>>) -> Vec<Arc<Entry>> {
    match read {
        Some(Ok(Some(Read::Batch(batch)))) => batch.into_iter().collect(),
        other => panic!("expected a batch, got {other:?}"),
    }
}

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Lets the cursor wait with this waker.
fn waits(cursor: &mut Cursor, waker: &Waker) {
    let read = cursor.poll_next_batch(&mut Context::from_waker(waker), ReadLimit::default());
    assert!(matches!(read, Poll::Pending));
}

/// Lets the cursor wait, and counts its wakes.
pub(crate) fn waiting(cursor: &mut Cursor) -> Arc<Wakes> {
    let wakes = Arc::new(Wakes::default());
    waits(cursor, &wakes.clone().into());
    wakes
}

/// Whether the long forms of randomized tests run.
pub(crate) fn chaos() -> bool {
    std::env::var_os("STREAMNEST_CHAOS").is_some_and(|value| value == "1")
}

/// A small random number generator (SplitMix64, public domain by Sebastiano Vigna), so that a seed is all there is.
pub(crate) struct Random(u64);

impl Random {
    /// Prints its seed; `STREAMNEST_SEED` sets it.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("STREAMNEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = given.unwrap_or_else(clock);
        println!("seed: run again with STREAMNEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A format whose bytes say which entry they are: `<seq>:<payload length>;`.
pub(crate) struct Plain;

impl WireFormat for Plain {
    const SLOT: usize = 0;
    fn encode(_: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
        out.extend_from_slice(plain(entry).as_bytes());
    }
}

pub(crate) fn plain(entry: &Entry) -> String {
    format!("{}:{};", entry.seq(), entry.event().payload().len())
}

/// Another, so that slots are seen to be apart.
pub(crate) struct Loud;

impl WireFormat for Loud {
    const SLOT: usize = 1;
    fn encode(_: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
        out.extend_from_slice(b"!");
        out.extend_from_slice(plain(entry).as_bytes());
    }
}
