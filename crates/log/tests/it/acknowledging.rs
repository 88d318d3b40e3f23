//! Named subscriptions and who follows.

use std::sync::Arc;

use streamnest_log::{Acknowledger, Error, LogOptions, Registry, Start};

use crate::{
    slow_store::SlowStore,
    support::{SetClock, append, drain, entries, id, limit, now, registry, seq},
};

#[tokio::test]
async fn a_named_subscription_starts_again_after_what_it_acknowledged() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    append(&writer, 10).await;
    let log = writer.log();
    assert_eq!(log.acknowledged("billing"), None);
    log.acknowledge("billing", seq(4)).unwrap();
    log.acknowledge("billing", seq(2)).unwrap();
    assert_eq!(log.acknowledged("billing"), Some(seq(4)), "an older acknowledgement changes nothing");
    let from = log.position(log.acknowledged("billing").unwrap());
    let mut cursor = log.cursor(Start::After(from));
    assert_eq!(drain(&mut cursor, limit(100)), entries(5..=10));
    assert_eq!(log.acknowledged("audit"), None);
}

#[tokio::test]
async fn an_acknowledgement_ahead_of_the_log_is_refused() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    append(&writer, 1).await;
    let refused = writer.log().acknowledge("a", seq(2));
    assert!(matches!(refused, Err(Error::AcknowledgedAhead { .. })), "{refused:?}");
    assert_eq!(writer.log().acknowledged("a"), None);
}

#[tokio::test]
async fn an_acknowledgement_for_good_waits_until_nothing_undoes_it() {
    let store = Arc::new(SlowStore::default());
    let registry = Registry::new(store.clone(), SetClock::new(), LogOptions::default());
    let run = id("run");
    let writer = registry.create(&run).await.unwrap();
    append(&writer, 5).await;
    store.settle(&run, 5);
    let log = writer.log();
    let mut first = Box::pin(log.acknowledge_durably("screen", seq(3), &Acknowledger::Anyone));
    assert!(now(first.as_mut()).is_none(), "it is on its way");
    let mut second = Box::pin(log.acknowledge_durably("screen", seq(5), &Acknowledger::Anyone));
    assert!(now(second.as_mut()).is_none());
    store.settle(&run, 1);
    first.await.unwrap();
    assert!(now(second.as_mut()).is_none(), "it came while the other was on its way, and went after it");
    store.settle(&run, 1);
    second.await.unwrap();
    log.acknowledge_durably("screen", seq(4), &Acknowledger::Anyone)
        .await
        .expect("what is behind is there already");
    let ahead = log.acknowledge_durably("screen", seq(6), &Acknowledger::Anyone).await;
    assert!(matches!(ahead, Err(Error::AcknowledgedAhead { .. })), "{ahead:?}");
    store.refuse_appends(&run, 2);
    let refused = log.acknowledge_durably("other", seq(1), &Acknowledger::Anyone).await;
    assert!(matches!(refused, Err(Error::Store(_))), "who waits is told: {refused:?}");
    let mut lost = Box::pin(log.acknowledge_durably("other", seq(2), &Acknowledger::Anyone));
    assert!(now(lost.as_mut()).is_none());
    store.fail(&run);
    assert!(matches!(lost.await, Err(Error::Store(_))));
}

#[tokio::test]
async fn who_waits_for_a_name_that_is_forgotten_goes_on_and_names_it_within_the_users_share() {
    let (store, run) = (Arc::new(SlowStore::default()), id("run"));
    let options = LogOptions::default().with_max_subscriptions_per_user(1);
    let registry = Registry::new(store.clone(), SetClock::new(), options);
    let writer = registry.create(&run).await.unwrap();
    append(&writer, 5).await;
    store.settle(&run, 5);
    let log = writer.log();
    let by_eve = user("acme/eve");
    let eve = |name: &'static str, n| log.acknowledge_durably(name, seq(n), &by_eve);
    let mut waits = Box::pin(eve("screen", 3));
    assert!(now(waits.as_mut()).is_none(), "it is on its way");
    assert!(log.forget_subscription("screen", &Acknowledger::Anyone).unwrap());
    waits.await.expect("a name that is forgotten promises nothing");
    log.acknowledge_as("other", seq(1), &user("acme/eve")).unwrap();
    let refused = eve("screen", 4).await;
    assert!(matches!(refused, Err(Error::TooManySubscriptionsOfUser { limit: 1 })), "{refused:?}");
}

/// One who may use only names of its own.
fn user(key: &str) -> Acknowledger {
    Acknowledger::User { key: key.into(), uses_others: false }
}

