//! A store that takes its time: nothing is seen before it is kept, and a producer waits for room and nothing else.

use std::sync::Arc;

use streamnest_core::{ExecutionId, Status, StoreError, payload::StatusUpdate};
use streamnest_log::{Error, LogOptions, Registry, Start, Writer};

use crate::{
    slow_store::SlowStore,
    support::{SetClock, drain, entries, event, event_of, id, limit, now, poll, seq, waiting},
};

struct Slow {
    store: Arc<SlowStore>,
    registry: Registry,
    writer: Writer,
    run: ExecutionId,
}

async fn slow(options: LogOptions) -> Slow {
    let store = Arc::new(SlowStore::default());
    let registry = Registry::new(store.clone(), SetClock::new(), options);
    let run = id("run");
    let writer = registry.create(&run).await.unwrap();
    Slow { store, registry, writer, run }
}

/// Room for two events of 1,000 bytes and not for three.
fn little_room() -> LogOptions {
    LogOptions::default().with_max_pending_bytes(3_500)
}

#[tokio::test]
async fn an_entry_is_invisible_until_it_is_durable() {
    let Slow { store, writer, run, .. } = slow(LogOptions::default()).await;
    let mut cursor = writer.log().cursor(Start::Beginning);
    assert_eq!(writer.append([event(1), event(2), event(3)]).await.unwrap(), seq(3));
    assert_eq!(drain(&mut cursor, limit(10)), []);
    assert_eq!(writer.log().head().last, seq(0));
    assert_eq!(cursor.lag(), 0);
    store.settle(&run, 2);
    assert_eq!(drain(&mut cursor, limit(10)), entries(1..=2));
    assert_eq!(writer.log().head().last, seq(2));
    store.settle(&run, 2);
    assert_eq!(drain(&mut cursor, limit(10)), entries([3]));
}

#[tokio::test]
async fn an_append_waits_for_room_and_goes_on_when_entries_are_durable() {
    let Slow { store, writer, run, .. } = slow(little_room()).await;
    for n in 1..=2 {
        writer.append([event_of(n, 1_000)]).await.unwrap();
    }
    let mut third = Box::pin(writer.append([event_of(3, 1_000)]));
    assert!(now(third.as_mut()).is_none(), "there is no room for a third");
    assert!(now(writer.append([event_of(4, 1_000)])).is_none(), "nor for another, which gives up");
    store.settle(&run, 1);
    assert_eq!(third.await.unwrap(), seq(3), "what gave up has not taken a number");
    store.settle(&run, 9);
    let mut cursor = writer.log().cursor(Start::Beginning);
    assert_eq!(drain(&mut cursor, limit(10)), entries(1..=3));
}

#[tokio::test]
async fn an_append_larger_than_all_room_goes_through_when_nothing_else_waits() {
    let Slow { store, writer, run, .. } = slow(little_room()).await;
    writer.append([event_of(1, 10_000)]).await.unwrap();
    assert!(now(writer.append([event(2)])).is_none());
    store.settle(&run, 1);
    writer.append([event(2)]).await.unwrap();
}

#[tokio::test]
async fn producers_at_once_do_not_pass_the_bound_together() {
    let Slow { store, writer, run, .. } = slow(little_room()).await;
    let producers: Vec<_> = (0..50)
        .map(|n| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.append([event_of(n, 1_000)]).await })
        })
        .collect();
    let mut seen = 0;
    while seen < 50 {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        // Everything that can go through has; the rest waits for the store.
        let ready = producers.iter().filter(|producer| producer.is_finished()).count();
        assert!(ready <= seen + 2, "{ready} appends went through with {seen} of them durable");
        store.settle(&run, 1);
        seen += 1;
    }
    for producer in producers {
        producer.await.unwrap().unwrap();
    }
    assert_eq!(writer.log().head().last, seq(50));
}

#[tokio::test]
async fn a_refused_try_append_keeps_its_events_and_room_waits_for_all_of_them() {
    let Slow { store, writer, run, .. } = slow(little_room()).await;
    let mut events: Vec<_> = (1..=2).map(|n| event_of(n, 1_000)).collect();
    assert_eq!(writer.try_append(&mut events).unwrap(), Some(seq(2)));
    assert!(events.is_empty());
    let mut more: Vec<_> = (3..=4).map(|n| event_of(n, 1_000)).collect();
    assert_eq!(writer.try_append(&mut more).unwrap(), None);
    assert_eq!(more.len(), 2);
    let mut room = Box::pin(writer.room());
    assert!(now(room.as_mut()).is_none(), "there is no room for two");
    store.settle(&run, 1);
    assert!(now(room.as_mut()).is_none(), "there is room for one, not for two");
    store.settle(&run, 1);
    room.await;
    assert_eq!(writer.try_append(&mut more).unwrap(), Some(seq(4)));
    store.fail(&run);
    let mut lost = vec![event(5)];
    assert!(writer.try_append(&mut lost).is_err());
    assert_eq!(lost.len(), 1, "events that were refused stay with their producer");
}

