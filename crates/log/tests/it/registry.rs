//! Logs are found, made, waited for and let go, within bounds.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use streamnest_core::payload::StatusUpdate;
use streamnest_log::{Error, LogOptions, Registry, Removal, Start, Writer};

use crate::support::{
    SetClock, append, drain, entries, event_of, id, limit, now, poll, registry, registry_at,
};

async fn finished(registry: &Registry, name: &str) -> Writer {
    let writer = registry.create(&id(name)).await.unwrap();
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    writer
}

#[tokio::test]
async fn an_id_names_one_log() {
    let registry = registry(LogOptions::default());
    assert!(
        registry.is_empty() && registry.get(&id("run")).is_none() && registry.writer(&id("run")).is_none()
    );
    let writer = registry.create(&id("run")).await.unwrap();
    assert!(
        matches!(registry.create(&id("run")).await, Err(Error::AlreadyExists { name }) if &*name == "executions/run")
    );
    assert!(Arc::ptr_eq(&registry.get(&id("run")).unwrap(), writer.log()));
    append(&registry.writer(&id("run")).unwrap(), 1).await;
    append(&writer, 1).await;
    let mut cursor = writer.log().cursor(Start::Beginning);
    assert_eq!(drain(&mut cursor, limit(10)), entries(1..=2));
    assert_eq!(registry.len(), 1);
}

