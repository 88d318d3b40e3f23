//! Logs come, are opened again, and go.

use std::sync::Arc;

use streamnest_core::{LogStore, Seq, StoreError, Term};

use super::probe::{Probe, entries, listed, name, seq, set};

pub(super) async fn a_new_log_is_empty_and_open(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "new").await;
    let head = log.head();
    assert_eq!((head.trimmed, head.last), (Seq::BEFORE_FIRST, Seq::BEFORE_FIRST), "a new log is empty");
    assert!(!head.sealed, "a new log is not sealed");
    assert_eq!(head.status, None, "a new log has no status");
    assert!(head.term >= Term::FIRST, "a writer's term is at least 1");
    assert!(log.read(1, 10, 1 << 20).await.is_empty(), "a new log has nothing to read");
}

pub(super) async fn logs_do_not_share_entries(store: Arc<dyn LogStore>) {
    let ids: Vec<String> = (0..64).map(|n| format!("run:{n}~a.b_c-D")).collect();
    let mut logs = Vec::new();
    for id in &ids {
        logs.push(Probe::open(&store, id).await);
    }
    for round in 0..4 {
        for (n, log) in logs.iter().enumerate() {
            log.append(round * 3, &entries(round * 3, 3, n)).await;
        }
    }
    for (n, log) in logs.iter().enumerate() {
        log.holds(&entries(0, 12, n)).await;
    }
}

pub(super) async fn reopening_keeps_content_and_epoch_and_raises_the_term(store: Arc<dyn LogStore>) {
    let all = entries(0, 6, 10);
    let (early, late) = all.split_at(4);
    let first = Probe::open(&store, "again").await;
    first.append(0, early).await;
    let second = Probe::open(&store, "again").await;
    let (before, after) = (first.head(), second.head());
    assert_eq!(after.epoch, before.epoch, "nothing visible is gone, so the epoch stays");
    assert!(second.term > first.term, "the term rises from {:?}, but is {:?}", first.term, second.term);
    assert_eq!(after.last, seq(4), "the entries stay");
    second.holds(early).await;
    second.append(4, late).await;
    second.holds(&all).await;
}

pub(super) async fn a_deleted_log_comes_back_empty_in_another_epoch(store: Arc<dyn LogStore>) {
    let mut epochs = Vec::new();
    for round in 0..3 {
        let log = Probe::open(&store, "gone").await;
        let head = log.head();
        assert_eq!((head.trimmed.get(), head.last.get()), (0, 0), "in round {round} the log is not empty");
        assert!(!epochs.contains(&head.epoch), "epoch {:?} is used again for other content", head.epoch);
        epochs.push(head.epoch);
        log.append(0, &entries(0, 5, round)).await;
        if round == 1 {
            log.seal(5).await;
        }
        let other = Probe::open(&store, "stays").await;
        let last = other.head().last.get();
        other.append(last, &entries(last, 1, 0)).await;
        Probe::delete(&store, "gone").await;
        other.holds(&entries(0, last + 1, 0)).await;
    }
}

pub(super) async fn deleting_a_log_that_does_not_exist_does_nothing(store: Arc<dyn LogStore>) {
    Probe::delete(&store, "never-was").await;
}

pub(super) async fn a_log_is_made_once_and_only_what_was_made_is_opened(store: Arc<dyn LogStore>) {
    let missing = Probe::try_open(&store, "made").await.err();
    assert!(
        matches!(&missing, Some(StoreError::NotFound { name: missing }) if *missing == name("made")),
        "opening a log that does not exist is answered {missing:?}"
    );
    assert!(listed(&store, "", None, 10).await.is_empty(), "opening makes nothing");
    let log = Probe::create(&store, "made", &[]).await;
    assert!(log.term >= Term::FIRST, "a writer's term is at least 1");
    log.append(0, &entries(0, 3, 10)).await;
    let again = Probe::try_create(&store, "made", &[set("a", b"1")]).await.err();
    assert!(
        matches!(&again, Some(StoreError::Exists { name: exists }) if *exists == name("made")),
        "making a log that exists is answered {again:?}"
    );
    log.append(3, &entries(3, 1, 10)).await;
    log.holds(&entries(0, 4, 10)).await;
    assert!(log.head().attributes.is_empty(), "what was refused has changed nothing");
    Probe::delete(&store, "made").await;
    assert!(Probe::try_open(&store, "made").await.is_err(), "a deleted log is not there to be opened");
}

pub(super) async fn a_deleted_log_takes_nothing_more(store: Arc<dyn LogStore>) {
    let old = Probe::create(&store, "deleted", &[]).await;
    old.append(0, &entries(0, 3, 10)).await;
    Probe::delete(&store, "deleted").await;
    let refused = |what: &str, error: Option<StoreError>| {
        assert!(
            matches!(error, Some(StoreError::NotFound { .. })),
            "{what} a deleted log is answered {error:?}"
        );
    };
    refused("appending to", old.try_append(3, &entries(3, 1, 10)).err());
    refused("changing attributes of", old.try_append_with(3, &[], &[set("a", b"1")]).err());
    refused("sealing", old.try_seal(3).err());
    let new = Probe::create(&store, "deleted", &[]).await;
    refused("made anew, appending to", old.try_append(3, &entries(3, 1, 10)).err());
    assert_eq!(new.head().last, Seq::BEFORE_FIRST, "the new log is another one");
    new.append(0, &entries(0, 1, 10)).await;
    new.holds(&entries(0, 1, 10)).await;
}

pub(super) async fn a_fenced_writer_changes_nothing(store: Arc<dyn LogStore>) {
    let old = Probe::open(&store, "fenced").await;
    old.append(0, &entries(0, 3, 10)).await;
    let new = Probe::open(&store, "fenced").await;
    let fenced = |what: &str, error: Option<StoreError>| {
        let right = matches!(
            &error,
            Some(StoreError::Fenced { term, newest }) if *term == old.term.0 && *newest == new.term.0
        );
        assert!(right, "{what} of an older term is answered {error:?}, not `Fenced` with both terms");
    };
    fenced("append", old.try_append(3, &entries(3, 1, 10)).err());
    fenced("append at a wrong place", old.try_append(2, &entries(2, 1, 10)).err());
    fenced("seal", old.try_seal(3).err());
    fenced("trim", old.log.trim(old.term, seq(1)).err());
    new.holds(&entries(0, 3, 10)).await;
    assert!(!new.head().sealed, "a fenced seal seals nothing");
    new.append(3, &entries(3, 1, 10)).await;
    new.seal(4).await;
    fenced("append to a log that is sealed", old.try_append(4, &entries(4, 1, 10)).err());
}

pub(super) async fn only_the_newest_of_three_writers_appends(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "terms").await;
    log.append(0, &entries(0, 1, 10)).await;
    let again = Probe::open(&store, "terms").await;
    let third = Probe::open(&store, "terms").await;
    assert!(log.term < again.term && again.term < third.term, "each opening has a term of its own");
    third.append(1, &entries(1, 1, 10)).await;
    let refused = again.try_append(2, &entries(2, 1, 10));
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "the second of three writers got {refused:?}");
    third.holds(&entries(0, 2, 10)).await;
}