#[tokio::test]
async fn a_failure_wakes_everyone_who_waits() {
    let Slow { store, registry: _registry, writer, run } = slow(little_room()).await;
    writer.append([event_of(1, 1_000)]).await.unwrap();
    store.settle(&run, 1);
    writer.append([event_of(2, 3_000)]).await.unwrap();
    let mut cursor = writer.log().cursor(Start::Beginning);
    assert_eq!(drain(&mut cursor, limit(10)), entries([1]));
    let reader = tokio::spawn(async move { cursor.next_batch(limit(10)).await });
    let (one, other) = (writer.clone(), writer.clone());
    let producer = tokio::spawn(async move { one.append([event_of(3, 1_000)]).await });
    let durable = tokio::spawn(async move { other.durable(seq(2)).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!reader.is_finished() && !producer.is_finished() && !durable.is_finished());
    store.fail(&run);
    let lost = |error: &Error| matches!(error, Error::Store(StoreError::Unavailable { .. }));
    assert!(reader.await.unwrap().is_err_and(|error| lost(&error)));
    assert!(producer.await.unwrap().is_err_and(|error| lost(&error)));
    assert!(durable.await.unwrap().is_err_and(|error| lost(&error)));
    assert!(writer.failed().is_some());
    // What was visible is still read.
    let mut late = writer.log().cursor(Start::Beginning);
    assert_eq!(drain(&mut late, limit(10)), entries([1]));
    assert!(matches!(poll(&mut late, limit(10)), Some(Err(error)) if lost(&error)));
}

#[tokio::test]
async fn finishing_waits_until_the_seal_is_durable() {
    let Slow { store, writer, run, .. } = slow(LogOptions::default()).await;
    let mut finish = Box::pin(writer.finish(StatusUpdate::completed(1.into())));
    assert!(now(finish.as_mut()).is_none());
    assert_eq!(writer.log().head().status, None, "the end is not visible before it is durable");
    assert!(matches!(writer.append([event(2)]).await, Err(Error::Sealed { .. })), "yet nothing follows it");
    store.settle(&run, 1);
    assert_eq!(finish.await.unwrap(), seq(1));
    let head = writer.log().head();
    assert_eq!((head.sealed, head.status), (true, Some(Status::Completed)));
}

#[tokio::test]
async fn a_seal_that_failed_is_tried_again_without_a_second_ending() {
    let Slow { store, writer, run, .. } = slow(LogOptions::default()).await;
    store.refuse_seals(&run, 1);
    assert!(writer.finish(StatusUpdate::completed(1.into())).await.is_err());
    assert!(matches!(writer.append([event(2)]).await, Err(Error::Sealed { .. })), "nothing follows the end");
    let mut again = Box::pin(writer.finish(StatusUpdate::completed(1.into())));
    assert!(now(again.as_mut()).is_none());
    store.settle(&run, 1);
    assert_eq!(again.await.unwrap(), seq(1));
    let mut cursor = writer.log().cursor(Start::Beginning);
    assert_eq!(drain(&mut cursor, limit(10)), entries([1]));
    assert!(matches!(poll(&mut cursor, limit(10)), Some(Ok(None))));
}

#[tokio::test]
async fn a_newer_writer_fences_off_the_older_one_and_its_readers_hear_of_it() {
    let Slow { store, writer, run, .. } = slow(LogOptions::default()).await;
    writer.append([event(1), event(2)]).await.unwrap();
    store.settle(&run, 9);
    let mut old_reader = writer.log().cursor(Start::Now);
    assert!(poll(&mut old_reader, limit(10)).is_none());

    let elsewhere = Registry::new(store.clone(), SetClock::new(), LogOptions::default().with_hot_entries(1));
    let newer = elsewhere.open(&run).await.unwrap().unwrap();
    assert_eq!(newer.log().identity(), writer.log().identity(), "nothing is gone, so positions stay good");
    let fenced = |error: &Error| matches!(error, Error::Store(StoreError::Fenced { .. }));
    assert!(writer.append([event(3)]).await.is_err_and(|error| fenced(&error)));
    assert!(matches!(poll(&mut old_reader, limit(10)), Some(Err(error)) if fenced(&error)));

    newer.append([event(3)]).await.unwrap();
    store.settle(&run, 9);
    let mut cursor = newer.log().cursor(Start::Beginning);
    let mut got = Vec::new();
    while got.len() < 3 {
        // A cold read is under way between polls.
        got.extend(drain(&mut cursor, limit(10)));
    }
    assert_eq!(got, entries(1..=3), "what the store had from before is read, and then what came");
    newer.log().trim(seq(2)).unwrap();
    assert_eq!(newer.log().head().trimmed, seq(2));
}

#[tokio::test]
async fn what_was_accepted_before_a_writer_was_fenced_off_is_still_read() {
    let Slow { store, writer, run, .. } = slow(LogOptions::default()).await;
    writer.append([event(1), event(2)]).await.unwrap();
    store.fence(&run);
    assert!(writer.append([event(3)]).await.is_err());
    let mut cursor = writer.log().cursor(Start::Beginning);
    let mut durable = Box::pin(writer.durable(seq(2)));
    assert!(poll(&mut cursor, limit(10)).is_none(), "two entries may still come");
    assert!(now(durable.as_mut()).is_none());
    store.settle(&run, 2);
    durable.await.unwrap();
    assert_eq!(drain(&mut cursor, limit(10)), entries(1..=2));
    assert!(matches!(poll(&mut cursor, limit(10)), Some(Err(Error::Store(StoreError::Fenced { .. })))));
}

#[tokio::test]
async fn what_the_store_has_and_nobody_was_told_of_is_not_read_from_it() {
    let Slow { store, writer, run, .. } = slow(LogOptions::default().with_hot_entries(1)).await;
    writer.append((1..=5).map(event)).await.unwrap();
    store.settle(&run, 3);
    store.settle_in_silence(&run, 1);
    let mut cursor = writer.log().cursor(Start::Beginning);
    let mut got = Vec::new();
    for _ in 0..9 {
        got.extend(drain(&mut cursor, limit(10)));
    }
    assert_eq!(got, entries(1..=3));
    assert_eq!(cursor.position().seq(), writer.log().head().last);
    store.settle(&run, 1);
    assert_eq!(drain(&mut cursor, limit(10)), []);
    for _ in 0..9 {
        got.extend(drain(&mut cursor, limit(10)));
    }
    assert_eq!(got, entries(1..=5));
}

#[tokio::test]
async fn an_append_that_the_store_refused_once_may_be_repeated() {
    let Slow { store, writer, run, .. } = slow(LogOptions::default()).await;
    store.refuse_appends(&run, 2);
    assert!(writer.append([event(1)]).await.is_err_and(|error| error.is_retryable()));
    let mut events = vec![event(1), event(2)];
    assert!(writer.try_append(&mut events).is_err());
    assert_eq!(events, [event(1), event(2)], "they stay with their producer");
    assert_eq!(writer.try_append(&mut events).unwrap(), Some(seq(2)), "what was refused took no number");
    assert_eq!(writer.failed().map(|error| error.to_string()), None);
    store.settle(&run, 2);
    assert_eq!(writer.log().head().last, seq(2));
}

#[tokio::test]
async fn a_seal_that_is_durable_after_the_last_entry_still_wakes_the_readers() {
    let Slow { store, writer, run, .. } = slow(LogOptions::default()).await;
    store.refuse_seals(&run, 1);
    assert!(writer.finish(StatusUpdate::completed(1.into())).await.is_err());
    store.settle(&run, 1);
    let mut cursor = writer.log().cursor(Start::Beginning);
    assert_eq!(drain(&mut cursor, limit(10)), entries([1]));
    let read = waiting(&mut cursor);
    let mut finish = Box::pin(writer.finish(StatusUpdate::completed(1.into())));
    assert!(now(finish.as_mut()).is_none());
    assert_eq!(read.count(), 0);
    store.settle(&run, 1);
    assert_eq!(finish.await.unwrap(), seq(1));
    assert_eq!(read.count(), 1, "a reader that had everything hears that nothing follows");
    assert!(matches!(poll(&mut cursor, limit(10)), Some(Ok(None))));
}
