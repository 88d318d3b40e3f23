//! Full disks, failing disks, power cuts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use streamnest_core::{AttributeChange, DurabilityWatch, LogStore as _, Mark, StoreError};
use streamnest_log::SystemClock;
use streamnest_log_disk::{DiskOptions, DiskStore, Durability, Error};

use crate::{
    simulated::Disk,
    support::{Probe, Random, chaos, entry, name, open, seq, small, wait},
};

#[test]
fn what_was_acknowledged_survives_a_power_cut_that_drops_reorders_and_tears_the_rest() {
    let seeds = if chaos() { 2_000 } else { 200 };
    let (mut acknowledged, mut lost) = (0, 0);
    for seed in 0..seeds {
        let mut random = Random::from_seed(seed);
        let disk = Disk::new();
        let mut promised: BTreeMap<String, u64> = BTreeMap::new();
        let mut attributes: BTreeMap<String, String> = BTreeMap::new();
        let cut = {
            let store = open(&disk, small());
            let ids: Vec<String> = (0..1 + random.below(5)).map(|n| format!("run{n}")).collect();
            let logs: Vec<_> = ids.iter().map(|id| Probe::create(&store, id).unwrap()).collect();
            for round in 0..random.below(60) {
                let at = random.below(logs.len() as u64) as usize;
                let value = round.to_string();
                let change = AttributeChange::set("round", value.clone()).unwrap();
                let (count, size) = (1 + random.below(4), random.below(700) as usize);
                let last = logs[at].append_with(count, size, &[change]).unwrap();
                if random.below(3) == 0 {
                    logs[at].durable(last).unwrap();
                    attributes.insert(ids[at].clone(), value);
                }
            }
            // What was heard before the cut is what was promised.
            for (id, log) in ids.iter().zip(&logs) {
                promised.insert(id.clone(), log.acknowledged());
            }
            disk.power_cut(&mut random)
        };
        let store = open(&cut, small());
        assert!(store.recovery().damages.is_empty(), "seed {seed}: {:?}", store.recovery().damages);
        for (id, last) in promised {
            let log = Probe::open(&store, &id)
                .unwrap_or_else(|error| panic!("seed {seed}: `{id}` is gone: {error}"));
            let read = log.read_all(1);
            assert!(read.gaps.is_empty(), "seed {seed}: `{id}` has gaps {:?}", read.gaps);
            acknowledged += last;
            lost += last.saturating_sub(read.entries.len() as u64);
            if let Some(round) = attributes.get(&id) {
                let kept = log.log.head().attributes;
                let kept: u64 =
                    String::from_utf8(kept.get("round").unwrap().to_vec()).unwrap().parse().unwrap();
                assert!(kept >= round.parse().unwrap(), "seed {seed}: an attribute went back");
            }
            log.durable(log.append(1, 10).unwrap()).unwrap();
        }
        assert_eq!(lost, 0, "seed {seed}");
    }
    println!("power cuts: seeds={seeds} acknowledged={acknowledged} lost={lost}");
    assert!(acknowledged > seeds, "the test acknowledges something");
}

/// What entries were seen to say: by log, epoch and number, the bytes of the payload, which differ from append to append.
type Seen = BTreeMap<(String, u64, u64), usize>;

/// Holds what a reader of `log` sees to what was seen before under the same positions.
fn see(seed: u64, id: &str, log: &Probe, up_to: u64, seen: &mut Seen) {
    let epoch = log.log.head().epoch.get();
    for entry in wait(log.log.read(seq(1), 1_000, 1 << 20)).unwrap() {
        let (number, size) = (entry.seq().get(), entry.event().payload().len());
        if number <= up_to {
            let known = *seen.entry((id.into(), epoch, number)).or_insert(size);
            assert_eq!(known, size, "seed {seed}: entry {number} of `{id}` is another in the same epoch");
        }
    }
    let behind = seen.range((id.into(), epoch, up_to + 1)..=(id.into(), epoch, u64::MAX)).next();
    assert_eq!(behind, None, "seed {seed}: what was seen of `{id}` is gone in the same epoch");
}