#[tokio::test]
async fn a_name_is_used_by_who_gave_it_and_by_who_may_use_all() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    append(&writer, 9).await;
    let log = writer.log();
    let (ada, eve) = (user("acme/ada"), user("acme/eve"));
    let ops = Acknowledger::User { key: "acme/ops".into(), uses_others: true };
    log.acknowledge_as("billing", seq(2), &ada).unwrap();
    for refused in [
        log.acknowledge_as("billing", seq(9), &eve),
        log.acknowledge_durably("billing", seq(9), &eve).await,
        log.check_subscription("billing", &eve),
        log.forget_subscription("billing", &eve).map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), "subscription_of_another");
    }
    assert_eq!(log.acknowledged("billing"), Some(seq(2)), "it has not moved");
    for (by, n) in [(&ada, 3), (&ops, 4), (&Acknowledger::Anyone, 5)] {
        log.check_subscription("billing", by).unwrap();
        log.acknowledge_as("billing", seq(n), by).unwrap();
        assert_eq!(log.acknowledged("billing"), Some(seq(n)));
    }
    assert!(log.acknowledge_as("billing", seq(6), &eve).is_err(), "it is still ada's");
    // What nobody in particular has named is anybody's.
    log.acknowledge("shared", seq(1)).unwrap();
    log.acknowledge_as("shared", seq(2), &eve).unwrap();
    assert!(log.forget_subscription("billing", &ada).unwrap());
    log.acknowledge_as("billing", seq(1), &eve).expect("a name that was deleted is new");
}

/// The sequence that the attribute of a subscription begins with.
fn acknowledged_in(value: bytes::Bytes) -> String {
    String::from_utf8(value.to_vec()).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn names_that_nobody_uses_give_way_and_nobody_names_more_than_a_share() {
    let (clock, ttl) = (SetClock::new(), std::time::Duration::from_secs(60));
    let options = LogOptions::default()
        .with_max_subscriptions(3)
        .with_max_subscriptions_per_user(2)
        .with_subscription_ttl(ttl);
    let store = Arc::new(SlowStore::default());
    let registry = Registry::new(store, clock.clone(), options);
    let writer = registry.create(&id("run")).await.unwrap();
    let log = writer.log();
    let none = streamnest_core::Seq::BEFORE_FIRST;
    let eve = |name: &str| log.acknowledge_as(name, none, &user("acme/eve"));
    eve("1").unwrap();
    eve("2").unwrap();
    assert!(matches!(eve("3"), Err(Error::TooManySubscriptionsOfUser { limit: 2 })));
    log.acknowledge_as("dash", none, &user("acme/ada")).unwrap();
    assert!(matches!(log.acknowledge("more", none), Err(Error::TooManySubscriptions { limit: 3 })));
    // One that is deleted makes room.
    let delete = |name: &str, by: &str| log.forget_subscription(name, &user(by));
    assert!(delete("2", "acme/eve").unwrap() && !delete("2", "acme/eve").unwrap());
    log.acknowledge("more", none).unwrap();
    // What is used stays when its time is over, and what is not gives way.
    clock.advance(ttl / 2);
    log.acknowledge("dash", none).unwrap();
    clock.advance(ttl / 2);
    log.acknowledge("new", none).unwrap();
    let names: Vec<_> = log.subscriptions().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["dash", "new"]);
}

#[tokio::test]
async fn names_that_give_way_together_are_one_append() {
    let (store, clock) = (Arc::new(SlowStore::default()), SetClock::new());
    let options = LogOptions::default().with_max_subscriptions(50);
    let age = options.subscription_ttl;
    let registry = Registry::new(store.clone(), clock.clone(), options);
    let run = id("run");
    let writer = registry.create(&run).await.unwrap();
    append(&writer, 1).await;
    store.settle(&run, 1);
    let log = writer.log();
    for number in 0..50 {
        log.acknowledge(&format!("old-{number}"), seq(1)).unwrap();
        store.settle(&run, 0);
    }
    clock.advance(age);
    let before = store.changes(&run);
    log.acknowledge("new", seq(1)).unwrap();
    assert_eq!(store.changes(&run) - before, 2, "the removals, and the new one");
    store.settle(&run, 0);
    let kept = log.attributes("subscription/").into_iter();
    let kept: Vec<_> = kept.map(|(key, _)| key.to_string()).collect();
    assert_eq!(kept, ["subscription/new"]);
}

