//! Accepting is not keeping.

use std::sync::Arc;

use streamnest_core::{Appended, LogStore, StoreError};

use super::probe::{Probe, entries, same, seq};

pub(super) async fn what_is_accepted_becomes_durable_in_order(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "order").await;
    let mut pending = 0;
    for last in 0..200 {
        match log.try_append(last, &entries(last, 1, 30)) {
            Ok(Appended::Pending) => pending = last + 1,
            Ok(Appended::Durable) => {
                let durable = log.head().last;
                assert!(durable > seq(last), "entry {} is durable, but the head ends at {durable}", last + 1);
            }
            Err(error) => unreachable!("append after {last} is refused: {error}"),
        }
    }
    if pending > 0 {
        log.durable(pending).await;
    }
    assert_eq!(log.head().last, seq(200), "all that was accepted is durable in the end");
    log.holds(&entries(0, 200, 30)).await;
    let again = Probe::open(&store, "order").await;
    again.holds(&entries(0, 200, 30)).await;
}

pub(super) async fn nothing_is_read_before_it_is_durable(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "visible").await;
    let all = entries(0, 300, 100);
    for (last, batch) in (0_u64..).step_by(3).zip(all.chunks(3)) {
        let appended = log.try_append(last, batch);
        assert!(appended.is_ok(), "append after {last} is refused: {appended:?}");
        let head = log.head().last;
        // What is durable only grows, so a read after the look at the head holds at least that, and a look at what
        // the watch heard after the read holds at least what was read.
        let read = log.log.read(seq(1), 1_000, 1 << 30).await;
        let Ok(read) = read else { unreachable!("a read is refused: {:?}", read.err()) };
        assert!(
            read.len() as u64 >= head.get(),
            "the head is at {head}, yet only {} entries are read",
            read.len()
        );
        let now = log.head().last.get();
        assert!(read.len() as u64 <= now, "{} entries are read, and {now} are durable", read.len());
        same(&read, all.get(..read.len()).unwrap_or_default());
    }
    log.append(300, &entries(300, 1, 1)).await;
}

pub(super) async fn the_seal_is_durable_after_the_last_entry(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "seal-last").await;
    let appended = log.try_append(0, &entries(0, 10, 30));
    assert!(appended.is_ok(), "append is refused: {appended:?}");
    log.seal(10).await;
    let head = log.head();
    assert!(head.sealed, "the seal is durable, but the head does not say so");
    assert_eq!(head.last, seq(10), "the seal is durable before the entries that it follows");
    let (heard, sealed) = log.heard();
    assert!(!sealed || heard == 10, "the watch heard of the seal at {heard}, before the last entry");
    let refused = log.try_append(10, &entries(10, 1, 30));
    assert!(
        matches!(refused, Err(StoreError::Sealed { .. })),
        "after the seal an append is answered {refused:?}"
    );
}
