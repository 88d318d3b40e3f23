//! Streams over the memory store; over the disk they are tested where both are at hand, in the workspace's own tests.

mod forks;
mod lifetimes;
mod model;
mod producers;
mod races;
mod shares;
mod withheld;

use std::sync::Arc;

use bytes::Bytes;
use streamnest_core::{Event, LogName, Producer};
use streamnest_log::{
    Error, LogOptions, Registry,
    durable::{Append, Creation, Outcome, Stream, StreamOptions, Streams},
};

use crate::support::{SetClock, registry_at};

/// Streams in memory, and the clock by which they age.
pub(crate) struct World {
    pub(crate) streams: Streams,
    pub(crate) logs: Registry,
    pub(crate) clock: Arc<SetClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(StreamOptions::default())
    }

    pub(crate) fn with(options: StreamOptions) -> Self {
        options.validate().unwrap();
        let clock = SetClock::new();
        let logs = registry_at(clock.clone(), LogOptions::default());
        Self { streams: Streams::new(logs.clone(), options), logs, clock }
    }

    pub(crate) async fn make(&self, path: &str) -> Arc<Stream> {
        self.make_as(path, text()).await
    }

    pub(crate) async fn make_as(&self, path: &str, creation: Creation) -> Arc<Stream> {
        let created = self.streams.create(&name(path), creation).await.unwrap();
        assert!(!created.existed);
        created.stream
    }

    pub(crate) async fn append(&self, stream: &Arc<Stream>, body: &str) -> Outcome {
        self.streams.append(stream, data(body)).await.unwrap()
    }

    pub(crate) async fn read(&self, stream: &Arc<Stream>) -> String {
        let mut reader = self.streams.reader(stream).await.unwrap();
        let chunk = reader.read(usize::MAX).await.unwrap();
        assert!(chunk.up_to_date);
        let payloads =
            chunk.parts.iter().flat_map(|(_, entries)| entries).map(|entry| entry.event().payload());
        String::from_utf8(payloads.flatten().copied().collect()).unwrap()
    }
}

pub(crate) fn name(path: &str) -> LogName {
    Streams::name(path).unwrap()
}

pub(crate) fn text() -> Creation {
    Creation { content_type: "text/plain".into(), ..Creation::default() }
}

pub(crate) fn data(body: &str) -> Append {
    Append { events: vec![Event::data(Bytes::copy_from_slice(body.as_bytes()))], ..Append::default() }
}

pub(crate) fn producer(id: &str, epoch: u64, seq: u64) -> Option<Producer> {
    Some(Producer { id: id.into(), epoch, seq })
}

pub(crate) fn close() -> Append {
    Append { close: true, ..Append::default() }
}

#[tokio::test]
async fn a_stream_is_what_was_appended_until_it_is_closed() {
    let world = World::new();
    let stream = world.make("a").await;
    let first = world.append(&stream, "one ").await;
    let second = world.append(&stream, "two").await;
    assert!(second.stand.tail.to_string() > first.stand.tail.to_string());
    assert_eq!(world.read(&stream).await, "one two");
    let closed = world.streams.append(&stream, close()).await.unwrap();
    assert_eq!((closed.stand.tail, closed.stand.closed), (second.stand.tail, true));
    assert!(world.streams.append(&stream, close()).await.unwrap().duplicate);
    assert!(matches!(world.streams.append(&stream, data("three")).await, Err(Error::StreamClosed)));
    assert_eq!(world.read(&stream).await, "one two");
}

#[tokio::test]
async fn the_last_append_and_the_closure_are_one() {
    let world = World::new();
    let stream = world.make("a").await;
    let mut reader = world.streams.reader(&stream).await.unwrap();
    let waiting = tokio::spawn(async move {
        reader.wait().await.unwrap();
        reader.read(usize::MAX).await.unwrap()
    });
    tokio::task::yield_now().await;
    world.streams.append(&stream, Append { close: true, ..data("end") }).await.unwrap();
    let chunk = waiting.await.unwrap();
    assert!(chunk.closed && chunk.up_to_date && !chunk.is_empty());
}

