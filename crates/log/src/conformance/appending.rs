//! What a log accepts.

use std::{sync::Arc, thread};

use streamnest_core::{
    Appended, LogStore, Status, StoreError,
    payload::{Failure, StatusUpdate},
};

use super::probe::{Probe, entries, seq, status};

pub(super) async fn entries_are_dense_and_come_back_as_they_were(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "dense").await;
    let mut last = 0;
    for count in [1, 2, 10, 1, 100, 7] {
        log.append(last, &entries(last, count, 20)).await;
        last += count;
        assert_eq!(log.head().last, seq(last), "the head follows what is durable");
    }
    log.holds(&entries(0, last, 20)).await;
}

pub(super) async fn an_append_that_does_not_follow_the_last_entry_is_refused_whole(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "expected").await;
    log.append(0, &entries(0, 3, 10)).await;
    for expected in [0, 2, 4, 1_000_000] {
        match log.try_append(expected, &entries(expected, 2, 10)) {
            Err(StoreError::WrongLast { expected: asked, actual }) => {
                assert_eq!((asked, actual), (seq(expected), seq(3)), "the error names what was and what is");
            }
            other => {
                assert!(other.is_err(), "an append after {expected} to a log of 3 is accepted: {other:?}")
            }
        }
    }
    log.holds(&entries(0, 3, 10)).await;
    log.append(3, &entries(3, 1, 10)).await;
    log.holds(&entries(0, 4, 10)).await;
}

pub(super) async fn one_of_two_appends_at_once_wins(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "race").await;
    let (threads, rounds, mut last) = (4, 50, 0);
    for round in 0..rounds {
        let winners: Vec<usize> = thread::scope(|scope| {
            let append = |size| {
                let (stored, term, batch) = (&log.log, log.term, entries(last, 2, size));
                scope.spawn(move || stored.append(term, seq(last), &batch, &[]).is_ok().then_some(size))
            };
            let racers: Vec<_> = (0..threads).map(append).collect();
            let wins = racers.into_iter().map(|racer| racer.join());
            wins.flat_map(|win| win.expect("an append does not panic")).collect()
        });
        let [size] = winners.as_slice() else {
            unreachable!("in round {round} {} of {threads} appends at once were accepted", winners.len())
        };
        // The winner's durability may be reported before or after; a further append waits for both.
        log.append(last + 2, &entries(last + 2, 1, 5)).await;
        let mut expected = entries(last, 2, *size);
        expected.extend(entries(last + 2, 1, 5));
        log.holds(&expected).await;
        last += 3;
    }
}

pub(super) async fn a_sealed_log_takes_nothing_more_and_is_still_read(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "sealed").await;
    log.append(0, &entries(0, 5, 10)).await;
    log.seal(5).await;
    assert!(log.head().sealed, "the head of a sealed log says so");
    let sealed = |what: &str, error: Option<StoreError>| {
        let right = matches!(error, Some(StoreError::Sealed { last }) if last == seq(5));
        assert!(right, "{what} a sealed log is answered {error:?}, not `Sealed` with the last entry");
    };
    sealed("appending to", log.try_append(5, &entries(5, 1, 10)).err());
    sealed("sealing", log.try_seal(5).err());
    log.holds(&entries(0, 5, 10)).await;
    let again = Probe::open(&store, "sealed").await;
    assert!(again.head().sealed, "a sealed log stays sealed when it is opened again");
    let refused = again.try_append(5, &entries(5, 1, 10));
    assert!(
        matches!(refused, Err(StoreError::Sealed { .. })),
        "a new writer of a sealed log got {refused:?}"
    );
    again.holds(&entries(0, 5, 10)).await;
    let empty = Probe::open(&store, "sealed-empty").await;
    empty.seal(0).await;
    assert!(empty.head().sealed, "a log without entries can be sealed");
}

pub(super) async fn a_seal_that_does_not_follow_the_last_entry_is_refused(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "seal-expected").await;
    log.append(0, &entries(0, 3, 10)).await;
    for expected in [0, 2, 4] {
        let refused = log.try_seal(expected);
        let right = matches!(refused, Err(StoreError::WrongLast { .. }));
        assert!(right, "a seal after {expected} of a log of 3 is answered {refused:?}");
    }
    assert!(!log.head().sealed, "a refused seal seals nothing");
    log.append(3, &entries(3, 1, 10)).await;
}

pub(super) async fn the_head_knows_the_newest_status(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "status").await;
    log.append(0, &entries(0, 1, 10)).await;
    assert_eq!(log.head().status, None, "there is no status yet");
    log.append(1, &status(1, &StatusUpdate::running())).await;
    assert_eq!(log.head().status, Some(Status::Running));
    log.append(2, &entries(2, 2, 10)).await;
    assert_eq!(log.head().status, Some(Status::Running), "other entries do not change the status");
    let failure = Failure { code: "node_panicked".into(), message: "no".into(), node_id: None };
    let mut batch = entries(4, 1, 10);
    batch.extend(status(5, &StatusUpdate::failed(failure)));
    log.append(4, &batch).await;
    log.seal(6).await;
    assert_eq!(log.head().status, Some(Status::Failed), "the status of a batch counts");
    assert_eq!(Probe::open(&store, "status").await.head().status, Some(Status::Failed), "reopening keeps it");
}

pub(super) async fn the_largest_payloads_come_back_whole(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "large").await;
    let mut all = Vec::new();
    for size in [0, 1, 255, 256, 65_535, 65_536, 1 << 20, 4 << 20] {
        let last = all.len() as u64;
        let batch = entries(last, 2, size);
        let accepted = log.try_append(last, &batch);
        assert!(accepted.is_ok(), "payloads of {size} bytes are refused: {accepted:?}");
        if accepted.is_ok_and(|appended| appended == Appended::Pending) {
            log.durable(last + 2).await;
        }
        all.extend(batch);
    }
    log.holds(&all).await;
}