#[tokio::test]
async fn a_log_remembers_no_more_names_than_it_may() {
    let writer = registry(LogOptions::default().with_max_subscriptions(2)).create(&id("run")).await.unwrap();
    append(&writer, 3).await;
    let log = writer.log();
    log.acknowledge("a", seq(1)).unwrap();
    log.acknowledge("b", seq(1)).unwrap();
    assert!(matches!(log.acknowledge("c", seq(1)), Err(Error::TooManySubscriptions { limit: 2 })));
    log.acknowledge("a", seq(3)).unwrap();
    assert_eq!(log.acknowledged("a"), Some(seq(3)), "names that are known go on");
}

#[tokio::test]
async fn a_name_that_there_is_no_room_for_is_told_and_keeps_no_other_from_being_stored() {
    let writer = registry(LogOptions::default().with_max_attributes(1)).create(&id("run")).await.unwrap();
    append(&writer, 5).await;
    let log = writer.log();
    let stored = |name: &str| log.attribute(&format!("subscription/{name}")).map(acknowledged_in);
    log.acknowledge_durably("known", seq(1), &Acknowledger::Anyone).await.unwrap();
    let refused = log.acknowledge("new", seq(1));
    assert!(matches!(refused, Err(Error::TooManyAttributes { limit: 1 })), "{refused:?}");
    let refused = log.acknowledge_durably("new", seq(2), &Acknowledger::Anyone).await;
    assert!(matches!(refused, Err(Error::TooManyAttributes { limit: 1 })), "{refused:?}");
    assert_eq!((log.acknowledged("new"), log.subscriptions().len()), (None, 1), "it is not remembered");
    log.acknowledge("known", seq(3)).unwrap();
    assert_eq!(stored("known").as_deref(), Some("3"));
    log.acknowledge_durably("known", seq(5), &Acknowledger::Anyone).await.unwrap();
    assert_eq!((stored("known").as_deref(), stored("new").as_deref()), (Some("5"), None));
}

#[tokio::test]
async fn a_name_that_was_refused_takes_no_place() {
    let options = LogOptions::default().with_max_attributes(1).with_max_subscriptions(2);
    let writer = registry(options).create(&id("run")).await.unwrap();
    append(&writer, 3).await;
    let log = writer.log();
    log.acknowledge("known", seq(1)).unwrap();
    for n in 0..5 {
        // Each for want of room for attributes, none because the ones before were counted.
        let refused = log.acknowledge(&format!("new-{n}"), seq(1));
        assert!(matches!(refused, Err(Error::TooManyAttributes { limit: 1 })), "{refused:?}");
    }
}

#[tokio::test]
async fn of_names_that_came_together_those_are_stored_that_there_is_room_for() {
    let store = Arc::new(SlowStore::default());
    let options = LogOptions::default().with_max_attributes(2);
    let registry = Registry::new(store.clone(), SetClock::new(), options);
    let run = id("run");
    let writer = registry.create(&run).await.unwrap();
    append(&writer, 5).await;
    store.settle(&run, 5);
    let log = writer.log();
    log.acknowledge("first", seq(1)).unwrap();
    // What is known waits for the first to be stored; what is new has its place before anybody relies on it, or none.
    log.acknowledge("first", seq(2)).unwrap();
    log.acknowledge("second", seq(1)).unwrap();
    let refused = log.acknowledge("third", seq(1));
    assert!(matches!(refused, Err(Error::TooManyAttributes { limit: 2 })), "{refused:?}");
    (0..4).for_each(|_| store.settle(&run, 1));
    let mut kept: Vec<_> = log.attributes("subscription/").into_iter().collect();
    kept.sort();
    let kept: Vec<_> =
        kept.iter().map(|(key, value)| (key.as_str(), acknowledged_in(value.clone()))).collect();
    assert_eq!(kept, [("subscription/first", "2".into()), ("subscription/second", "1".into())]);
    let refused = log.acknowledge("third", seq(2));
    assert!(matches!(refused, Err(Error::TooManyAttributes { limit: 2 })), "{refused:?}");
}

#[tokio::test]
async fn cursors_are_counted_while_they_follow_and_observers_are_not() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    let log = writer.log();
    let mut none = Box::pin(log.subscribers_become(|count| count == 0));
    let first = log.cursor(Start::Now);
    let second = log.cursor(Start::Now);
    let observer = log.observer(Start::Now);
    assert_eq!(log.subscribers(), 2);
    assert!(now(none.as_mut()).is_none());
    drop(first);
    assert!(now(none.as_mut()).is_none());
    drop(second);
    none.await;
    drop(observer);
    assert_eq!(log.subscribers(), 0);
}