#[tokio::test]
async fn a_path_that_is_taken_is_found_again_only_as_it_is() {
    let world = World::new();
    let made = Creation { closed: false, events: vec![Event::data("x".into())], ..text() };
    world.make_as("a", made.clone()).await;
    let spelt = Creation { content_type: "TEXT/plain;a=b".into(), ..made.clone() };
    assert!(world.streams.create(&name("a"), spelt).await.unwrap().existed);
    for other in [
        Creation { content_type: "text/html".into(), ..made.clone() },
        Creation { closed: true, ..made.clone() },
        Creation {
            lifetime: Some(streamnest_core::Lifetime::Sliding(std::time::Duration::from_secs(1))),
            ..made
        },
    ] {
        assert!(matches!(world.streams.create(&name("a"), other).await, Err(Error::StreamExists { .. })));
    }
    assert_eq!(world.streams.len(), 1);
}

#[tokio::test]
async fn a_stream_that_was_deleted_is_gone_and_its_place_is_free() {
    let world = World::new();
    let stream = world.make("a").await;
    let old = world.append(&stream, "old").await.stand.tail;
    world.streams.delete(&stream).await.unwrap();
    assert!(matches!(world.streams.get(&name("a")).await, Err(Error::UnknownStream { .. })));
    assert!(matches!(world.streams.append(&stream, data("late")).await, Err(Error::Removed)));
    assert_eq!((world.streams.len(), world.streams.bytes(), world.logs.len()), (0, 0, 0));
    let stream = world.make("a").await;
    world.append(&stream, "new").await;
    assert_eq!(world.read(&stream).await, "new");
    let mut reader = world.streams.reader(&stream).await.unwrap();
    assert!(matches!(reader.go_after(old), Err(Error::StalePosition { .. })));
}

#[tokio::test]
async fn each_bound_refuses_what_is_over_it_and_nothing_else() {
    let options = StreamOptions::default()
        .with_max_streams(2)
        .with_max_append_bytes(4)
        .with_max_stream_bytes(6)
        .with_max_total_bytes(10)
        .with_max_producers(2);
    let world = World::with(options);
    let (one, two) = (world.make("1").await, world.make("2").await);
    assert!(matches!(
        world.streams.create(&name("3"), text()).await,
        Err(Error::TooManyStreams { limit: 2 })
    ));
    let refused = world.streams.append(&one, data("12345")).await;
    assert!(matches!(refused, Err(Error::AppendTooLarge { size: 5, limit: 4 })));
    world.append(&one, "1234").await;
    assert!(matches!(world.streams.append(&one, data("123")).await, Err(Error::StreamFull { limit: 6 })));
    world.append(&one, "12").await;
    assert!(matches!(world.streams.append(&two, data("12345")).await, Err(Error::AppendTooLarge { .. })));
    world.append(&two, "123").await;
    assert!(matches!(world.streams.append(&two, data("12")).await, Err(Error::StreamsFull { limit: 10 })));
    world.append(&two, "1").await;
    // What only closes needs no room.
    for id in ["a", "b"] {
        let nothing_new = Append { producer: producer(id, 0, 1), close: true, ..Append::default() };
        assert!(matches!(world.streams.append(&one, nothing_new).await, Err(Error::ProducerGap { .. })));
    }
    world.streams.append(&one, close()).await.unwrap();
    world.streams.delete(&one).await.unwrap();
    world.make("3").await;
    world.append(&two, "12").await;
    assert_eq!(world.streams.bytes(), 6);
}

#[tokio::test]
async fn closed_streams_outlast_the_retention_of_executions() {
    let clock = SetClock::new();
    let mut retention = streamnest_log::Retention::default();
    retention.max_entries = 2;
    let options = LogOptions::default().with_retention(retention).with_hot_entries(4).with_max_logs(3);
    let logs = registry_at(clock.clone(), options);
    let streams = Streams::new(logs.clone(), StreamOptions::default());
    let world = World { streams, logs, clock };
    let stream = world.make("a").await;
    let letters: String = ('a'..='z').collect();
    for letter in letters.split_inclusive(|_: char| true) {
        world.append(&stream, letter).await;
    }
    world.streams.append(&stream, close()).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(365 * 24 * 3600));
    for path in ["b", "c"] {
        world.make(path).await;
    }
    assert!(world.streams.create(&name("d"), text()).await.is_err(), "nothing is evicted for it");
    assert_eq!(world.read(&world.streams.get(&name("a")).await.unwrap()).await, letters);
}
