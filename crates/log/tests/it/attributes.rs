//! Attributes of a log, as its writer and its readers see them.

use std::sync::Arc;

use bytes::Bytes;
use streamnest_core::{AttributeChange, LogName};
use streamnest_log::{Error, LogOptions, Registry};

use crate::{
    slow_store::SlowStore,
    support::{SetClock, event, id, now, registry, seq},
};

fn set(key: &str, value: &'static str) -> AttributeChange {
    AttributeChange::set(key, value).unwrap()
}

fn is(value: Option<Bytes>, expected: Option<&str>) -> bool {
    value.as_deref() == expected.map(str::as_bytes)
}

#[tokio::test]
async fn an_attribute_is_seen_when_it_is_durable_together_with_its_entries() {
    let store = Arc::new(SlowStore::default());
    let registry = Registry::new(store.clone(), SetClock::new(), LogOptions::default());
    let run = id("run");
    let writer = registry.create_with(&run, &[set("a", "0")]).await.unwrap();
    let log = writer.log().clone();
    assert!(is(log.attribute("a"), Some("0")), "what it was made with is there at once");

    let first = writer.append_with([event(1), event(2)], vec![set("a", "1"), set("b", "1")]).await.unwrap();
    assert_eq!(first.last, seq(2));
    assert!(
        is(log.attribute("a"), Some("0")) && is(writer.attribute("a"), Some("1")),
        "accepted, not durable"
    );
    assert!(now(writer.settled(first)).is_none());
    store.settle(&run, 1);
    assert!(now(writer.settled(first)).is_none() && is(log.attribute("b"), None), "half of it is not it");
    store.settle(&run, 1);
    writer.settled(first).await.unwrap();
    assert!(is(log.attribute("a"), Some("1")) && is(log.attribute("b"), Some("1")));

    let alone = writer.append_with([], vec![AttributeChange::remove("b").unwrap()]).await.unwrap();
    assert_eq!(alone.last, seq(2), "no entry, no number");
    assert!(is(writer.attribute("b"), None) && is(log.attribute("b"), Some("1")));
    assert!(now(writer.settled(alone)).is_none());
    store.settle(&run, 0);
    writer.settled(alone).await.unwrap();
    assert!(is(log.attribute("b"), None));
    assert_eq!(log.attributes("a").len(), 1);

    let again =
        Registry::new(store, SetClock::new(), LogOptions::default()).open(&run).await.unwrap().unwrap();
    assert!(is(again.log().attribute("a"), Some("1")) && is(again.log().attribute("b"), None));
}

#[tokio::test]
async fn attributes_that_are_lost_are_told_to_who_waits() {
    let store = Arc::new(SlowStore::default());
    let registry = Registry::new(store.clone(), SetClock::new(), LogOptions::default());
    let run = id("run");
    let writer = registry.create(&run).await.unwrap();
    let accepted = writer.append_with([], vec![set("a", "1")]).await.unwrap();
    store.fail(&run);
    assert!(matches!(writer.settled(accepted).await, Err(Error::Store(_))));
    assert!(is(writer.log().attribute("a"), None) && is(writer.attribute("a"), None));
}

#[tokio::test]
async fn attributes_keep_to_their_bounds_and_replacing_one_needs_no_room() {
    let options = LogOptions::default().with_max_attributes(2).with_max_attribute_bytes(20);
    let registry = registry(options);
    let writer = registry.create(&LogName::new("streams/a").unwrap()).await.unwrap();
    writer.append_with([], vec![set("a", "1"), set("b", "1")]).await.unwrap();
    let third = writer.append_with([event(1)], vec![set("c", "1")]).await;
    assert!(matches!(third, Err(Error::TooManyAttributes { limit: 2 })), "{third:?}");
    assert_eq!(writer.log().head().last, seq(0), "what is refused is refused whole");
    writer.append_with([], vec![set("a", "0123456789abcdef")]).await.unwrap();
    let large = writer.append_with([], vec![set("b", "333")]).await;
    assert!(matches!(large, Err(Error::AttributesTooLarge { limit: 20 })), "{large:?}");
    writer.append_with([], vec![AttributeChange::remove("a").unwrap()]).await.unwrap();
    writer.append_with([], vec![set("b", "22"), set("c", "1")]).await.unwrap();
    assert_eq!(writer.log().attributes("").len(), 2);
}
