//! Many who do things to a stream at once.

use std::{collections::BTreeSet, sync::Arc};

use streamnest_core::NamesLog as _;
use streamnest_log::{
    Error,
    durable::{Append, Creation, ForkAt},
};
use tokio::task::JoinSet;

use super::{World, close, data, name, producer, text};
use crate::support::id;

const WRITERS: u64 = 16;
const APPENDS: u64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn appends_at_once_each_have_an_offset_of_their_own() {
    let world = World::new();
    let stream = world.make("a").await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (streams, stream) = (world.streams.clone(), stream.clone());
        writers.spawn(async move {
            let mut tails = Vec::new();
            for number in 0..APPENDS {
                let body = format!("{writer}.{number};");
                tails.push(streams.append(&stream, data(&body)).await.unwrap().stand.tail.to_string());
            }
            assert!(tails.is_sorted());
            tails
        });
    }
    let tails: BTreeSet<String> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(tails.len() as u64, WRITERS * APPENDS);
    assert_eq!(world.read(&stream).await.split_terminator(';').count() as u64, WRITERS * APPENDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_that_comes_many_times_at_once_is_appended_once() {
    let world = World::new();
    let stream = world.make("a").await;
    for seq in 0..APPENDS {
        let mut senders = JoinSet::new();
        for _ in 0..WRITERS {
            let (streams, stream) = (world.streams.clone(), stream.clone());
            let append = Append { producer: producer("p", 0, seq), ..data("x") };
            senders.spawn(async move { streams.append(&stream, append).await.unwrap().duplicate });
        }
        let new = senders.join_all().await.into_iter().filter(|duplicate| !duplicate).count();
        assert_eq!(new, 1, "{seq}");
    }
    assert_eq!(world.read(&stream).await.len() as u64, APPENDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_an_append_as_a_whole_or_not_at_all() {
    let world = World::new();
    let stream = world.make("a").await;
    let large = "x".repeat(1 << 20);
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let (streams, stream, size) = (world.streams.clone(), stream.clone(), large.len());
        readers.spawn(async move {
            let mut reader = streams.reader(&stream).await.unwrap();
            let mut read = 0;
            while read < 4 * size {
                reader.wait().await.unwrap();
                let chunk = reader.read(usize::MAX).await.unwrap();
                for (_, entries) in &chunk.parts {
                    assert!(entries.iter().all(|entry| entry.event().payload().len() == size));
                    read += entries.len() * size;
                }
            }
        });
    }
    for _ in 0..4 {
        world.append(&stream, &large).await;
    }
    readers.join_all().await;
}

#[tokio::test]
async fn a_delete_ends_who_reads_and_who_waits() {
    let world = World::new();
    let stream = world.make("a").await;
    world.append(&stream, "x").await;
    let mut reading = world.streams.reader(&stream).await.unwrap();
    let mut waiting = world.streams.reader(&stream).await.unwrap();
    waiting.go_to_end();
    let waiting = tokio::spawn(async move { waiting.wait().await });
    tokio::task::yield_now().await;
    world.streams.delete(&stream).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(Error::Removed)));
    // What was at hand may still be read, and then nothing comes.
    let _ = reading.read(usize::MAX).await;
    assert!(matches!(reading.wait().await, Err(Error::Removed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_path_that_many_make_at_once_is_one_stream() {
    let world = World::new();
    let mut makers = JoinSet::new();
    for _ in 0..WRITERS {
        let streams = world.streams.clone();
        makers.spawn(async move { streams.create(&name("a"), text()).await.unwrap().existed });
    }
    let made = makers.join_all().await.into_iter().filter(|existed| !existed).count();
    assert_eq!((made, world.streams.len(), world.logs.len()), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_that_come_and_go_while_their_source_is_deleted_leave_nothing() {
    for _ in 0..50 {
        let world = World::new();
        let source = world.make("source").await;
        world.append(&source, "a").await;
        let mut tasks = JoinSet::new();
        for number in 0..8 {
            let streams = world.streams.clone();
            tasks.spawn(async move {
                let cut = |_: &[u8], _: u64| None;
                let fork = ForkAt { source: name("source"), at: None, sub_offset: 0, cut };
                let creation = Creation { fork: Some(fork), ..Creation::default() };
                match streams.create(&name(&number.to_string()), creation).await {
                    Ok(created) => streams.delete(&created.stream).await.unwrap(),
                    Err(Error::ForkSourceDeleted { .. } | Error::UnknownStream { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            });
        }
        let streams = world.streams.clone();
        let source: Arc<_> = source.clone();
        tasks.spawn(async move { streams.delete(&source).await.unwrap() });
        tasks.join_all().await;
        assert_eq!((world.streams.len(), world.logs.len(), world.streams.bytes()), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_creation_that_is_broken_off_leaves_the_path_free() {
    let world = World::new();
    let path = name("a");
    for _ in 0..20 {
        let mut creation = Box::pin(world.streams.create(&path, text()));
        // One poll begins it, and it is dropped wherever it is then.
        let _ = futures_poll(creation.as_mut());
        drop(creation);
        let created = world.streams.create(&name("a"), text()).await.unwrap();
        world.streams.delete(&created.stream).await.unwrap();
    }
    assert_eq!((world.streams.len(), world.logs.len()), (0, 0));
}

fn futures_poll<T>(future: std::pin::Pin<&mut (impl Future<Output = T> + ?Sized)>) -> std::task::Poll<T> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test]
async fn what_comes_late_for_a_stream_that_was_deleted_does_not_reach_another_that_has_its_name() {
    for name in [name("a"), id("outside").log_name()] {
        let world = World::new();
        let make = || async { world.streams.create(&name, text()).await.unwrap().stream };
        let end = Append { producer: producer("p", 0, 0), ..close() };
        let old = make().await;
        world.streams.append(&old, end.clone()).await.unwrap();
        // Requests that found it then, and came with their bodies later.
        let found = world.streams.get(&name).await.unwrap();
        world.streams.delete(&old).await.unwrap();
        let new = make().await;
        let before = (world.streams.stand(&new).await.unwrap(), world.streams.bytes());
        for late in [&old, &found] {
            for append in [end.clone(), close(), data("late")] {
                let refused = world.streams.append(late, append).await;
                assert!(matches!(refused, Err(Error::Removed)), "`{name}`: {refused:?}");
            }
            let refused = world.streams.delete(late).await;
            assert!(matches!(refused, Err(Error::Removed | Error::UnknownStream { .. })), "{refused:?}");
        }
        assert!(Arc::ptr_eq(&world.streams.get(&name).await.unwrap(), &new), "`{name}` takes its place");
        assert_eq!((world.streams.stand(&new).await.unwrap(), world.streams.bytes()), before);
        world.append(&new, "x").await;
        assert_eq!(world.streams.bytes(), before.1 + 1);
    }
}
