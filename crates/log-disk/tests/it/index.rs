//! What the store keeps in memory of its logs: it is bounded, and whoever it refuses is told.

use std::sync::Arc;

use streamnest_core::{
    AttributeChange, Entry, Event, LogStore as _, Status, StoreError, Timestamp, payload::StatusUpdate,
};

use crate::{
    simulated::Disk,
    support::{Probe, name, open, seq, small, wait},
};

/// The terminal status as the entry `number`.
fn end(number: u64) -> Arc<Entry> {
    let end = Event::status(&StatusUpdate::completed("done".into()));
    Arc::new(Entry::new(seq(number), Timestamp::from_micros(number), end))
}

/// Sets attributes until the index is full; how many.
fn fill(log: &Probe) -> usize {
    let filler = |n: usize| AttributeChange::set(&format!("filler/{n}"), "x").unwrap();
    let filled = (0..1_000).take_while(|n| match log.append_with(1, 10, &[filler(*n)]) {
        Ok(last) => log.durable(last).is_ok(),
        Err(error) => !matches!(error, StoreError::IndexFull { .. }),
    });
    filled.count()
}

#[test]
fn an_index_that_is_full_takes_no_log_and_no_attribute_more_until_something_is_deleted() {
    let disk = Disk::new();
    let options = small().with_max_index_bytes(20_000);
    let store = open(&disk, options.clone());
    let mut logs = Vec::new();
    let refused = loop {
        match Probe::create(&store, &format!("log{}", logs.len())) {
            Ok(log) => logs.push(log),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::IndexFull { limit: 20_000 }), "{refused}");
    assert!(refused.is_retryable() && refused.to_string().contains("max_index_bytes"), "{refused}");
    assert!(logs.len() > 10, "{} logs", logs.len());
    // What is there goes on, and comes back.
    let set = |value: &str| AttributeChange::set("key", value.to_owned()).unwrap();
    let first = &logs[0];
    first.durable(first.append(1, 10).unwrap()).unwrap();
    drop(logs);
    drop(store);
    let store = open(&disk, options);
    let first = Probe::open(&store, "log0").unwrap();
    first.durable(first.append(1, 10).unwrap()).unwrap();
    for id in ["log1", "log2", "log3", "log4", "log5"] {
        wait(store.delete(&name(id))).unwrap();
    }
    first.durable(first.append_with(1, 10, &[set("x")]).unwrap()).unwrap();
    assert!(fill(&first) >= 8);
    // A segment that is full gives room back a moment later: its index has the places then.
    let refused = (0..100).find_map(|n| {
        let other = AttributeChange::set(&format!("other/{n}"), "x").unwrap();
        match first.append_with(1, 10, std::slice::from_ref(&other)) {
            Ok(last) => {
                first.durable(last).unwrap();
                fill(&first);
                None
            }
            Err(error) => Some((other, error)),
        }
    });
    let (other, error) = refused.expect("it stays full");
    assert!(matches!(error, StoreError::IndexFull { .. }), "{error}");
    first.durable(first.append_with(1, 10, &[set("y")]).unwrap()).unwrap();
    let gone: Vec<_> = (0..8).map(|n| AttributeChange::remove(&format!("filler/{n}")).unwrap()).collect();
    first.durable(first.append_with(1, 10, &gone).unwrap()).unwrap();
    first.durable(first.append_with(1, 10, &[other]).unwrap()).unwrap();
}

#[test]
fn names_and_places_of_entries_take_room_in_the_index_and_all_of_it_is_given_back() {
    let disk = Disk::new();
    let store = open(&disk, small().with_segment_bytes(8 << 10));
    let empty = store.index_bytes();
    let short = Probe::create(&store, "a").unwrap();
    let one = store.index_bytes() - empty;
    let long = Probe::create(&store, &"b".repeat(120)).unwrap();
    assert!(store.index_bytes() - empty > 2 * one + 2 * 110, "a long name takes more");
    // Entries that lie apart have a place each, also once their segments are full.
    let before = store.index_bytes();
    for _ in 0..200 {
        short.durable(short.append(1, 100).unwrap()).unwrap();
        long.durable(long.append(1, 3_000).unwrap()).unwrap();
    }
    let places = store.index_bytes() - before;
    assert!(places > 20 * 64, "{places} bytes for many segments");
    let set = |value: &'static str| AttributeChange::set("key", value).unwrap();
    short.durable(short.append_with(1, 10, &[set("x")]).unwrap()).unwrap();
    short.durable(short.append_with(1, 10, &[set("longer")]).unwrap()).unwrap();
    short.log.trim(short.log.head().term, seq(150)).unwrap();
    assert!(store.index_bytes() - before < places, "what is trimmed has no place");
    short.durable(short.append_with(1, 10, &[AttributeChange::remove("key").unwrap()]).unwrap()).unwrap();
    store.compact().unwrap();
    for id in ["a", &"b".repeat(120)] {
        wait(store.delete(&name(id))).unwrap();
    }
    assert_eq!(store.index_bytes(), empty, "nothing is counted that is gone");
}