#[test]
fn no_position_is_given_to_two_contents_in_one_epoch_whatever_mode_and_wherever_power_fails() {
    let modes =
        [Durability::Memory, Durability::Interval(std::time::Duration::from_millis(1)), Durability::Sync];
    let (mut cuts, mut lost) = (0, 0);
    for seed in 0..if chaos() { 2_000 } else { 150 } {
        let mut random = Random::from_seed(seed);
        let mut disk = Disk::new();
        let mut seen = Seen::new();
        let mut append = 0;
        for _ in 0..6 {
            let mode = modes[random.below(if seed % 2 == 0 { 3 } else { 1 }) as usize];
            let store = open(&disk, small().with_durability(mode));
            for id in ["a", "b"] {
                let log = Probe::open(&store, id).or_else(|_| Probe::create(&store, id)).unwrap();
                see(seed, id, &log, log.log.head().last.get(), &mut seen);
                for _ in 0..random.below(8) {
                    append += 1;
                    log.durable(log.append(1, append * 2).unwrap()).unwrap();
                }
                see(seed, id, &log, log.log.head().last.get(), &mut seen);
            }
            match random.below(4) {
                // An orderly stop.
                0 => drop(store),
                // Power fails; the program's own stop comes too late.
                _ => {
                    let cut = disk.power_cut(&mut random);
                    let before = disk.files().iter().map(|(_, length)| length).sum::<usize>();
                    lost += before.saturating_sub(cut.files().iter().map(|(_, length)| length).sum());
                    drop(store);
                    (disk, cuts) = (cut, cuts + 1);
                }
            }
        }
    }
    println!("power cuts={cuts} bytes lost={lost}, and no position was given twice");
    assert!(lost > 0, "the cuts take something");
}

#[test]
fn a_failed_sync_ends_all_writing_and_nothing_is_acknowledged_after_it() {
    let disk = Disk::new();
    let store = open(&disk, small());
    let (a, b) = (Probe::create(&store, "a").unwrap(), Probe::create(&store, "b").unwrap());
    a.durable(a.append(3, 10).unwrap()).unwrap();
    disk.fail_syncs(true);
    a.append(2, 10).unwrap();
    assert!(matches!(a.durable(5), Err(StoreError::Failed { .. })));
    // The disk works again, but who knows what of the pages it dropped.
    disk.fail_syncs(false);
    let mut acknowledged_after = 0;
    for _ in 0..100 {
        for log in [&a, &b] {
            match log.append(1, 10) {
                Err(error) => assert_eq!((error.code(), error.is_retryable()), ("store_failed", false)),
                Ok(_) => acknowledged_after += 1,
            }
        }
    }
    assert!(matches!(Probe::create(&store, "c"), Err(StoreError::Failed { .. })));
    assert!(matches!(wait(store.delete(&name("a"))), Err(StoreError::Failed { .. })));
    assert_eq!(a.read_all(1).entries, [1, 2, 3], "reads go on");
    assert_eq!(a.acknowledged(), 3);
    println!("failed sync: appends=200 acknowledged_after={acknowledged_after}");
    assert_eq!(acknowledged_after, 0);
    drop((a, b, store));
    let store = open(&disk, small());
    let a = Probe::open(&store, "a").unwrap();
    let read = a.read_all(1);
    assert!(read.entries.len() >= 3 && read.gaps.is_empty());
    a.durable(a.append(1, 10).unwrap()).unwrap();
}

