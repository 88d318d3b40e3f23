//! Everyone who waits is woken, by whoever does it, and waiting costs no memory.

use std::time::Duration;

use streamnest_core::payload::StatusUpdate;
use streamnest_log::{LogOptions, Start};

use crate::support::{append, id, limit, poll, registry, waiting};

#[tokio::test]
async fn an_append_wakes_each_waiting_reader_once_and_nobody_else() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    let mut readers: Vec<_> = (0..100).map(|_| writer.log().cursor(Start::Beginning)).collect();
    let wakes: Vec<_> = readers.iter_mut().map(waiting).collect();
    append(&writer, 3).await;
    assert!(wakes.iter().all(|wakes| wakes.count() == 1), "three appends, one wake: nobody has read since");
    for reader in &mut readers[..50] {
        assert!(poll(reader, limit(10)).is_some());
    }
    let again: Vec<_> = readers[..50].iter_mut().map(waiting).collect();
    append(&writer, 1).await;
    assert!(again.iter().all(|wakes| wakes.count() == 1));
    assert!(wakes.iter().all(|wakes| wakes.count() == 1), "who lags is not woken again");
}

#[tokio::test]
async fn the_newest_waker_of_a_reader_is_woken_and_a_reader_that_left_is_not() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    let mut moved = writer.log().cursor(Start::Beginning);
    let mut left = writer.log().cursor(Start::Beginning);
    let (first, gone) = (waiting(&mut moved), waiting(&mut left));
    let second = waiting(&mut moved);
    drop(left);
    append(&writer, 1).await;
    assert_eq!((first.count(), second.count(), gone.count()), (0, 1, 0));
}

#[tokio::test]
async fn the_end_and_the_removal_of_a_log_wake_its_readers() {
    let registry = registry(LogOptions::default());
    let ends = registry.create(&id("ends")).await.unwrap();
    let goes = registry.create(&id("goes")).await.unwrap();
    let (mut one, mut other) = (ends.log().cursor(Start::Now), goes.log().cursor(Start::Now));
    let (wakes, others) = (waiting(&mut one), waiting(&mut other));
    ends.finish(StatusUpdate::completed(1.into())).await.unwrap();
    registry.remove(&id("goes")).await.unwrap();
    assert_eq!((wakes.count(), others.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_are_all_woken_through_the_relay() {
    let registry = registry(LogOptions::default().with_wake_inline(16));
    let writer = registry.create(&id("run")).await.unwrap();
    let maintained = registry.clone();
    let maintain = tokio::spawn(async move { maintained.maintain().await });
    tokio::task::yield_now().await;
    let mut readers: Vec<_> = (0..1_000).map(|_| writer.log().cursor(Start::Beginning)).collect();
    for round in 1..=3 {
        let wakes: Vec<_> = readers.iter_mut().map(waiting).collect();
        append(&writer, 1).await;
        let inline = wakes.iter().filter(|wakes| wakes.count() == 1).count();
        assert_eq!(inline, 16, "the writer wakes some itself and leaves the rest");
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(wakes.iter().all(|wakes| wakes.count() == 1), "in round {round}");
        for reader in &mut readers {
            assert!(poll(reader, limit(10)).is_some());
        }
    }
    maintain.abort();
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_stops_midway_loses_nobody() {
    let registry = registry(LogOptions::default().with_wake_inline(4));
    let writer = registry.create(&id("run")).await.unwrap();
    let maintained = registry.clone();
    let maintain = tokio::spawn(async move { maintained.maintain().await });
    tokio::task::yield_now().await;
    let mut readers: Vec<_> = (0..100).map(|_| writer.log().cursor(Start::Beginning)).collect();
    let wakes: Vec<_> = readers.iter_mut().map(waiting).collect();
    append(&writer, 1).await;
    assert!(wakes.iter().any(|wakes| wakes.count() == 0), "the relay has not run yet");
    maintain.abort();
    assert!(maintain.await.unwrap_err().is_cancelled());
    assert!(wakes.iter().all(|wakes| wakes.count() == 1), "it wakes who is left when it goes");
    for reader in &mut readers {
        assert!(poll(reader, limit(10)).is_some());
    }
    let wakes: Vec<_> = readers.iter_mut().map(waiting).collect();
    append(&writer, 1).await;
    assert!(wakes.iter().all(|wakes| wakes.count() == 1), "without it writers wake all by themselves");
}