#[test]
fn attributes_that_wait_for_the_same_sync_do_not_pass_the_bound_together() {
    let disk = Disk::new();
    let limit = 50_000;
    let store = open(&disk, small().with_max_index_bytes(limit));
    let log = Probe::create(&store, "log").unwrap();
    let attribute = |n: u32| AttributeChange::set(&format!("key/{n}"), vec![b'x'; 1_000]).unwrap();
    let mut last = 0;
    let accepted =
        (0..1_000).take_while(|n| log.append_with(1, 10, &[attribute(*n)]).map(|seq| last = seq).is_ok());
    let accepted = accepted.count();
    assert!((20..50).contains(&accepted), "{accepted} attributes of some 1,100 bytes");
    log.durable(last).unwrap();
    assert!(store.index_bytes() <= limit, "{} bytes", store.index_bytes());
    // A key that is known goes on, whether it is durable or not.
    log.durable(log.append_with(1, 10, &[attribute(0)]).unwrap()).unwrap();
}

#[test]
fn what_runs_ends_though_the_index_is_full() {
    let disk = Disk::new();
    let store = open(&disk, small().with_max_index_bytes(20_000));
    let stream = Probe::create(&store, "stream").unwrap();
    let mut runs = Vec::new();
    while let Ok(run) = Probe::create(&store, &format!("run{}", runs.len())) {
        runs.push(run);
    }
    wait(store.delete(&name("run1"))).unwrap();
    assert!(fill(&runs[2]) > 0);
    let set = |key: &str| AttributeChange::set(key, "x").unwrap();
    assert!(matches!(stream.append_with(1, 10, &[set("producer/a")]), Err(StoreError::IndexFull { .. })));
    stream
        .durable(stream.append_with(1, 10, &[set("producer/a"), set("the end").ending()]).unwrap())
        .unwrap();
    let run = &runs[0].log;
    run.append(run.head().term, seq(0), &[end(1)], &[set("producer/a")]).unwrap();
    runs[0].durable(1).unwrap();
    assert_eq!((run.head().status, run.head().attributes.len()), (Some(Status::Completed), 1));
}

#[test]
fn places_of_entries_that_fill_the_index_are_refused_until_some_are_trimmed_but_not_the_end_of_a_log() {
    let (disk, limit) = (Disk::new(), 20_000);
    let options = small().with_max_index_bytes(limit);
    let store = open(&disk, options.clone());
    let (log, run) = (Probe::create(&store, "log").unwrap(), Probe::create(&store, "run").unwrap());
    // Two of them fill a segment, so that each other one has to be found in a segment of its own.
    let append = |log: &Probe| log.append(1, 3_000).and_then(|last| log.durable(last).map(|()| last));
    let mut last = 0;
    let refused = loop {
        match append(&log) {
            Ok(seq) => last = seq,
            Err(error) => break error,
        }
        assert!(store.index_bytes() <= limit, "{} bytes", store.index_bytes());
    };
    assert!(matches!(refused, StoreError::IndexFull { limit: 20_000 }), "{refused}");
    let told = refused.to_string();
    assert!(refused.is_retryable() && told.contains("max_index_bytes") && told.contains("trim"), "{told}");
    assert!(
        last > 100 && store.index_bytes() > limit / 4 * 3,
        "{last} entries, {} bytes",
        store.index_bytes()
    );
    // Other logs and attributes have found no room for long.
    assert!(matches!(Probe::create(&store, "other"), Err(StoreError::IndexFull { .. })));
    assert!(matches!(append(&run), Err(StoreError::IndexFull { .. })), "all logs share the room");
    let run_log = &run.log;
    run_log.append(run_log.head().term, seq(0), &[end(1)], &[]).unwrap();
    run.durable(1).unwrap();
    assert_eq!(run_log.head().status, Some(Status::Completed), "what runs ends");
    assert_eq!(log.read_all(1).entries.len() as u64, last, "reads go on");
    drop((log, run, store));

    let store = open(&disk, options);
    let log = Probe::open(&store, "log").unwrap();
    assert!(matches!(append(&log), Err(StoreError::IndexFull { .. })), "the next start knows of it");
    log.log.trim(log.log.head().term, seq(last / 2)).unwrap();
    append(&log).unwrap();
    assert_eq!(log.read_all(last / 2 + 1).entries.len() as u64, last - last / 2 + 1);
}

#[test]
fn places_that_wait_for_the_same_sync_do_not_pass_the_bound_together() {
    let (disk, limit) = (Disk::new(), 20_000);
    let store = open(&disk, small().with_segment_bytes(1 << 20).with_max_index_bytes(limit));
    let log = Probe::create(&store, "log").unwrap();
    let mut last = 0;
    let accepted = disk.while_nothing_is_written(|| {
        (0..10_000).take_while(|_| log.append(1, 10).map(|seq| last = seq).is_ok()).count()
    });
    assert!((100..400).contains(&accepted), "{accepted} appends that wait");
    log.durable(last).unwrap();
    // They lie side by side, which is known now.
    assert!(store.index_bytes() < 2_000, "{} bytes", store.index_bytes());
    log.durable(log.append(1, 10).unwrap()).unwrap();
}
