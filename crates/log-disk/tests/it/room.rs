//! Making room: retention, compaction, and mending.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use streamnest_core::{AttributeChange, LogName, LogStore as _, Timestamp};
use streamnest_log_disk::{DiskOptions, DiskStore};

use crate::{
    simulated::Disk,
    support::{Probe, Random, chaos, name, open, small, wait},
};

fn segments(disk: &Disk) -> usize {
    disk.files().iter().filter(|(name, _)| name.ends_with(".log")).count()
}

#[test]
fn what_lives_is_copied_on_and_what_is_dead_goes() {
    let disk = Disk::new();
    let store = open(&disk, small().with_compact_above(0.5));
    let lives = Probe::create(&store, "lives").unwrap();
    lives.append_with(1, 10, &[AttributeChange::set("early", "1").unwrap()]).unwrap();
    let mut dead = Vec::new();
    for round in 0..10 {
        lives.durable(lives.append(2, 200).unwrap()).unwrap();
        let dies = Probe::create(&store, &format!("dies{round}")).unwrap();
        dies.durable(dies.append(10, 300).unwrap()).unwrap();
        dead.push(dies);
    }
    let before = (segments(&disk), store.bytes());
    assert!(before.0 > 6, "{before:?}");
    for round in 0..10 {
        wait(store.delete(&name(&format!("dies{round}")))).unwrap();
    }
    store.compact().unwrap();
    let after = (segments(&disk), store.bytes());
    assert!(after.1 * 2 < before.1, "{before:?} became {after:?}");
    let all: Vec<u64> = (1..=21).collect();
    assert_eq!(lives.read_all(1).entries, all, "what lives is read from its new place");
    assert_eq!(dead[9].read_all(1).entries.len(), 10, "who reads what is gone reads on");
    lives.durable(lives.append(1, 10).unwrap()).unwrap();
    drop((lives, dead, store));
    let store = open(&disk, small());
    let lives = Probe::open(&store, "lives").unwrap();
    assert_eq!(lives.read_all(1).entries, (1..=22).collect::<Vec<_>>());
    assert_eq!(lives.log.head().attributes.get("early").map(|value| &value[..]), Some(&b"1"[..]));
    assert!(Probe::open(&store, "dies0").is_err(), "what is gone stays gone, though its record is gone too");
    println!("compaction: {before:?} segments and bytes became {after:?}");
}

