//! What is read back, and what is forgotten.

use std::sync::Arc;

use streamnest_core::{LogStore, StoreError};

use super::probe::{Probe, entries, raw, same, seq};
use crate::wake::yield_once;

pub(super) async fn a_read_keeps_to_its_limits_and_returns_at_least_one(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "limits").await;
    let all = entries(0, 50, 1_000);
    log.append(0, &all).await;
    let weight = all.iter().map(|entry| entry.weight()).max().unwrap_or_default();
    for from in [1, 2, 25, 49, 50] {
        let rest = all.iter().skip(from - 1).cloned().collect::<Vec<_>>();
        for limit in [1, 2, 7, 50, 1_000] {
            let read = log.read(from as u64, limit, usize::MAX).await;
            assert_eq!(read.len(), limit.min(rest.len()), "from {from}, at most {limit} entries");
            same(&read, rest.get(..read.len()).unwrap_or_default());
        }
        let one = log.read(from as u64, 1_000, 1).await;
        assert_eq!(one.len(), 1, "an entry larger than the limit in bytes is returned alone");
        let some = log.read(from as u64, 1_000, weight * 10).await;
        // The limit in bytes is about: an entry more or less of ten is as good.
        let (least, most) = (rest.len().min(9), rest.len().min(12));
        assert!((least..=most).contains(&some.len()), "{} entries for the bytes of 10", some.len());
        same(&some, rest.get(..some.len()).unwrap_or_default());
    }
}

pub(super) async fn a_passage_is_what_the_entries_say(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "passage").await;
    let mut all = entries(0, 30, 100);
    log.append(0, &all).await;
    // Long ones, and one that says nothing, among short ones.
    all.extend(
        [(31, 70_000), (32, 10), (33, 400_000), (34, 0), (35, 5)]
            .map(|(seq, bytes)| raw(seq, &vec![b'r'; bytes])),
    );
    for entry in all.iter().skip(30) {
        log.append(entry.seq().get() - 1, std::slice::from_ref(entry)).await;
    }
    for lead in [None, Some(b',')] {
        for (from, limit, bytes) in [
            (1, 1_000, usize::MAX),
            (7, 5, usize::MAX),
            (29, 1_000, usize::MAX),
            (1, 1_000, 1),
            (3, 1_000, 500),
            (32, 4, 50_000),
        ] {
            let (mut next, mut said) = (from, Vec::new());
            loop {
                let passage = log.passage(next, limit, bytes, lead).await;
                let begun = said.len();
                let entries = passage.entries() as usize;
                if entries == 0 {
                    break;
                }
                let told = passage.bytes();
                assert!(
                    entries == 1 || told <= bytes,
                    "from {next}, at most {bytes} bytes, there are {told}"
                );
                assert!(entries <= limit, "from {next}, at most {limit} entries, there are {entries}");
                passage.into_pieces().iter().for_each(|piece| said.extend_from_slice(piece));
                let read = all.iter().skip(next as usize - 1).take(entries);
                let expected =
                    read.flat_map(|entry| lead.into_iter().chain(entry.event().payload().iter().copied()));
                let same = said.iter().skip(begun).copied().eq(expected);
                assert!(same, "{entries} entries from {next} do not say what was appended");
                next += entries as u64;
            }
            assert_eq!(next, 36, "a reader of passages from {from} does not come to the end");
        }
    }
    let answer = log.log.trim(log.term, seq(20));
    assert!(answer.is_ok(), "a trim is refused: {answer:?}");
    let refused = log.log.read_passage(seq(20), 10, 1 << 20, None).await;
    let right = matches!(refused, Err(StoreError::Trimmed { trimmed }) if trimmed == seq(20));
    assert!(right, "a passage from 20, trimmed up to 20, is answered {refused:?}");
    assert_eq!(log.passage(21, 1, 1 << 20, None).await.entries(), 1);
}

pub(super) async fn a_read_past_the_end_is_empty(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "end").await;
    for last in 0..3 {
        for from in [last + 1, last + 2, 1_000_000] {
            let read = log.read(from, 10, 1 << 20).await;
            assert!(read.is_empty(), "from {from} a log of {last} entries returns {}", read.len());
        }
        log.append(last, &entries(last, 1, 10)).await;
    }
}

pub(super) async fn trimmed_entries_are_gone_and_said_to_be(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "trim").await;
    let all = entries(0, 20, 10);
    log.append(0, &all).await;
    // The third and fourth trim nothing new.
    for (up_to, trimmed) in [(1, 1), (7, 7), (3, 7), (7, 7), (12, 12)] {
        let answer = log.log.trim(log.term, seq(up_to));
        assert!(answer.is_ok(), "trim up to {up_to} is refused: {answer:?}");
        assert_eq!(log.head().trimmed, seq(trimmed), "after a trim up to {up_to}");
        assert_eq!(log.head().last, seq(20), "a trim does not move the end");
        for from in [1, trimmed] {
            let read = log.log.read(seq(from), 10, 1 << 20).await;
            let right = matches!(read, Err(StoreError::Trimmed { trimmed: said }) if said == seq(trimmed));
            assert!(right, "a read from {from}, trimmed up to {trimmed}, is answered {read:?}");
        }
        log.holds(all.get(trimmed as usize..).unwrap_or_default()).await;
    }
    log.append(20, &entries(20, 2, 10)).await;
    log.holds(&entries(12, 10, 10)).await;
}

pub(super) async fn trimming_everything_keeps_counting(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "trim-all").await;
    log.append(0, &entries(0, 5, 10)).await;
    let answer = log.log.trim(log.term, seq(5));
    assert!(answer.is_ok(), "trim of all is refused: {answer:?}");
    let head = log.head();
    assert_eq!((head.trimmed, head.last), (seq(5), seq(5)), "an emptied log remembers where it stands");
    assert!(log.read(6, 10, 1 << 20).await.is_empty(), "an emptied log has nothing to read");
    let refused = log.try_append(0, &entries(0, 1, 10));
    assert!(matches!(refused, Err(StoreError::WrongLast { .. })), "numbers begin anew: {refused:?}");
    log.append(5, &entries(5, 3, 10)).await;
    log.holds(&entries(5, 3, 10)).await;
}

pub(super) async fn a_trim_survives_a_reopening(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "trim-reopen").await;
    log.append(0, &entries(0, 10, 10)).await;
    let answer = log.log.trim(log.term, seq(4));
    assert!(answer.is_ok(), "trim is refused: {answer:?}");
    let again = Probe::open(&store, "trim-reopen").await;
    let head = again.head();
    assert_eq!((head.trimmed, head.last), (seq(4), seq(10)), "a trim is kept, and so is what it left");
    assert_eq!(head.epoch, log.head().epoch, "what was trimmed was told to be gone: the epoch stays");
    again.holds(&entries(4, 6, 10)).await;
}

pub(super) async fn readers_and_an_appender_do_not_disturb_each_other(store: Arc<dyn LogStore>) {
    let log = Probe::open(&store, "both").await;
    let all = entries(0, 400, 50);
    let append = async {
        for (last, batch) in (0_u64..).step_by(4).zip(all.chunks(4)) {
            log.append(last, batch).await;
            yield_once().await;
        }
    };
    let read = async {
        let mut next = 1_u64;
        while next <= 400 {
            let found = log.read(next, 9, 1 << 20).await;
            let start = (next - 1) as usize;
            same(&found, all.get(start..start + found.len()).unwrap_or_default());
            next += found.len() as u64;
            yield_once().await;
        }
    };
    tokio::join!(append, read);
}
