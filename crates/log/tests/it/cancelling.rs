//! A read, an append or a wait may be dropped at any point, and nothing is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use streamnest_core::{
    AttributeChange, BoxFuture, DurabilityWatch, LogName, LogStore, StoreError, StoredLog,
    payload::StatusUpdate,
};
use streamnest_log::{Error, LogOptions, MemoryStore, Read, ReadLimit, Registry, Start};

use crate::{
    slow_store::SlowStore,
    support::{Random, SetClock, chaos, event_of, id, now, number, seq},
};

/// Reads with futures that are dropped after a random number of polls, over a store whose reads need two.
#[tokio::test]
async fn a_read_that_is_dropped_at_any_point_loses_nothing() {
    let mut random = Random::seeded();
    let (mut dropped, mut read_cold) = (0, 0);
    for _ in 0..if chaos() { 2_000 } else { 100 } {
        let store = Arc::new(SlowStore::default());
        let options = LogOptions::default().with_hot_entries(1 + random.below(5) as usize);
        let registry = Registry::new(store.clone(), SetClock::new(), options);
        let run = id("run");
        let writer = registry.create(&run).await.unwrap();
        let mut cursor = writer.log().cursor(Start::Beginning);
        let (mut written, mut got) = (0, Vec::new());
        while got.len() < 40 {
            if written < 40 && random.one_in(3) {
                let count = (1 + random.below(9)).min(40 - written);
                let events = (written + 1..=written + count).map(|n| event_of(n, 10));
                writer.append(events.collect::<Vec<_>>()).await.unwrap();
                written += count;
            }
            store.settle(&run, random.below(6));
            let limit =
                ReadLimit { entries: 1 + random.below(7) as usize, bytes: 1 + random.below(9_000) as usize };
            let before = cursor.position();
            let mut reading = Box::pin(cursor.next_batch(limit));
            let mut found = None;
            for polls in 0..random.below(4) {
                if let Poll::Ready(read) = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    read_cold += u64::from(polls > 0);
                    found = Some(read.unwrap());
                    break;
                }
            }
            drop(reading);
            match found {
                Some(Some(Read::Batch(batch))) => {
                    got.extend(batch.iter().map(|entry| number(entry.event())));
                    assert_eq!(cursor.position().seq(), seq(got.len() as u64));
                }
                Some(other) => panic!("{other:?}"),
                None => {
                    dropped += 1;
                    assert_eq!(cursor.position(), before, "a read that was dropped moves nothing");
                }
            }
        }
        assert!(got.into_iter().eq(1..=40));
    }
    println!("reads_dropped={dropped} cold_reads={read_cold} lost=0 doubled=0 reordered=0");
    assert!(dropped > 0 && read_cold > 0, "the test drops reads and reads cold");
}

#[tokio::test]
async fn an_append_that_is_dropped_appends_all_or_nothing() {
    let mut random = Random::seeded();
    let store = Arc::new(SlowStore::default());
    let options = LogOptions::default().with_max_pending_bytes(4_000);
    let registry = Registry::new(store.clone(), SetClock::new(), options);
    let run = id("run");
    let writer = registry.create(&run).await.unwrap();
    let mut went_through = Vec::new();
    let mut next = 0;
    for _ in 0..if chaos() { 20_000 } else { 2_000 } {
        let count = 1 + random.below(3);
        let events: Vec<_> = (next + 1..=next + count).map(|n| event_of(n, 300)).collect();
        if now(writer.append(events)).is_some() {
            went_through.extend(next + 1..=next + count);
        }
        next += count;
        if random.one_in(4) {
            store.settle(&run, random.below(5));
        }
    }
    store.settle(&run, u64::MAX);
    assert!(went_through.len() < next as usize, "some were dropped");
    let mut cursor = writer.log().cursor(Start::Beginning);
    let mut got = Vec::new();
    while let Some(Read::Batch(batch)) =
        cursor.next_batch(ReadLimit::default()).await.unwrap().filter(|_| got.len() < went_through.len())
    {
        got.extend(batch.iter().map(|entry| number(entry.event())));
        if got.len() == went_through.len() {
            break;
        }
    }
    assert_eq!(got, went_through);
}

#[tokio::test]
async fn a_finish_that_is_dropped_has_ended_the_log() {
    let store = Arc::new(SlowStore::default());
    let registry = Registry::new(store.clone(), SetClock::new(), LogOptions::default());
    let writer = registry.create(&id("run")).await.unwrap();
    assert!(now(writer.finish(StatusUpdate::cancelled(None))).is_none(), "the store takes its time");
    store.settle(&id("run"), 1);
    assert!(writer.log().head().sealed);
}

/// Never gets done with making the first log it is asked for.
struct Stuck {
    inner: MemoryStore,
    asked: AtomicBool,
}

impl LogStore for Stuck {
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        Box::pin(async move {
            if !self.asked.swap(true, Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            self.inner.create(name, attributes, watch).await
        })
    }

    forward!(inner: open, delete, list);
}

#[tokio::test]
async fn a_creation_that_is_dropped_leaves_its_id_and_its_place_free() {
    let clock = SetClock::new();
    let store = Stuck { inner: MemoryStore::new(clock.clone()), asked: AtomicBool::new(false) };
    let registry = Registry::new(Arc::new(store), clock, LogOptions::default().with_max_logs(1));
    let run = id("run");
    let mut stuck = Box::pin(registry.create(&run));
    assert!(now(stuck.as_mut()).is_none());
    assert!(matches!(registry.create(&run).await, Err(Error::AlreadyExists { .. })), "it is being made");
    assert!(matches!(registry.create(&id("other")).await, Err(Error::TooManyLogs { .. })));
    drop(stuck);
    registry.create(&run).await.unwrap();
}