/// Logs come, grow, are trimmed, sealed and go, at random, while segments are compacted and the program stops now and then.
#[test]
fn nothing_that_lives_is_lost_or_changed_by_compaction_whatever_happens() {
    for seed in 0..if chaos() { 1_000 } else { 40 } {
        let mut random = Random::from_seed(seed);
        let disk = Disk::new();
        // With the second only those go of which nothing lives, wherever they lie.
        let share = if seed % 2 == 0 { 0.2 } else { 1.0 };
        let options = small().with_segment_bytes(8 << 10).with_compact_above(share);
        let mut store = open(&disk, options.clone());
        // What must be there: the last trimmed, the last, whether sealed, and an attribute.
        let mut model: BTreeMap<String, (u64, u64, bool, u64)> = BTreeMap::new();
        let mut logs: BTreeMap<String, Probe> = BTreeMap::new();
        for step in 0..120 {
            let id = format!("run{}", random.below(6));
            let Some(log) = logs.get(&id) else {
                logs.insert(id.clone(), Probe::create(&store, &id).unwrap());
                model.insert(id, (0, 0, false, 0));
                continue;
            };
            let state = model.get_mut(&id).unwrap();
            match random.below(12) {
                0 => {
                    wait(store.delete(&name(&id))).unwrap();
                    logs.remove(&id);
                    model.remove(&id);
                }
                1 if state.1 > 0 => {
                    let up_to = state.0 + random.below(state.1 - state.0 + 1);
                    let before = log.log.head().trimmed.get();
                    log.log.trim(log.log.head().term, crate::support::seq(up_to)).unwrap();
                    // One at a time is not written down at once.
                    if up_to >= before + 2 {
                        state.0 = up_to;
                    }
                }
                2 if !state.2 => {
                    log.seal().unwrap();
                    state.2 = true;
                }
                3 => store.compact().unwrap(),
                4 => {
                    logs.clear();
                    drop(store);
                    store = open(&disk, options.clone());
                    for id in model.keys() {
                        logs.insert(id.clone(), Probe::open(&store, id).unwrap());
                    }
                }
                _ if !state.2 => {
                    let change = AttributeChange::set("step", step.to_string()).unwrap();
                    let last =
                        log.append_with(1 + random.below(5), random.below(600) as usize, &[change]).unwrap();
                    log.durable(last).unwrap();
                    (state.1, state.3) = (last, step);
                }
                _ => {}
            }
        }
        logs.clear();
        drop(store);
        let store = open(&disk, options);
        store.compact().unwrap();
        assert!(store.verify().unwrap().is_empty() && store.recovery().damages.is_empty(), "seed {seed}");
        let listed = wait(store.list("", None, 100)).unwrap();
        assert_eq!(listed.len(), model.len(), "seed {seed}: {listed:?}");
        for (id, (trimmed, last, sealed, step)) in model {
            let log = Probe::open(&store, &id).unwrap();
            let head = log.log.head();
            assert_eq!((head.last.get(), head.sealed), (last, sealed), "seed {seed}: `{id}`");
            assert!(head.trimmed.get() >= trimmed, "seed {seed}: `{id}` remembers what was trimmed");
            let read = log.read_all(head.trimmed.get() + 1);
            assert!(read.gaps.is_empty(), "seed {seed}: `{id}` has gaps {:?}", read.gaps);
            assert_eq!(
                read.entries,
                (head.trimmed.get() + 1..=last).collect::<Vec<_>>(),
                "seed {seed}: `{id}`"
            );
            if step > 0 {
                assert_eq!(
                    head.attributes.get("step").unwrap(),
                    step.to_string().as_bytes(),
                    "seed {seed}: `{id}`"
                );
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_write_of_a_compaction_loses_nothing() {
    for seed in 0..if chaos() { 1_000 } else { 60 } {
        let mut random = Random::from_seed(seed);
        let disk = Disk::new();
        let store = open(&disk, small().with_compact_above(0.9));
        let lives = Probe::create(&store, "lives").unwrap();
        for round in 0..6 {
            lives.durable(lives.append(3, 200).unwrap()).unwrap();
            let dies = Probe::create(&store, &format!("dies{round}")).unwrap();
            dies.durable(dies.append(8, 300).unwrap()).unwrap();
        }
        drop((lives, store));
        let store = Arc::new(open(&disk, small().with_compact_above(0.1)));
        let compacting = store.clone();
        let thread = std::thread::spawn(move || {
            for round in 0..6 {
                let _ = wait(compacting.delete(&name(&format!("dies{round}"))));
            }
            let _ = compacting.compact();
        });
        std::thread::sleep(Duration::from_micros(random.below(6_000)));
        let cut = disk.power_cut(&mut random);
        thread.join().unwrap();
        let store = open(&cut, small());
        assert!(store.recovery().damages.is_empty(), "seed {seed}: {:?}", store.recovery().damages);
        let lives = Probe::open(&store, "lives").unwrap();
        let read = lives.read_all(1);
        assert_eq!(read.entries, (1..=18).collect::<Vec<_>>(), "seed {seed}: gaps {:?}", read.gaps);
    }
}

#[test]
fn a_dead_segment_goes_though_an_older_one_lives_and_what_it_deleted_stays_gone() {
    const ROUNDS: usize = 8;
    let mut cut_rounds = std::collections::BTreeSet::new();
    for seed in 0..if chaos() { 1_000 } else { 60 } {
        let mut random = Random::from_seed(seed);
        let disk = Disk::new();
        let options = small().with_compact_above(1.0);
        let store = open(&disk, options.clone());
        let anchor = Probe::create(&store, "anchor").unwrap();
        anchor.durable(anchor.append(1, 300).unwrap()).unwrap();
        for round in 0..ROUNDS {
            Probe::create(&store, &format!("old{round}")).unwrap();
        }
        let lives = Probe::create(&store, "lives").unwrap();
        lives.durable(lives.append(5, 900).unwrap()).unwrap();
        let (done, rounds) = mpsc::channel();
        let cutting = {
            let disk = disk.clone();
            thread::spawn(move || {
                // Each round is as likely as another, however long one takes.
                let waited = random.below(ROUNDS as u64 + 1) as usize;
                rounds.iter().take(waited).for_each(drop);
                thread::sleep(Duration::from_micros(random.below(1_500)));
                // What was told by then is promised.
                (waited + rounds.try_iter().count(), disk.power_cut(&mut random))
            })
        };
        // These segments say of no entry that lives, but what of the first is gone, and how far a log is trimmed.
        for round in 0..ROUNDS {
            let dies = Probe::create(&store, &format!("dies{round}")).unwrap();
            dies.durable(dies.append(6, 600).unwrap()).unwrap();
            wait(store.delete(&name(&format!("old{round}")))).unwrap();
            lives.log.trim(lives.log.head().term, crate::support::seq((round as u64 + 1).min(3))).unwrap();
            dies.durable(dies.append(6, 600).unwrap()).unwrap();
            wait(store.delete(&name(&format!("dies{round}")))).unwrap();
            // Nobody listens after the cut.
            let _ = done.send(());
        }
        store.compact().unwrap();
        // Some 60,000 bytes were written.
        assert!(store.bytes() < 16_000, "{} bytes are left", store.bytes());
        let (promised, cut) = cutting.join().unwrap();
        cut_rounds.insert(promised);
        let check = |store: &DiskStore, promised: usize| {
            assert!(store.recovery().damages.is_empty() && store.verify().unwrap().is_empty(), "seed {seed}");
            for gone in (0..promised).flat_map(|round| [format!("old{round}"), format!("dies{round}")]) {
                assert!(Probe::open(store, &gone).is_err(), "seed {seed}: `{gone}` is back");
            }
            assert_eq!(Probe::open(store, "anchor").unwrap().read_all(1).entries, [1], "seed {seed}");
            let lives = Probe::open(store, "lives").unwrap();
            let read = lives.read_all(lives.log.head().trimmed.get() + 1);
            assert!(read.gaps.is_empty() && read.entries.ends_with(&[4, 5]), "seed {seed}: {read:?}");
        };
        check(&store, ROUNDS);
        drop((anchor, lives, store));
        check(&open(&disk, options.clone()), ROUNDS);
        for _ in 0..2 {
            let store = open(&cut, options.clone());
            check(&store, promised);
            store.compact().unwrap();
            check(&store, promised);
        }
    }
    println!("dead segments: power cuts after {cut_rounds:?} of {ROUNDS} rounds");
    assert!(cut_rounds.len() > 2, "cuts come in the middle: {cut_rounds:?}");
}

#[test]
fn finished_runs_expire_by_age_and_by_bytes_oldest_first_and_nothing_else_does() {
    let disk = Disk::new();
    let day = 24 * 3600 * 1_000_000;
    let options =
        DiskOptions::default().with_reserve_bytes(0).with_finished_ttl(Duration::from_secs(7 * 24 * 3600));
    let store = open(&disk, options.clone());
    for id in ["one", "two", "runs", "three"] {
        let log = Probe::create(&store, id).unwrap();
        log.durable(log.append(3, 1_000).unwrap()).unwrap();
        if id != "runs" {
            log.seal().unwrap();
        }
    }
    let stream = wait(store.create(
        &LogName::new("streams/a").unwrap(),
        &[],
        Arc::new(crate::support::Heard::default()),
    ));
    stream.unwrap().seal(streamnest_core::Term::FIRST, crate::support::seq(0)).unwrap();
    // The entries of the tests are of this time.
    let written = 1_795_000_000_000_000;
    let expired = |store: &DiskStore, days: u64| -> Vec<String> {
        let names = store.expired(Timestamp::from_micros(written + days * day));
        names.iter().map(|name| name.to_string()).collect()
    };
    assert!(expired(&store, 6).is_empty());
    assert_eq!(expired(&store, 8), ["executions/one", "executions/three", "executions/two"]);
    drop(store);
    let store = open(&disk, options.with_max_finished_bytes(7_500));
    assert_eq!(expired(&store, 0).len(), 1, "two of three fit");
}

#[test]
fn a_repair_salvages_all_but_what_is_damaged_and_keeps_the_damaged_file() {
    let disk = Disk::new();
    {
        let store = open(&disk, small());
        let (a, b) = (Probe::create(&store, "a").unwrap(), Probe::create(&store, "b").unwrap());
        for _ in 0..20 {
            a.durable(a.append(3, 100).unwrap()).unwrap();
            b.durable(b.append(3, 100).unwrap()).unwrap();
        }
    }
    let (second, third) = ("0000000000000002.log", "0000000000000003.log");
    let broken = disk.edited(|name, bytes| {
        if name == second {
            bytes[1_000] ^= 1;
            bytes[3_000] ^= 1;
        }
    });
    let repaired = DiskStore::repair_on(broken.clone()).unwrap();
    assert_eq!(repaired.damages.len(), 2);
    assert!(broken.files().iter().any(|(name, _)| *name == format!("{second}.damaged")));
    let store = open(&broken, small());
    assert!(store.verify().unwrap().is_empty(), "it is mended");
    let mut missing = 0;
    for id in ["a", "b"] {
        let log = Probe::open(&store, id).unwrap();
        let read = log.read_all(1);
        let told: u64 = read.gaps.iter().map(|(from, to)| to - from + 1).sum();
        assert_eq!(read.entries.len() as u64 + told, 60, "`{id}`: what is lost stays told: {:?}", read.gaps);
        missing += told;
        log.durable(log.append(1, 10).unwrap()).unwrap();
    }
    assert!((3..=6).contains(&missing), "two records of three entries at most, but {missing}");
    drop(store);
    assert_eq!(DiskStore::repair_on(broken).unwrap(), Default::default(), "a whole store is left alone");

    let gone = disk.edited(|_, _| {});
    streamnest_log_disk::storage::Storage::remove(&*gone, third).unwrap();
    let refused =
        DiskStore::open_on(gone.clone(), Arc::new(streamnest_log::SystemClock), small()).unwrap_err();
    assert_eq!(refused.code(), "segment_missing");
    assert_eq!(DiskStore::repair_on(gone.clone()).unwrap().missing, [third]);
    let store = open(&gone, small());
    for id in ["a", "b"] {
        let read = Probe::open(&store, id).unwrap().read_all(1);
        let told: u64 = read.gaps.iter().map(|(from, to)| to - from + 1).sum();
        assert!(told > 0, "`{id}` has lost something");
        assert_eq!(read.entries.len() as u64 + told, 60, "`{id}`: {:?}", read.gaps);
    }
}
