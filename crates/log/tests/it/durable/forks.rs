//! Forks: what they inherit, and how long their sources live.

use std::sync::Arc;

use streamnest_core::{Event, Position};
use streamnest_log::{
    Error,
    durable::{Append, Creation, ForkAt, Stream, StreamOptions},
};

use super::{World, close, data, name, producer, text};

fn cut(append: &[u8], count: u64) -> Option<usize> {
    usize::try_from(count).ok().filter(|count| *count <= append.len())
}

fn fork(source: &str, at: Option<Position>, sub_offset: u64) -> Creation {
    Creation { fork: Some(ForkAt { source: name(source), at, sub_offset, cut }), ..Creation::default() }
}

/// Every position of a stream, and what lies behind each.
async fn positions(world: &World, stream: &Arc<Stream>) -> Vec<(Position, String)> {
    let mut reader = world.streams.reader(stream).await.unwrap();
    let mut found = Vec::new();
    loop {
        let chunk = reader.read(1).await.unwrap();
        let Some((_, entries)) = chunk.parts.first() else { return found };
        let body = String::from_utf8(entries[0].event().payload().to_vec()).unwrap();
        found.push((chunk.next, body));
    }
}

#[tokio::test]
async fn a_fork_has_what_its_source_had_and_both_go_on_alone() {
    let world = World::new();
    let source = world.make("source").await;
    let mut tails = vec![Position::BEFORE_FIRST];
    for body in ["a", "b", "c"] {
        tails.push(world.append(&source, body).await.stand.tail);
    }
    for (index, at) in tails.iter().enumerate() {
        let path = format!("fork-{index}");
        let stream = world.make_as(&path, fork("source", Some(*at), 0)).await;
        assert_eq!(world.streams.stand(&stream).await.unwrap().tail, *at);
        world.append(&source, "!").await;
        world.append(&stream, "x").await;
        assert_eq!(world.read(&stream).await, format!("{}x", &"abc"[..index]));
        // What is inherited has the positions that it has in the source, and all of them sort.
        let (inherited, own) = (positions(&world, &source).await, positions(&world, &stream).await);
        assert_eq!(inherited[..index], own[..index]);
        assert!(own.is_sorted_by(|one, other| one.0.to_string() < other.0.to_string()));
    }
}

#[tokio::test]
async fn a_fork_of_a_fork_reads_through_both_from_every_position() {
    let world = World::new();
    let source = world.make("0").await;
    world.append(&source, "a").await;
    world.append(&source, "b").await;
    let one = world.make_as("1", fork("0", None, 0)).await;
    let at = world.append(&one, "c").await.stand.tail;
    world.append(&one, "d").await;
    let two = world.make_as("2", fork("1", Some(at), 0)).await;
    world.append(&two, "e").await;
    // It forks where its source has nothing of its own.
    let inherited = positions(&world, &source).await[0].0;
    let three = world.make_as("3", fork("2", Some(inherited), 0)).await;
    world.append(&three, "f").await;
    for (stream, whole) in [(&one, "abcd"), (&two, "abce"), (&three, "af")] {
        assert_eq!(world.read(stream).await, whole);
        for (index, (position, _)) in positions(&world, stream).await.into_iter().enumerate() {
            let mut reader = world.streams.reader(stream).await.unwrap();
            reader.go_after(position).unwrap();
            let chunk = reader.read(usize::MAX).await.unwrap();
            let rest: usize = chunk.parts.iter().map(|(_, entries)| entries.len()).sum();
            assert_eq!(rest, whole.len() - index - 1);
        }
    }
    let foreign = positions(&world, &one).await[3].0;
    let mut reader = world.streams.reader(&two).await.unwrap();
    assert!(matches!(reader.go_after(foreign), Err(Error::StalePosition { .. })), "the sibling's own entry");
}

#[tokio::test]
async fn a_sub_offset_takes_a_part_of_the_next_append() {
    let world = World::new();
    let source = world.make("source").await;
    let first = world.append(&source, "first").await.stand.tail;
    world.append(&source, "second").await;
    let stream = world.make_as("part", fork("source", Some(first), 3)).await;
    assert_eq!(world.read(&stream).await, "firstsec");
    let same = world.streams.create(&name("part"), fork("source", Some(first), 3)).await.unwrap();
    assert!(same.existed);
    let with_body = Creation { events: vec![Event::data("XY".into())], ..fork("source", Some(first), 2) };
    let stream = world.make_as("body", with_body).await;
    assert_eq!(world.read(&stream).await, "firstseXY");
    for (at, sub_offset) in [(Some(first), 7), (None, 1)] {
        let refused = world.streams.create(&name("over"), fork("source", at, sub_offset)).await;
        assert!(matches!(refused, Err(Error::ForkSubOffset { .. })));
    }
    // Nothing that was refused holds on to the source.
    for path in ["part", "body"] {
        world.streams.delete(&world.streams.get(&name(path)).await.unwrap()).await.unwrap();
    }
    world.streams.delete(&source).await.unwrap();
    assert_eq!(world.streams.len(), 0);
}

#[tokio::test]
async fn a_fork_is_open_and_knows_no_producer_of_its_source() {
    let world = World::new();
    let source = world.make("source").await;
    world.streams.append(&source, Append { producer: producer("p", 3, 0), ..data("a") }).await.unwrap();
    world.streams.append(&source, close()).await.unwrap();
    let stream = world.make_as("fork", fork("source", None, 0)).await;
    assert!(!world.streams.stand(&stream).await.unwrap().closed);
    let anew = Append { producer: producer("p", 0, 0), ..data("b") };
    assert!(!world.streams.append(&stream, anew).await.unwrap().duplicate);
    assert_eq!(world.read(&stream).await, "ab");
    let html = Creation { content_type: "text/html".into(), ..fork("source", None, 0) };
    let other = world.streams.create(&name("x"), html).await;
    assert!(matches!(other, Err(Error::ContentTypeMismatch { .. })));
}

#[tokio::test]
async fn a_deleted_source_lives_on_unseen_until_its_last_fork_goes() {
    let world = World::new();
    let source = world.make("0").await;
    world.append(&source, "a").await;
    let one = world.make_as("1", fork("0", None, 0)).await;
    let two = world.make_as("2", fork("1", None, 0)).await;
    world.streams.delete(&source).await.unwrap();
    world.streams.delete(&one).await.unwrap();
    for path in ["0", "1"] {
        assert!(matches!(world.streams.get(&name(path)).await, Err(Error::StreamDeleted { .. })));
        assert!(matches!(world.streams.create(&name(path), text()).await, Err(Error::StreamExists { .. })));
        let refork = world.streams.create(&name("x"), fork(path, None, 0)).await;
        assert!(matches!(refork, Err(Error::ForkSourceDeleted { .. })));
    }
    assert_eq!(world.read(&two).await, "a");
    world.streams.delete(&two).await.unwrap();
    assert_eq!((world.streams.len(), world.logs.len(), world.streams.bytes()), (0, 0, 0));
}

#[tokio::test]
async fn a_chain_of_forks_has_its_bound() {
    let world = World::with(StreamOptions::default().with_max_fork_depth(2));
    world.make("0").await;
    world.make_as("1", fork("0", None, 0)).await;
    world.make_as("2", fork("1", None, 0)).await;
    let third = world.streams.create(&name("3"), fork("2", None, 0)).await;
    assert!(matches!(third, Err(Error::ForkTooDeep { limit: 2 })));
    assert!(matches!(
        world.streams.create(&name("x"), fork("none", None, 0)).await,
        Err(Error::UnknownStream { .. })
    ));
}
