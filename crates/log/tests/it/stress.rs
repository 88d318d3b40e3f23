//! Writers, readers and wakers on threads, in as many orders as a seed and the machine give.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use streamnest_core::{Position, payload::StatusUpdate};
use streamnest_log::{EventLog, LogOptions, Read, ReadLimit, Registry, Start};

use crate::{
    slow_store::SlowStore,
    support::{Plain, Random, SetClock, chaos, event_of, id, number, plain, registry},
};

/// What readers saw that must not be.
#[derive(Default)]
struct Faults {
    lost: AtomicU64,
    doubled: AtomicU64,
    reordered: AtomicU64,
    reads: AtomicU64,
    resumes: AtomicU64,
}

impl Faults {
    fn see(&self, expected: u64, found: u64) {
        if found > expected {
            self.lost.fetch_add(found - expected, Ordering::Relaxed);
        } else if found + 1 == expected {
            self.doubled.fetch_add(1, Ordering::Relaxed);
        } else if found < expected {
            self.reordered.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn report(&self, what: &str) {
        let [lost, doubled, reordered, reads, resumes] =
            [&self.lost, &self.doubled, &self.reordered, &self.reads, &self.resumes]
                .map(|count| count.load(Ordering::Relaxed));
        println!(
            "{what} reads={reads} resumes={resumes} lost={lost} doubled={doubled} reordered={reordered}"
        );
        assert_eq!((lost, doubled, reordered), (0, 0, 0));
        assert!(resumes > 0, "the test drops readers and lets them resume");
    }
}

/// Reads a log to its end, dropping reads and cursors at random and resuming from the last position.
async fn follow(log: Arc<EventLog>, mut random: Random, faults: Arc<Faults>) -> u64 {
    let mut position = Position::BEFORE_FIRST;
    let mut seen = 0;
    'cursor: loop {
        let mut cursor = log.cursor(Start::After(position));
        loop {
            let limit = ReadLimit {
                entries: 1 + random.below(40) as usize,
                bytes: 1 + random.below(60_000) as usize,
            };
            let patience = Duration::from_micros(random.below(300));
            let read = if random.one_in(4) {
                // Dropped while it waits, or while a read is under way.
                match tokio::time::timeout(patience, cursor.next_batch(limit)).await {
                    Ok(read) => read,
                    Err(_) => continue,
                }
            } else {
                cursor.next_batch(limit).await
            };
            match read.unwrap() {
                None => return seen,
                Some(Read::Gap(gap)) => panic!("nothing was trimmed, yet {gap:?}"),
                Some(Read::Batch(batch)) => {
                    faults.reads.fetch_add(1, Ordering::Relaxed);
                    for entry in batch.iter() {
                        faults.see(seen + 1, entry.seq().get());
                        seen = entry.seq().get();
                    }
                    if random.one_in(8) {
                        let mut out = Vec::new();
                        log.encoded::<Plain>(&batch, &mut out);
                        let expected: String = batch.iter().map(|entry| plain(entry)).collect();
                        assert_eq!(out.concat(), expected.as_bytes());
                    }
                }
            }
            position = cursor.position();
            if random.one_in(20) {
                faults.resumes.fetch_add(1, Ordering::Relaxed);
                continue 'cursor;
            }
        }
    }
}

/// Four producers of one log and fifty readers; producers share the writer, so the order of each one's events holds.
async fn stress(registry: Registry, random: &mut Random, what: &str) {
    let rounds = if chaos() { 200 } else { 2 };
    let each = 500;
    let faults = Arc::new(Faults::default());
    for round in 0..rounds {
        let writer = registry.create(&id(&format!("{what}{round}"))).await.unwrap();
        let readers: Vec<_> = (0..50)
            .map(|_| {
                let random = Random::from_seed(random.next());
                tokio::spawn(follow(writer.log().clone(), random, faults.clone()))
            })
            .collect();
        let producers: Vec<_> = (0..4_u64)
            .map(|producer| {
                let (writer, mut random) = (writer.clone(), Random::from_seed(random.next()));
                tokio::spawn(async move {
                    let mut sent = 0;
                    while sent < each {
                        let count = (1 + random.below(9)).min(each - sent);
                        let size = random.below(200) as usize;
                        let numbers = sent..sent + count;
                        let events = numbers.map(|n| event_of(producer * each + n, size));
                        writer.append(events.collect::<Vec<_>>()).await.unwrap();
                        sent += count;
                        if random.one_in(5) {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.await.unwrap();
        }
        writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
        for reader in readers {
            let seen = tokio::time::timeout(Duration::from_secs(60), reader).await;
            let seen = seen.expect("a reader waits for a wake that never came").unwrap();
            assert_eq!(seen, 4 * each + 1);
        }
        order_of_each_producer(writer.log(), each).await;
        assert_eq!(writer.log().subscribers(), 0);
    }
    faults.report(&format!("{} rounds={rounds} readers=50", what.trim_end_matches('-')));
}

async fn order_of_each_producer(log: &Arc<EventLog>, each: u64) {
    let mut next = [0; 4];
    let mut cursor = log.cursor(Start::Beginning);
    while let Some(Read::Batch(batch)) = cursor.next_batch(ReadLimit::default()).await.unwrap() {
        for entry in batch.iter().filter(|entry| entry.event().as_status().unwrap().is_none()) {
            let n = number(entry.event());
            assert_eq!(n % each, next[(n / each) as usize]);
            next[(n / each) as usize] += 1;
        }
    }
    assert_eq!(next, [each; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_readers_that_come_and_go_miss_nothing_of_four_producers() {
    let mut random = Random::seeded();
    for (hot_entries, wake_inline) in [(4_096, 16), (8, 0), (64, 1_000)] {
        let options = LogOptions::default().with_hot_entries(hot_entries).with_wake_inline(wake_inline);
        stress(registry(options), &mut random, &format!("hot{hot_entries}-inline{wake_inline}-")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_missed_while_the_relay_comes_and_goes() {
    let mut random = Random::seeded();
    let registry = registry(LogOptions::default().with_wake_inline(2));
    let stop = Arc::new(AtomicBool::new(false));
    let relay = {
        let (registry, stop, mut random) = (registry.clone(), stop.clone(), Random::from_seed(random.next()));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let time = Duration::from_micros(random.below(3_000));
                let _ = tokio::time::timeout(time, registry.maintain()).await;
                if random.one_in(2) {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    stress(registry, &mut random, "relay-").await;
    stop.store(true, Ordering::Relaxed);
    relay.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_missed_over_a_store_that_is_durable_later() {
    let mut random = Random::seeded();
    let store = Arc::new(SlowStore::default());
    store.settle_at_random(Random::from_seed(random.next()));
    let options = LogOptions::default().with_hot_entries(50).with_max_pending_bytes(20_000);
    let registry = Registry::new(store, SetClock::new(), options);
    stress(registry, &mut random, "slow-").await;
}
