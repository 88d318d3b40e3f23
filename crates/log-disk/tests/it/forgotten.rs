//! Damage to what says that something is gone, and damage of which nobody knows whose it is.

use std::sync::Arc;

use streamnest_core::{LogStore as _, StoreError};
use streamnest_log_disk::{DiskOptions, DiskStore};

use crate::{
    simulated::Disk,
    support::{Probe, Random, name, open, seq, small, wait},
};

const FIRST: &str = "0000000000000001.log";
/// Kinds of records, as docs/format.md has them.
const APPEND: u8 = 4;
const TRIM: u8 = 7;
const DELETE: u8 = 8;

fn options() -> DiskOptions {
    DiskOptions::default().with_reserve_bytes(0)
}

/// Where the records of the first segment lie: offset, length, number of the log, kind.
fn records(disk: &Disk) -> Vec<(usize, usize, u64, u8)> {
    let bytes = std::sync::Mutex::new(Vec::new());
    disk.edited(|name, content| {
        if name == FIRST {
            bytes.lock().unwrap().clone_from(content);
        }
    });
    let bytes = bytes.into_inner().unwrap();
    let (mut at, mut records) = (32, Vec::new());
    while at < bytes.len() {
        let length = 32 + u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        let log = u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap());
        records.push((at, length, log, bytes[at + 32]));
        at += length;
    }
    records
}

/// The disk with zeros there.
fn zeroed(disk: &Disk, start: usize, length: usize) -> Arc<Disk> {
    disk.edited(|name, bytes| {
        if name == FIRST {
            bytes[start..start + length].fill(0);
        }
    })
}

/// A log that is deleted, and one that is trimmed to its fifth entry and then goes on.
fn forgotten() -> Arc<Disk> {
    let disk = Disk::new();
    let store = open(&disk, options());
    let (gone, trimmed) = (Probe::create(&store, "gone").unwrap(), Probe::create(&store, "trimmed").unwrap());
    for log in [&gone, &trimmed] {
        log.durable(log.append(6, 20).unwrap()).unwrap();
    }
    wait(store.delete(&name("gone"))).unwrap();
    trimmed.log.trim(trimmed.log.head().term, seq(5)).unwrap();
    trimmed.durable(trimmed.append(1, 20).unwrap()).unwrap();
    drop((gone, trimmed, store));
    disk
}

fn assert_forgotten(disk: &Arc<Disk>, of: &str) {
    let store = open(disk, options());
    assert!(Probe::open(&store, "gone").is_err(), "{of}: what was deleted is back");
    if store.recovery().cut.is_none() {
        let trimmed = Probe::open(&store, "trimmed").unwrap();
        assert_eq!(trimmed.log.head().trimmed.get(), 5, "{of}: what was trimmed is back");
    }
}