#[tokio::test]
async fn many_who_make_one_id_at_once_make_one_log() {
    let registry = registry(LogOptions::default());
    let makers: Vec<_> = (0..50)
        .map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move { registry.create(&id("run")).await.is_ok() })
        })
        .collect();
    let mut made = 0;
    for maker in makers {
        made += u32::from(maker.await.unwrap());
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn running_logs_are_limited_and_the_oldest_finished_makes_room() {
    let clock = SetClock::new();
    let registry = registry_at(clock.clone(), LogOptions::default().with_max_logs(3));
    let first = registry.create(&id("first")).await.unwrap();
    let second = registry.create(&id("second")).await.unwrap();
    let third = registry.create(&id("third")).await.unwrap();
    let refused = registry.create(&id("fourth")).await;
    assert!(matches!(refused, Err(Error::TooManyLogs { limit: 3 })), "{refused:?}");
    for writer in [&second, &first] {
        writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    registry.create(&id("fourth")).await.unwrap();
    assert!(registry.get(&id("second")).is_none(), "it ended first");
    registry.create(&id("fifth")).await.unwrap();
    assert!(registry.get(&id("first")).is_none());
    assert!(registry.create(&id("sixth")).await.is_err(), "the rest run");
    assert!(registry.get(third.log().identity().name()).is_some());
    assert_eq!(registry.len(), 3);
}

#[tokio::test]
async fn running_logs_are_limited_in_bytes_and_finished_ones_make_room() {
    let registry = registry(LogOptions::default().with_max_total_bytes(10_000));
    let ended = registry.create(&id("ended")).await.unwrap();
    ended.append([event_of(1, 9_000)]).await.unwrap();
    ended.finish(StatusUpdate::completed(1.into())).await.unwrap();
    drop(ended);
    let runs = registry.create(&id("runs")).await.unwrap();
    runs.append([event_of(1, 9_000)]).await.unwrap();
    registry.create(&id("second")).await.unwrap();
    assert!(registry.get(&id("ended")).is_none() && registry.get(&id("runs")).is_some());
    runs.append([event_of(2, 9_000)]).await.unwrap();
    let refused = registry.create(&id("third")).await.unwrap_err();
    assert!(matches!(refused, Error::TooMuchKept { limit: 10_000 }) && refused.is_retryable(), "{refused:?}");
    runs.finish(StatusUpdate::completed(1.into())).await.unwrap();
    drop(runs);
    registry.create(&id("third")).await.unwrap();
    assert!(registry.get(&id("runs")).is_none());
}

#[tokio::test]
async fn a_log_made_anew_is_not_evicted_for_the_end_of_the_one_before() {
    let clock = SetClock::new();
    let registry = registry_at(clock.clone(), LogOptions::default().with_max_logs(2));
    finished(&registry, "again").await;
    registry.remove(&id("again")).await.unwrap();
    clock.advance(Duration::from_secs(1));
    finished(&registry, "older").await;
    clock.advance(Duration::from_secs(1));
    finished(&registry, "again").await;
    registry.create(&id("new")).await.unwrap();
    assert!(registry.get(&id("again")).is_some(), "of the two it ended last");
    assert!(registry.get(&id("older")).is_none());
}

#[tokio::test]
async fn a_log_made_anew_is_another_incarnation() {
    let registry = registry(LogOptions::default());
    let old = finished(&registry, "run").await;
    let position = old.log().position(old.log().head().last);
    registry.remove(&id("run")).await.unwrap();
    let new = registry.create(&id("run")).await.unwrap();
    append(&new, 3).await;
    assert_ne!(new.log().identity().epoch(), old.log().identity().epoch());
    let mut cursor = new.log().cursor(Start::After(position));
    assert!(matches!(poll(&mut cursor, limit(9)), Some(Ok(Some(streamnest_log::Read::Gap(_))))));
}

#[tokio::test]
async fn a_log_that_is_removed_tells_its_writer_and_its_readers() {
    let registry = registry(LogOptions::default());
    let writer = registry.create(&id("run")).await.unwrap();
    append(&writer, 2).await;
    let mut cursor = writer.log().cursor(Start::Beginning);
    registry.remove(&id("run")).await.unwrap();
    registry.remove(&id("run")).await.unwrap();
    assert_eq!(drain(&mut cursor, limit(1)), entries(1..=2), "what is at hand is read to its end");
    assert!(matches!(poll(&mut cursor, limit(1)), Some(Err(Error::Removed))));
    assert!(matches!(writer.append([]).await, Err(Error::Removed)));
    let ended = finished(&registry, "ended").await;
    let mut cursor = ended.log().cursor(Start::Now);
    registry.remove(&id("ended")).await.unwrap();
    assert!(matches!(poll(&mut cursor, limit(1)), Some(Ok(None))), "who has read an ended log has it all");
}

#[tokio::test]
async fn whoever_asked_hears_of_each_log_that_goes() {
    let registry = registry(LogOptions::default().with_max_logs(1));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let tells = heard.clone();
    registry.on_removed(move |name, removal| tells.lock().unwrap().push((name.to_string(), removal)));
    finished(&registry, "evicted").await;
    registry.create(&id("removed")).await.unwrap();
    registry.remove(&id("removed")).await.unwrap();
    registry.remove(&id("never-was")).await.unwrap();
    let gone = |name: &str| (format!("executions/{name}"), Removal::Deleted);
    assert_eq!(
        *heard.lock().unwrap(),
        [gone("evicted"), gone("removed")],
        "the memory store keeps nothing evicted"
    );
}

#[tokio::test]
async fn a_reader_may_wait_for_a_log_that_does_not_exist_yet() {
    let registry = registry(LogOptions::default());
    let waiting = registry.clone();
    let waiter = tokio::spawn(async move { waiting.wait_for(&id("late")).await });
    let other = registry.clone();
    let another = tokio::spawn(async move { other.wait_for(&id("later")).await });
    tokio::task::yield_now().await;
    registry.create(&id("early")).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    let writer = registry.create(&id("late")).await.unwrap();
    assert!(Arc::ptr_eq(&waiter.await.unwrap().unwrap(), writer.log()));
    assert!(Arc::ptr_eq(&registry.wait_for(&id("late")).await.unwrap(), writer.log()));
    assert!(!another.is_finished());
    another.abort();
}

#[tokio::test]
async fn waiters_are_limited_and_one_that_gives_up_makes_room() {
    let registry = registry(LogOptions::default().with_max_waiters(3));
    let ids = [id("a"), id("a"), id("b")];
    let mut waiters: Vec<_> = ids.iter().map(|id| Box::pin(registry.wait_for(id))).collect();
    for waiter in &mut waiters {
        assert!(now(waiter.as_mut()).is_none());
    }
    let refused = registry.wait_for(&id("c")).await;
    assert!(matches!(refused, Err(Error::TooManyWaiters { limit: 3 })), "{refused:?}");
    waiters.pop();
    let c = id("c");
    let mut waiter = Box::pin(registry.wait_for(&c));
    assert!(now(waiter.as_mut()).is_none());
    drop(waiters.remove(0));
    registry.create(&id("a")).await.unwrap();
    assert!(waiters.remove(0).await.is_ok(), "that another gave up changes nothing");
    // A log that exists is not waited for, so no limit stands in the way.
    registry.create(&id("b")).await.unwrap();
    let more: Vec<_> = (0..3).map(|n| id(&format!("more{n}"))).collect();
    let mut full: Vec<_> = more.iter().map(|id| Box::pin(registry.wait_for(id))).collect();
    let placed = full.iter_mut().filter_map(|waiter| now(waiter.as_mut())).count();
    assert_eq!(placed, 1, "two waiters have a place beside the one for c, the third is refused");
    assert!(registry.wait_for(&id("b")).await.is_ok());
}

#[tokio::test]
async fn a_zero_bound_that_leaves_no_room_is_refused_by_name() {
    let bad = LogOptions::default().with_max_logs(0).validate();
    assert!(matches!(bad, Err(Error::InvalidOption { option: "max_logs" })), "{bad:?}");
    let none = LogOptions::default().with_max_waiters(0);
    assert!(none.validate().is_ok(), "that nobody may wait is a choice");
    assert!(matches!(registry(none).wait_for(&id("x")).await, Err(Error::TooManyWaiters { limit: 0 })));
}

#[tokio::test]
async fn an_event_over_the_limit_is_refused_with_all_that_came_with_it() {
    let writer =
        registry(LogOptions::default().with_max_event_bytes(1_000)).create(&id("run")).await.unwrap();
    let events = [crate::support::event_of(1, 10), crate::support::event_of(2, 2_000)];
    let refused = writer.append(events).await;
    assert!(matches!(refused, Err(Error::EventTooLarge { limit: 1_000, size: 2_000.. })), "{refused:?}");
    assert_eq!(writer.log().head().last.get(), 0);
}