#[test]
fn a_write_that_fails_ends_all_writing_too() {
    let disk = Disk::new();
    let store = open(&disk, small());
    let a = Probe::create(&store, "a").unwrap();
    disk.fail_writes(true);
    a.append(1, 10).unwrap();
    assert!(matches!(a.durable(1), Err(StoreError::Failed { .. })));
    disk.fail_writes(false);
    assert!(matches!(a.append(1, 10), Err(StoreError::Failed { .. })));
}

#[test]
fn an_unclean_stop_in_any_mode_but_sync_begins_new_epochs_and_a_clean_one_does_not() {
    for durability in
        [Durability::Sync, Durability::Memory, Durability::Interval(std::time::Duration::from_secs(60))]
    {
        let options = small().with_durability(durability);
        let disk = Disk::new();
        let store = open(&disk, options.clone());
        let (runs, ended) = (Probe::create(&store, "runs").unwrap(), Probe::create(&store, "ended").unwrap());
        for log in [&runs, &ended] {
            log.durable(log.append(3, 10).unwrap()).unwrap();
        }
        ended.seal().unwrap();
        let killed = disk.kill();
        let (runs, ended) = (runs.log.head().epoch, ended.log.head().epoch);
        drop(store);
        let epochs = |disk: &Arc<Disk>| {
            let store = open(disk, options.clone());
            ["runs", "ended"].map(|id| Probe::open(&store, id).unwrap().log.head().epoch)
        };
        assert_eq!(epochs(&disk), [runs, ended], "{durability:?}: after an orderly stop nothing is in doubt");
        let [after, of_ended] = epochs(&killed);
        assert_eq!(after == runs, durability == Durability::Sync, "{durability:?}: after an unclean stop");
        assert_eq!(of_ended, ended, "{durability:?}: what had ended cannot be appended to");
        assert_eq!(epochs(&killed)[0], after, "{durability:?}: and that stop was orderly");
    }
}

#[test]
fn a_directory_is_of_one_process_and_of_a_known_format() {
    let disk = Disk::new();
    let store = open(&disk, small());
    let again = DiskStore::open_on(disk.clone(), Arc::new(SystemClock), small());
    assert!(matches!(again, Err(Error::Locked { .. })), "{again:?}");
    drop(store);
    drop(open(&disk, small()));
    let newer = disk.edited(|name, bytes| {
        if name == "FORMAT" {
            *bytes = b"streamnest log 3\n".to_vec();
        }
    });
    let refused = DiskStore::open_on(newer, Arc::new(SystemClock), small()).unwrap_err();
    assert!(matches!(&refused, Error::Format { found, .. } if found == "streamnest log 3"), "{refused}");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("thesis.txt"), "years of work").unwrap();
    let refused = DiskStore::open(directory.path(), Arc::new(SystemClock), small()).unwrap_err();
    assert!(matches!(&refused, Error::Foreign { file, .. } if file == "thesis.txt"), "{refused}");
}

/// Holds a store, and lets it go when it hears of durability.
struct LastHolder(Mutex<Option<Arc<DiskStore>>>);

impl DurabilityWatch for LastHolder {
    fn durable(&self, _: Mark) {
        self.0.lock().unwrap().take();
    }

    fn failed(&self, error: StoreError) {
        panic!("{error}");
    }
}

#[test]
fn a_store_that_its_own_thread_is_the_last_to_hold_is_closed_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=20 {
        // The lock is given up by a thread that nobody waits for; opening waits for it.
        let store = DiskStore::open(
            folder.path(),
            Arc::new(SystemClock),
            DiskOptions::default().with_reserve_bytes(0),
        );
        let store = Arc::new(store.unwrap());
        assert!(store.recovery().was_clean, "round {round}: {:?}", store.recovery());
        let holder = Arc::new(LastHolder(Mutex::new(None)));
        let name = name(&format!("run{round}"));
        let log = wait(store.create(&name, &[], holder.clone())).unwrap();
        *holder.0.lock().unwrap() = Some(store);
        log.append(log.head().term, seq(0), &[entry(1, 10)], &[]).unwrap();
    }
}