#[test]
fn what_was_deleted_or_trimmed_stays_gone_whichever_bit_is_flipped_and_whichever_record_is_lost() {
    let disk = forgotten();
    let length = disk.files().into_iter().find(|(name, _)| name == FIRST).unwrap().1;
    for bit in 0..length * 8 {
        let flipped = disk.edited(|name, bytes| {
            if name == FIRST {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        });
        assert_forgotten(&flipped, &format!("bit {bit}"));
    }
    let said: Vec<_> =
        records(&disk).into_iter().filter(|(.., kind)| [TRIM, DELETE].contains(kind)).collect();
    assert_eq!(said.len(), 4, "each is said twice: {said:?}");
    for (at, length, ..) in said {
        assert_forgotten(&zeroed(&disk, at, length), &format!("zeros at {at}"));
    }
}

#[test]
fn a_log_keeps_its_name_and_its_attributes_whatever_becomes_of_the_record_that_made_it() {
    let disk = Disk::new();
    {
        let store = open(&disk, options());
        let fact = streamnest_core::AttributeChange::set("fact", "known").unwrap();
        let watch = std::sync::Arc::new(crate::support::Heard::default());
        drop(wait(store.create(&name("first"), &[fact], watch)).unwrap());
        for id in ["a", "b"] {
            let log = Probe::create(&store, id).unwrap();
            log.durable(log.append(3, 50).unwrap()).unwrap();
        }
    }
    // Records of kind 3 make a log, or say all of it.
    let made: Vec<_> = records(&disk).into_iter().filter(|(_, _, _, kind)| *kind == 3).collect();
    assert_eq!(made.len(), 6, "{made:?}");
    for (start, length, number, _) in made {
        let damaged = disk.edited(|name, bytes| {
            if name.ends_with(".log") {
                bytes[start + 33..start + length].fill(0x5A);
            }
        });
        let store = open(&damaged, options());
        assert!(store.recovery().nameless.is_empty(), "log {number}: {:?}", store.recovery());
        let first = Probe::open(&store, "first").unwrap();
        assert_eq!(first.log.head().attributes.get("fact").map(|value| &value[..]), Some(&b"known"[..]));
        for id in ["a", "b"] {
            assert_eq!(Probe::open(&store, id).unwrap().read_all(1).entries, [1, 2, 3]);
        }
    }
}

#[test]
fn records_that_an_entry_holds_are_obeyed_by_nobody_whatever_is_damaged_around_them() {
    // What a client would send: a record that deletes the log 1, as it is written without a salt.
    let mut forged = b"SNR1\x01\0\0\0".to_vec();
    forged.extend_from_slice(&1_u64.to_le_bytes());
    forged.extend_from_slice(&1_u64.to_le_bytes());
    forged.extend_from_slice(&crc(&[DELETE]).to_le_bytes());
    forged.extend_from_slice(&crc(&forged).to_le_bytes());
    forged.push(DELETE);
    let disk = Disk::new();
    {
        let store = open(&disk, options());
        let (victim, attacker) =
            (Probe::create(&store, "victim").unwrap(), Probe::create(&store, "attacker").unwrap());
        victim.durable(victim.append(1, 20).unwrap()).unwrap();
        let event = streamnest_core::Event::from_stored(
            streamnest_core::Class::Data,
            streamnest_core::EventType::new("data").unwrap(),
            None,
            forged.clone().into(),
            streamnest_core::Delivery::default(),
        );
        let entry = streamnest_core::Entry::new(seq(1), streamnest_core::Timestamp::from_micros(1), event);
        attacker.log.append(attacker.log.head().term, seq(0), &[Arc::new(entry)], &[]).unwrap();
        attacker.durable(1).unwrap();
        victim.durable(victim.append(1, 20).unwrap()).unwrap();
    }
    let (at, length, ..) =
        records(&disk).into_iter().find(|(_, _, log, kind)| (*log, *kind) == (2, APPEND)).unwrap();
    for lost in [4, 32, length - forged.len()] {
        let damaged = zeroed(&disk, at, lost);
        let store = open(&damaged, options());
        assert_eq!(store.recovery().damages.len(), 1);
        let victim = Probe::open(&store, "victim").expect("nobody deleted it");
        assert_eq!(victim.read_all(1).entries, [1, 2]);
        drop((victim, store));
        DiskStore::repair_on(damaged.clone()).unwrap();
        assert!(Probe::open(&open(&damaged, options()), "victim").is_ok());
    }
}

/// The CRC-32 of zlib, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |register: u32| (register >> 1) ^ (0xEDB8_8320 & (register & 1).wrapping_neg());
    let take =
        |register: u32, byte: &u8| (0..8).fold(register ^ u32::from(*byte), |register, _| step(register));
    !bytes.iter().fold(!0, take)
}

