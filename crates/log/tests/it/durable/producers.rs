//! Idempotent producers.

use bytes::Bytes;
use streamnest_core::Event;
use streamnest_log::{
    Error,
    durable::{Append, StreamOptions},
};

use super::{World, close, data, producer};

fn by(id: &str, epoch: u64, seq: u64, body: &str) -> Append {
    Append { producer: producer(id, epoch, seq), ..data(body) }
}

#[tokio::test]
async fn what_a_producer_sends_twice_is_there_once() {
    let world = World::new();
    let stream = world.make("a").await;
    for (seq, body) in [(0, "a"), (1, "b"), (2, "c")] {
        let outcome = world.streams.append(&stream, by("p", 0, seq, body)).await.unwrap();
        assert_eq!((outcome.duplicate, outcome.producer_seq), (false, Some(seq)));
        let again = world.streams.append(&stream, by("p", 0, seq, "other")).await.unwrap();
        assert_eq!((again.duplicate, again.producer_seq), (true, Some(seq)));
    }
    let old = world.streams.append(&stream, by("p", 0, 0, "a")).await.unwrap();
    assert_eq!((old.duplicate, old.producer_seq), (true, Some(2)));
    assert_eq!(world.read(&stream).await, "abc");
}

#[tokio::test]
async fn a_newer_session_fences_off_the_older_and_others_are_not_concerned() {
    let world = World::new();
    let stream = world.make("a").await;
    for append in [by("p", 0, 0, "a"), by("q", 0, 0, "b"), by("p", 1, 0, "c"), by("q", 0, 1, "d")] {
        assert!(!world.streams.append(&stream, append).await.unwrap().duplicate);
    }
    let zombie = world.streams.append(&stream, by("p", 0, 1, "z")).await;
    assert!(matches!(zombie, Err(Error::ProducerFenced { epoch: 1 })));
    let gap = world.streams.append(&stream, by("p", 1, 2, "z")).await;
    assert!(matches!(gap, Err(Error::ProducerGap { expected: 1, received: 2 })));
    assert_eq!(world.read(&stream).await, "abcd");
}

#[tokio::test]
async fn who_closed_a_stream_may_say_so_again_and_nobody_else() {
    let world = World::new();
    let stream = world.make("a").await;
    let end = Append { close: true, ..by("p", 0, 0, "end") };
    assert!(!world.streams.append(&stream, end.clone()).await.unwrap().duplicate);
    let again = world.streams.append(&stream, end.clone()).await.unwrap();
    assert!(again.duplicate && again.stand.closed);
    for other in [
        Append { producer: producer("q", 0, 0), ..end.clone() },
        Append { producer: producer("p", 0, 1), ..end.clone() },
        Append { producer: producer("p", 0, 1), ..close() },
    ] {
        assert!(matches!(world.streams.append(&stream, other).await, Err(Error::StreamClosed)));
    }
    assert!(world.streams.append(&stream, close()).await.unwrap().duplicate);
    assert_eq!(world.read(&stream).await, "end");
}

#[tokio::test]
async fn a_producer_more_than_may_be_is_refused_and_those_known_go_on() {
    let world = World::with(StreamOptions::default().with_max_producers(2));
    let stream = world.make("a").await;
    for id in ["p", "q"] {
        world.streams.append(&stream, by(id, 0, 0, id)).await.unwrap();
    }
    let third = world.streams.append(&stream, by("r", 0, 0, "r")).await;
    assert!(matches!(third, Err(Error::TooManyProducers { limit: 2 })));
    world.streams.append(&stream, by("p", 0, 1, "!")).await.unwrap();
    world.append(&stream, "?").await;
    assert_eq!(world.read(&stream).await, "pq!?");
}

#[tokio::test]
async fn a_writers_own_sequence_only_grows_as_bytes() {
    let world = World::new();
    let stream = world.make("a").await;
    let with =
        |seq: &'static str, body| Append { seq: Some(Bytes::from_static(seq.as_bytes())), ..data(body) };
    for (seq, goes) in [
        ("09", true),
        ("10", true),
        ("10", false),
        ("2", true),
        ("10", false),
        ("B", true),
        ("a", true),
        ("B", false),
    ] {
        let appended = world.streams.append(&stream, with(seq, seq)).await;
        assert_eq!(appended.is_ok(), goes, "{seq}");
    }
    // A duplicate is told from a regression before.
    let once =
        Append { producer: producer("p", 0, 0), events: vec![Event::data("x".into())], ..with("b", "") };
    assert!(!world.streams.append(&stream, once.clone()).await.unwrap().duplicate);
    assert!(world.streams.append(&stream, once).await.unwrap().duplicate);
}
