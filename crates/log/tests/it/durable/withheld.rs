//! What is told of a stream while its store has accepted something and not made it durable.

use std::{pin::pin, sync::Arc, time::Duration};

use streamnest_core::{Event, ExecutionId, NamesLog as _};
use streamnest_log::{
    Error, LogOptions, Registry,
    durable::{Append, Creation, Outcome, Stream, StreamOptions, Streams},
};
use tokio::task::JoinHandle;

use super::{close, data, producer, text};
use crate::{
    slow_store::SlowStore,
    support::{SetClock, id, now},
};

/// Streams over a store that makes durable when it is told to, and an execution from outside.
struct Withheld {
    store: Arc<SlowStore>,
    streams: Streams,
    id: ExecutionId,
}

impl Withheld {
    fn new() -> Self {
        let store = Arc::new(SlowStore::default());
        let logs = Registry::new(store.clone(), SetClock::new(), LogOptions::default());
        Self { store, streams: Streams::new(logs, StreamOptions::default()), id: id("outside") }
    }

    /// Begins to make the execution, which is accepted when this returns and not durable.
    async fn creating(&self, creation: Creation) -> JoinHandle<Arc<Stream>> {
        let (streams, name) = (self.streams.clone(), self.id.log_name());
        let creating = tokio::spawn(async move { streams.create(&name, creation).await.unwrap().stream });
        accepted().await;
        creating
    }

    async fn made(&self) -> Arc<Stream> {
        let creating = self.creating(text()).await;
        self.store.settle(&self.id, u64::MAX);
        creating.await.unwrap()
    }

    /// Begins an append, which is accepted when this returns and not durable.
    async fn appending(&self, stream: &Arc<Stream>, append: Append) -> JoinHandle<Result<Outcome, Error>> {
        let (streams, stream) = (self.streams.clone(), stream.clone());
        let appending = tokio::spawn(async move { streams.append(&stream, append).await });
        accepted().await;
        appending
    }
}

/// Lets tasks go on until they wait for the store.
async fn accepted() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_execution_is_open_until_its_closure_is_durable_also_for_an_append_that_is_durable_before() {
    let world = Withheld::new();
    let stream = world.made().await;
    let name = world.id.log_name();
    let end = Append { producer: producer("p", 0, 0), ..close() };
    let before = world.appending(&stream, data("x")).await;
    let closing = world.appending(&stream, end.clone()).await;
    world.store.settle(&world.id, 1);
    assert!(!before.await.unwrap().unwrap().stand.closed, "nobody may rely on the closure");
    let found = world.streams.get(&name).await.unwrap();
    assert!(Arc::ptr_eq(&found, &stream), "it takes its place");
    let refused = world.streams.delete(&found).await;
    assert!(matches!(refused, Err(Error::StillRunning { .. })), "{refused:?}");
    let again = world.appending(&found, end.clone()).await;
    assert!(!closing.is_finished() && !again.is_finished());
    world.store.settle(&world.id, u64::MAX);
    let (closed, again) = (closing.await.unwrap().unwrap(), again.await.unwrap().unwrap());
    assert_eq!((closed.stand.closed, closed.duplicate), (true, false));
    assert_eq!((again.stand, again.duplicate), (closed.stand, true));
    assert_eq!((world.streams.len(), world.streams.bytes()), (0, 0), "and now it takes none");
    let found = world.streams.get(&name).await.unwrap();
    assert!(world.streams.append(&found, end).await.unwrap().duplicate);
    world.streams.delete(&found).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_is_made_closed_holds_nothing_whenever_it_is_looked_over() {
    let world = Withheld::new();
    // Which streams there are is known, so that looking them over does not wait for the store.
    assert!(matches!(world.streams.get(&id("other").log_name()).await, Err(Error::UnknownStream { .. })));
    for looked_over in [false, true] {
        let creation = Creation { events: vec![Event::data("12345".into())], closed: true, ..text() };
        let creating = world.creating(creation).await;
        let mut maintaining = pin!(world.streams.maintain());
        assert!(now(maintaining.as_mut()).is_none());
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Who makes it hears of this only when it has its turn, and streams are looked over before.
        world.store.settle(&world.id, u64::MAX);
        if looked_over {
            assert!(now(maintaining.as_mut()).is_none());
        }
        let stream = creating.await.unwrap();
        assert_eq!((world.streams.len(), world.streams.bytes()), (0, 0), "looked over: {looked_over}");
        world.streams.delete(&stream).await.unwrap();
    }
}

#[tokio::test]
async fn a_closure_that_is_told_after_its_execution_was_made_anew_leaves_the_new_one_alone() {
    let world = Withheld::new();
    let stream = world.made().await;
    let name = world.id.log_name();
    let end = Append { producer: producer("p", 0, 0), ..close() };
    let closing = world.appending(&stream, end.clone()).await;
    let again = world.appending(&stream, end).await;
    world.store.settle(&world.id, u64::MAX);
    // Both have their turn only when the execution is deleted and another is there.
    let found = now(world.streams.get(&name)).unwrap().unwrap();
    now(world.streams.delete(&found)).unwrap().unwrap();
    let mut creating = pin!(world.streams.create(&name, text()));
    assert!(now(creating.as_mut()).is_none());
    world.store.settle(&world.id, u64::MAX);
    let made = now(creating.as_mut()).unwrap().unwrap().stream;
    accepted().await;
    assert!(closing.is_finished() && again.is_finished());
    assert!(Arc::ptr_eq(&world.streams.get(&name).await.unwrap(), &made), "it takes its place");
    let appending = world.appending(&made, data("x")).await;
    world.store.settle(&world.id, u64::MAX);
    assert!(!appending.await.unwrap().unwrap().stand.closed);
}