#[test]
fn a_directory_of_the_release_before_goes_on_and_its_next_segments_have_a_salt() {
    // A directory without a salt is what that release wrote, bit for bit.
    let disk = Disk::new();
    drop(open(&disk, small()));
    let header = |version: u32| {
        let mut header = b"SNLOGSEG".to_vec();
        header.extend_from_slice(&version.to_le_bytes());
        header.extend_from_slice(&1_u64.to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(&crc(&header).to_le_bytes());
        header
    };
    let old = disk.edited(|name, bytes| match name {
        "FORMAT" => *bytes = b"streamnest log 1\n".to_vec(),
        FIRST => *bytes = header(1),
        _ => {}
    });
    for round in 0..3 {
        let store = open(&old, small());
        let a = Probe::open(&store, "a").or_else(|_| Probe::create(&store, "a")).unwrap();
        assert!(store.recovery().damages.is_empty() && store.verify().unwrap().is_empty(), "round {round}");
        assert_eq!(a.read_all(1).entries.len() as u64, round * 20);
        (0..20).for_each(|_| a.durable(a.append(1, 200).unwrap()).unwrap());
    }
    let versions = std::sync::Mutex::new(Vec::new());
    old.edited(|name, bytes| {
        if name.ends_with(".log") {
            versions.lock().unwrap().push(bytes[8]);
        }
    });
    let versions = versions.into_inner().unwrap();
    assert!(versions.len() > 2 && versions[0] == 1 && versions[1..].iter().all(|version| *version == 2));
}

fn epochs(disk: &Arc<Disk>) -> [u64; 2] {
    let store = open(disk, options());
    ["a", "b"].map(|id| Probe::open(&store, id).unwrap().log.head().epoch.get())
}

#[test]
fn a_record_that_nobody_can_assign_costs_at_most_one_epoch_and_only_logs_that_say_nothing_behind_it() {
    let disk = Disk::new();
    {
        let store = open(&disk, options());
        let (a, b) = (Probe::create(&store, "a").unwrap(), Probe::create(&store, "b").unwrap());
        for _ in 0..3 {
            a.durable(a.append(2, 20).unwrap()).unwrap();
            b.durable(b.append(2, 30).unwrap()).unwrap();
        }
    }
    let appends: Vec<_> = records(&disk).into_iter().filter(|(.., kind)| *kind == APPEND).collect();
    let before = epochs(&disk);
    for (nth, (at, ..)) in appends.iter().enumerate() {
        // The header and the kind are gone altogether.
        let lost = zeroed(&disk, *at, 33);
        let after = epochs(&lost);
        // What the last record of a log was nobody can tell from what follows.
        let doubted = [nth >= 4, nth >= 5];
        let is_new = [after[0] != before[0], after[1] != before[1]];
        assert!(!is_new[0] || doubted[0], "append {nth}: {is_new:?}");
        assert_eq!(is_new[1], doubted[1], "append {nth}");
        assert_eq!(epochs(&lost), after, "append {nth}: one new epoch for one damage");
        for _ in 0..2 {
            assert!(DiskStore::repair_on(lost.clone()).unwrap().missing.is_empty());
            assert_eq!(epochs(&lost), after, "append {nth}: and a repair is no further damage");
        }
        let store = open(&lost, options());
        assert!(store.recovery().damages.is_empty() && store.verify().unwrap().is_empty(), "it is cured");
    }
}

#[test]
fn a_gap_is_told_with_the_position_of_the_record_that_is_damaged() {
    let disk = Disk::new();
    {
        let store = open(&disk, options());
        let (a, b) = (Probe::create(&store, "a").unwrap(), Probe::create(&store, "b").unwrap());
        for _ in 0..3 {
            a.durable(a.append(1, 9_000).unwrap()).unwrap();
            b.durable(b.append(1, 9_000).unwrap()).unwrap();
        }
    }
    let appends: Vec<_> =
        records(&disk).into_iter().filter(|(_, _, log, kind)| (*log, *kind) == (1, APPEND)).collect();
    for (nth, (at, ..)) in appends.into_iter().enumerate() {
        let flipped = disk.edited(|name, bytes| {
            if name == FIRST {
                bytes[at + 500] ^= 1;
            }
        });
        for mended in [false, true] {
            if mended {
                DiskStore::repair_on(flipped.clone()).unwrap();
            }
            let store = open(&flipped, options());
            let a = Probe::open(&store, "a").unwrap();
            let read = wait(a.log.read(seq(nth as u64 + 1), 1, 1 << 20));
            let Err(StoreError::Damaged { from, to, file, offset }) = read else { panic!("{read:?}") };
            assert_eq!((from.get(), to.get()), (nth as u64 + 1, nth as u64 + 1));
            assert_eq!((file.as_str(), offset), (FIRST, at as u64), "mended: {mended}");
        }
    }
}

#[test]
fn a_repair_that_is_broken_off_anywhere_loses_nothing_and_keeps_every_damaged_file() {
    let disk = Disk::new();
    {
        let store = open(&disk, small());
        let a = Probe::create(&store, "a").unwrap();
        for _ in 0..20 {
            a.durable(a.append(3, 100).unwrap()).unwrap();
        }
    }
    let second = "0000000000000002.log";
    let damaged = disk.edited(|name, bytes| {
        if name == second {
            bytes[1_000] ^= 1;
        }
    });
    let mut random = Random::from_seed(7);
    for steps in 0.. {
        let broken_off = damaged.edited(|_, _| {});
        broken_off.stop_after(steps);
        let is_done = DiskStore::repair_on(broken_off.clone()).is_ok();
        for after in [broken_off.kill(), broken_off.power_cut(&mut random)] {
            for repairs in 0..3 {
                let store = open(&after, small());
                let read = Probe::open(&store, "a").unwrap().read_all(1);
                assert_eq!(
                    (read.entries.len(), read.gaps.len()),
                    (57, 1),
                    "after {steps} steps: {:?}",
                    read.gaps
                );
                drop(store);
                let names: Vec<String> = after.files().into_iter().map(|(name, _)| name).collect();
                let kept = names.iter().any(|name| name.starts_with(&format!("{second}.damaged")));
                assert!(kept || repairs == 0, "after {steps} steps: {names:?}");
                DiskStore::repair_on(after.clone()).unwrap();
            }
        }
        if is_done {
            assert!(steps > 8, "{steps} steps");
            break;
        }
    }
    // What is damaged again is kept beside what was damaged before.
    DiskStore::repair_on(damaged.clone()).unwrap();
    let again = damaged.edited(|name, bytes| {
        if name == second {
            bytes[2_000] ^= 1;
        }
    });
    DiskStore::repair_on(again.clone()).unwrap();
    let kept = again.files().into_iter().filter(|(name, _)| name.contains(".damaged")).count();
    assert_eq!(kept, 2);
    // Earlier releases took the damaged segment away first.
    for released in [&damaged, &disk] {
        let half = released.edited(|_, _| {});
        streamnest_log_disk::storage::Storage::rename(&*half, second, &format!("{second}.damaged")).unwrap();
        let store = open(&half, small());
        let read = Probe::open(&store, "a").unwrap().read_all(1);
        let told: u64 = read.gaps.iter().map(|(from, to)| to - from + 1).sum();
        assert_eq!(read.entries.len() as u64 + told, 60);
        assert!(read.entries.len() >= 57, "{:?}", read.gaps);
    }
}

#[test]
fn a_segment_that_is_missing_anywhere_is_noticed_and_a_repair_gives_it_up_with_new_epochs() {
    let disk = Disk::new();
    let before = {
        let store = open(&disk, small());
        let a = Probe::create(&store, "a").unwrap();
        for _ in 0..40 {
            a.durable(a.append(3, 100).unwrap()).unwrap();
        }
        a.log.head().epoch
    };
    let segments: Vec<String> =
        disk.files().into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".log")).collect();
    assert!(segments.len() > 3, "{segments:?}");
    for gone in &segments {
        let broken = disk.edited(|_, _| {});
        for file in [gone.clone(), gone.replace(".log", ".index")] {
            let _ = streamnest_log_disk::storage::Storage::remove(&*broken, &file);
        }
        let refused = DiskStore::open_on(broken.clone(), Arc::new(streamnest_log::SystemClock), small());
        let refused = refused.expect_err("a segment is gone");
        assert_eq!(refused.code(), "segment_missing");
        assert!(refused.to_string().contains(gone), "{refused}");
        assert_eq!(DiskStore::repair_on(broken.clone()).unwrap().missing, std::slice::from_ref(gone));
        let is_last = Some(gone) == segments.last();
        let mut epochs = Vec::new();
        for _ in 0..2 {
            let store = open(&broken, small());
            let a = Probe::open(&store, "a").unwrap();
            epochs.push(a.log.head().epoch);
            let read = a.read_all(1);
            let told: u64 = read.gaps.iter().map(|(from, to)| to - from + 1).sum();
            assert!(told > 0 || is_last, "without `{gone}`: {:?}", read.gaps);
            assert!(read.entries.len() as u64 + told == 120 || is_last, "without `{gone}`: {:?}", read.gaps);
        }
        assert_eq!(epochs[0] != before, is_last, "without `{gone}` its end is in doubt, or is not");
        assert_eq!(epochs[0], epochs[1], "without `{gone}`");
    }
}
