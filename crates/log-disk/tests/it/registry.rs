//! A registry in front of the store: what it keeps in memory, and what a directory is locked by.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use streamnest_core::{
    DurabilityWatch, Event, EventType, ExecutionId, LogName, LogStore, Mark, StoreError,
    payload::StatusUpdate,
};
use streamnest_log::{LogOptions, Read, ReadLimit, Registry, Start, SystemClock};
use streamnest_log_disk::{DiskOptions, DiskStore, Error};
use tempfile::TempDir;

use crate::{
    simulated::Disk,
    support::{entry, name, open, seq, small},
};

fn store(folder: &TempDir) -> Result<DiskStore, Error> {
    let options = DiskOptions::default().with_reserve_bytes(0);
    DiskStore::open(folder.path(), Arc::new(SystemClock), options)
}

#[tokio::test]
async fn a_log_that_there_is_not_lets_no_other_go() {
    let folder = TempDir::new().unwrap();
    let options = LogOptions::default().with_max_logs(2);
    let logs = Registry::new(Arc::new(store(&folder).unwrap()), Arc::new(SystemClock), options);
    let id = |text: &str| ExecutionId::new(text).unwrap();
    for run in ["a", "b", "c"] {
        let writer = logs.create(&id(run)).await.unwrap();
        writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    }
    let mut gone = Vec::new();
    let (say, heard) = std::sync::mpsc::channel();
    logs.on_removed(move |name, _| say.send(name.to_string()).unwrap());
    for guess in 0..100 {
        assert!(logs.open(&id(&format!("guess-{guess}"))).await.unwrap().is_none());
        assert!(logs.get(&id(&format!("guess-{guess}"))).is_none());
    }
    gone.extend(heard.try_iter());
    assert_eq!((logs.len(), gone.as_slice()), (2, &[][..]), "whoever guesses names pushes nothing out");
    // For one that there is the oldest goes.
    assert!(logs.open(&id("a")).await.unwrap().is_some());
    assert_eq!((logs.len(), heard.try_iter().collect::<Vec<_>>()), (2, vec!["executions/b".to_owned()]));
}

/// How many of ten entries of 1,000 bytes are at hand in front of the store, of a log of this name.
async fn at_hand(name: &LogName, options: LogOptions) -> usize {
    let disk = Disk::new();
    let logs = Registry::new(Arc::new(open(&disk, small())), Arc::new(SystemClock), options);
    let writer = logs.create(name).await.unwrap();
    for _ in 0..10 {
        writer.append([Event::named(None, EventType::CUSTOM, &"x".repeat(1_000).into())]).await.unwrap();
    }
    let log = writer.log();
    while log.head().last < seq(10) {
        tokio::task::yield_now().await;
    }
    // What the store has cannot be served any more.
    disk.overwrite(|name, bytes| {
        if name.ends_with(".log") {
            bytes.iter_mut().for_each(|byte| *byte ^= 1);
        }
    });
    let mut served = Vec::new();
    for number in 1..=10 {
        let mut cursor = log.cursor(Start::After(log.position(seq(number - 1))));
        let read = cursor.next_batch(ReadLimit { entries: 1, bytes: 1 }).await.unwrap().unwrap();
        served.extend(matches!(read, Read::Batch(_)).then_some(number));
    }
    assert!(served.iter().rev().copied().eq((1..=10).rev().take(served.len())), "the newest: {served:?}");
    served.len()
}

#[tokio::test]
async fn a_stream_keeps_as_many_bytes_at_hand_as_it_may_and_at_least_its_newest_entry() {
    let options = || LogOptions::default();
    let stream = LogName::new("stream").unwrap();
    assert_eq!(at_hand(&stream, options()).await, 10);
    let some = at_hand(&stream, options().with_hot_bytes(5_000)).await;
    assert!((3..=4).contains(&some), "{some} of more than 1,000 bytes in 5,000");
    assert_eq!(at_hand(&stream, options().with_hot_bytes(1)).await, 1);
    assert_eq!(at_hand(&stream, options().with_hot_entries(7)).await, 7);
    // An execution keeps what it may by its own bounds.
    assert_eq!(at_hand(&name("run"), options().with_hot_bytes(1)).await, 10);
    assert_eq!(at_hand(&name("run"), options().with_hot_entries(7)).await, 7);
}

/// Holds the store, and lets it go where it hears of durability: in the store's own thread.
#[derive(Default)]
struct Last(Mutex<Option<DiskStore>>);

impl DurabilityWatch for Last {
    fn durable(&self, _: Mark) {
        drop(self.0.lock().unwrap().take());
    }

    fn failed(&self, error: StoreError) {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_directory_is_free_once_nothing_is_written_though_logs_are_still_read() {
    let folder = TempDir::new().unwrap();
    let last = Arc::new(Last::default());
    let first = store(&folder).unwrap();
    let log = first.create(&name("log"), &[], last.clone()).await.unwrap();
    *last.0.lock().unwrap() = Some(first);
    log.append(log.head().term, seq(0), &[entry(1, 10)], &[]).unwrap();
    // Its threads end soon, and nobody else is told when.
    let begun = Instant::now();
    let again = loop {
        match store(&folder) {
            Ok(store) => break store,
            Err(Error::Locked { .. }) if begun.elapsed() < Duration::from_secs(30) => {
                std::thread::yield_now()
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(log.read(seq(1), 10, 1_000).await.unwrap().len(), 1, "it is read on");
    assert!(again.recovery().was_clean);
    let writer = Registry::new(Arc::new(again), Arc::new(SystemClock), LogOptions::default());
    let writer = writer.open(&name("log")).await.unwrap().unwrap();
    writer.append([Event::named(None, EventType::CUSTOM, &"more".into())]).await.unwrap();
}
