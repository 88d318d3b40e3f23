//! The attributes of a log, and entries that are bytes.

use std::sync::Arc;

use bytes::Bytes;
use streamnest_core::{AttributeChange, Attributes, LogStore, StoreError};

use super::probe::{Probe, entries, listed, raw, seq, set, unset};

/// Attributes with these keys and values.
fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    let mut attributes = Attributes::new();
    pairs.iter().for_each(|(key, value)| set(key, value.as_bytes()).apply(&mut attributes));
    attributes
}

pub(super) async fn attributes_are_set_and_removed_with_their_append(store: Arc<dyn LogStore>) {
    let log =
        Probe::create(&store, "attributes", &[set("content-type", b"text/plain"), set("gone", b"1")]).await;
    let expect = |pairs: &[(&str, &str)], when: &str| {
        assert_eq!(log.head().attributes, attributes(pairs), "{when}");
    };
    expect(&[("content-type", "text/plain"), ("gone", "1")], "a log has what it was made with");
    log.append_with(0, &entries(0, 2, 10), &[set("producer/é\u{0}", b"7"), unset("gone"), unset("never")])
        .await;
    expect(&[("content-type", "text/plain"), ("producer/é\u{0}", "7")], "after an append with changes");
    // Later changes win, within an append and between appends.
    log.append_with(2, &[], &[set("producer/é\u{0}", b"8"), set("empty", b""), set("empty", b"x")]).await;
    log.append_with(2, &[], &[set("empty", b"")]).await;
    let last = [("content-type", "text/plain"), ("empty", ""), ("producer/é\u{0}", "8")];
    expect(&last, "after appends without entries");
    assert_eq!(log.head().last, seq(2), "an append without entries moves no end");
    log.holds(&entries(0, 2, 10)).await;
    let again = Probe::open(&store, "attributes").await;
    assert_eq!(again.head().attributes, attributes(&last), "attributes outlive their writer");
    again.append_with(2, &entries(2, 1, 10), &[unset("empty")]).await;
    again.holds(&entries(0, 3, 10)).await;
    let other = Probe::open(&store, "attributes-of-none").await;
    assert!(other.head().attributes.is_empty(), "logs share no attributes");
}

pub(super) async fn a_refused_append_changes_no_attribute(store: Arc<dyn LogStore>) {
    let old = Probe::create(&store, "refused", &[set("a", b"1")]).await;
    let new = Probe::open(&store, "refused").await;
    let change = [set("a", b"2")];
    let refused = old.try_append_with(0, &entries(0, 1, 10), &change);
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "of an older term: {refused:?}");
    let refused = new.try_append_with(1, &[], &change);
    assert!(matches!(refused, Err(StoreError::WrongLast { .. })), "at a wrong place: {refused:?}");
    new.seal(0).await;
    let refused = new.try_append_with(0, &entries(0, 1, 10), &change);
    assert!(matches!(refused, Err(StoreError::Sealed { .. })), "with an entry after the seal: {refused:?}");
    assert_eq!(new.head().attributes, attributes(&[("a", "1")]), "none of them changed anything");
}

pub(super) async fn a_sealed_log_still_changes_attributes(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "sealed-attributes").await;
    log.append(0, &entries(0, 3, 10)).await;
    log.seal(3).await;
    log.append_with(3, &[], &[set("subscription/a", b"3")]).await;
    let again = Probe::open(&store, "sealed-attributes").await;
    assert!(again.head().sealed, "it stays sealed");
    assert_eq!(again.head().attributes, attributes(&[("subscription/a", "3")]));
    again.holds(&entries(0, 3, 10)).await;
}

pub(super) async fn a_trim_keeps_attributes(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "trimmed-attributes").await;
    log.append_with(0, &entries(0, 5, 10), &[set("a", b"1")]).await;
    let answer = log.log.trim(log.term, seq(5));
    assert!(answer.is_ok(), "trim of all is refused: {answer:?}");
    assert_eq!(log.head().attributes, attributes(&[("a", "1")]));
    assert_eq!(Probe::open(&store, "trimmed-attributes").await.head().attributes, attributes(&[("a", "1")]));
}

pub(super) async fn many_and_large_attributes_come_back_whole(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "large-attributes").await;
    let key = |n: usize| format!("{n}/{}", "k".repeat(n % 1_000));
    let changes: Vec<AttributeChange> =
        (0..2_000).map(|n| set(&key(n), Bytes::from(vec![n as u8; n % 700]).as_ref())).collect();
    log.append_with(0, &entries(0, 1, 10), &changes).await;
    log.append_with(1, &[], &[set("large", &vec![7; 1 << 18])]).await;
    let kept = Probe::open(&store, "large-attributes").await.head().attributes;
    assert_eq!(kept.len(), 2_001, "all are kept");
    assert!(kept.get("large").is_some_and(|value| value.len() == 1 << 18), "the large one is whole");
    let same = |n: usize| kept.get(key(n).as_str()).is_some_and(|value| **value == vec![n as u8; n % 700]);
    assert!((0..2_000).all(same), "each has its value");
}

pub(super) async fn entries_may_be_any_bytes(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "bytes").await;
    let all = [raw(1, b""), raw(2, &[0, 255, 10, 13]), raw(3, "no { json".as_bytes())];
    log.append(0, &all).await;
    log.holds(&all).await;
    Probe::open(&store, "bytes").await.holds(&all).await;
}

pub(super) async fn logs_are_listed_in_order_and_page_by_page(store: Arc<dyn LogStore>) {
    assert!(listed(&store, "", None, 10).await.is_empty(), "an empty store lists nothing");
    for name in ["b", "a/2", "a/10", "a/1", "ab", "c"] {
        let log = Probe::create_named(&store, name, &[set("of", name.as_bytes())]).await;
        log.append(0, &entries(0, 3, 100)).await;
        if name == "a/1" {
            log.seal(3).await;
        }
    }
    let names = |list: &[(String, streamnest_core::StoredHead)]| -> Vec<String> {
        list.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&listed(&store, "", None, 100).await), ["a/1", "a/10", "a/2", "ab", "b", "c"]);
    assert_eq!(names(&listed(&store, "a/", None, 100).await), ["a/1", "a/10", "a/2"]);
    assert_eq!(names(&listed(&store, "a/", None, 2).await), ["a/1", "a/10"]);
    assert_eq!(names(&listed(&store, "a/", Some("a/10"), 2).await), ["a/2"]);
    assert_eq!(
        names(&listed(&store, "b", Some("a/10"), 2).await),
        ["b"],
        "what comes before the prefix is no start"
    );
    assert!(listed(&store, "a/", Some("ab"), 2).await.is_empty());
    assert!(listed(&store, "nothing", None, 2).await.is_empty());
    for (name, head) in listed(&store, "", None, 100).await {
        assert_eq!((head.last, head.sealed), (seq(3), name == "a/1"), "the head of `{name}`");
        assert_eq!(
            head.time,
            entries(2, 1, 0).first().map(|entry| entry.time()),
            "the time of the last entry"
        );
        assert!(head.bytes >= 300, "three entries of 100 bytes take {} bytes", head.bytes);
        assert_eq!(head.attributes, attributes(&[("of", &name)]));
    }
    Probe::delete(&store, "a/10").await;
    assert_eq!(names(&listed(&store, "a/", None, 100).await), ["a/1", "a/2"], "a deleted log is not listed");
}
