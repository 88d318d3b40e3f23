//! How long streams live.

use std::time::Duration;

use streamnest_core::{Lifetime, Status, Timestamp};
use streamnest_log::{
    Error, Read, ReadLimit, Start,
    durable::{Creation, ForkAt, Streams},
};

use super::{World, close, data, name, text};

const MINUTE: Duration = Duration::from_secs(60);

fn living(lifetime: Lifetime) -> Creation {
    Creation { lifetime: Some(lifetime), ..text() }
}

async fn is_there(streams: &Streams, path: &str) -> bool {
    match streams.get(&name(path)).await {
        Ok(_) => true,
        Err(Error::UnknownStream { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn reading_and_writing_begin_a_sliding_lifetime_anew_and_looking_does_not() {
    let world = World::new();
    let stream = world.make_as("a", living(Lifetime::Sliding(MINUTE))).await;
    for _ in 0..3 {
        world.clock.advance(MINUTE * 2 / 3);
        world.append(&stream, "x").await;
        world.clock.advance(MINUTE * 2 / 3);
        world.read(&stream).await;
    }
    world.clock.advance(MINUTE * 2 / 3);
    assert!(is_there(&world.streams, "a").await);
    world.streams.stand(&stream).await.unwrap();
    world.clock.advance(MINUTE / 3);
    assert!(!is_there(&world.streams, "a").await);
    assert_eq!(world.logs.len(), 0);
}

#[tokio::test]
async fn a_stream_lives_while_somebody_waits_for_more() {
    let world = World::new();
    let stream = world.make_as("a", living(Lifetime::Sliding(MINUTE))).await;
    let mut reader = world.streams.reader(&stream).await.unwrap();
    let waiting = tokio::spawn(async move {
        reader.wait().await.unwrap();
        reader.read(usize::MAX).await.unwrap()
    });
    tokio::task::yield_now().await;
    world.clock.advance(10 * MINUTE);
    assert!(is_there(&world.streams, "a").await);
    world.append(&stream, "late").await;
    assert!(!waiting.await.unwrap().is_empty());
    world.clock.advance(MINUTE);
    assert!(!is_there(&world.streams, "a").await);
}

#[tokio::test]
async fn nothing_moves_an_absolute_end() {
    let world = World::new();
    let end = world.logs.now().after(MINUTE);
    let stream = world.make_as("a", living(Lifetime::Until(end))).await;
    world.clock.advance(MINUTE - Duration::from_micros(1));
    world.append(&stream, "x").await;
    assert!(is_there(&world.streams, "a").await);
    world.clock.advance(Duration::from_micros(1));
    assert!(!is_there(&world.streams, "a").await);
    world.make("a").await;
    let past = living(Lifetime::Until(Timestamp::from_micros(1)));
    world.streams.create(&name("b"), past).await.unwrap();
    assert!(!is_there(&world.streams, "b").await);
}

#[tokio::test]
async fn a_fork_inherits_a_lifetime_and_outlives_its_source_by_being_read() {
    let world = World::new();
    let source = world.make_as("source", living(Lifetime::Sliding(MINUTE))).await;
    world.append(&source, "a").await;
    let cut = |_: &[u8], _: u64| None;
    let fork = ForkAt { source: name("source"), at: None, sub_offset: 0, cut };
    let fork = world.make_as("fork", Creation { fork: Some(fork), ..Creation::default() }).await;
    assert_eq!(fork.facts().lifetime, Some(Lifetime::Sliding(MINUTE)));
    world.clock.advance(MINUTE * 2 / 3);
    assert_eq!(world.read(&fork).await, "a");
    world.clock.advance(MINUTE * 2 / 3);
    assert!(matches!(world.streams.get(&name("source")).await, Err(Error::StreamDeleted { .. })));
    assert_eq!(world.read(&fork).await, "a");
    world.clock.advance(MINUTE);
    assert!(!is_there(&world.streams, "fork").await);
    assert!(!is_there(&world.streams, "source").await);
    assert_eq!(world.logs.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_deleted_though_nobody_asks() {
    let world = World::new();
    world.make_as("a", living(Lifetime::Sliding(MINUTE))).await;
    world.make("b").await;
    let streams = world.streams.clone();
    let maintaining = tokio::spawn(async move { streams.maintain().await });
    world.clock.advance(MINUTE);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((world.streams.len(), world.logs.len()), (1, 1));
    maintaining.abort();
}

#[tokio::test]
async fn an_execution_whose_producer_is_silent_fails_and_can_still_be_read() {
    let world = World::new();
    let execution = streamnest_core::LogName::new("executions/outside").unwrap();
    let created = world.streams.create(&execution, living(Lifetime::Sliding(MINUTE))).await.unwrap();
    let log = world.logs.get(&execution).unwrap();
    assert_eq!(log.head().status, Some(Status::Running));
    assert!(matches!(world.streams.delete(&created.stream).await, Err(Error::StillRunning { .. })));
    world.clock.advance(MINUTE);
    world.streams.get(&execution).await.unwrap();
    let head = log.head();
    assert_eq!((head.status, head.sealed), (Some(Status::Failed), true));
    let mut cursor = log.cursor(Start::Beginning);
    let Some(Read::Batch(batch)) = cursor.next_batch(ReadLimit::default()).await.unwrap() else {
        panic!("a batch")
    };
    let last = batch.last().unwrap().event().as_status().unwrap().unwrap();
    assert_eq!(last.error.unwrap().code, "expired");
    assert!(matches!(world.streams.append(&created.stream, data("x")).await, Err(Error::StreamClosed)));
    assert!(world.streams.append(&created.stream, close()).await.unwrap().duplicate);
    world.streams.delete(&created.stream).await.unwrap();
    assert!(matches!(world.streams.get(&execution).await, Err(Error::UnknownStream { .. })));
}
