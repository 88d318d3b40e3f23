//! Files that were cut, and bits that were flipped.

use std::collections::BTreeSet;

use streamnest_core::{AttributeChange, LogStore as _};
use streamnest_log_disk::DiskOptions;

use crate::{
    simulated::Disk,
    support::{Probe, chaos, name, open, seq, small, wait},
};

const FIRST: &str = "0000000000000001.log";

/// A disk with two logs of so many appends, each of two entries, and the length of its one segment.
fn two_logs(appends: u64) -> (std::sync::Arc<Disk>, usize) {
    let disk = Disk::new();
    let options = DiskOptions::default().with_reserve_bytes(0);
    {
        let store = open(&disk, options);
        let (a, b) = (Probe::create(&store, "a").unwrap(), Probe::create(&store, "b").unwrap());
        for _ in 0..appends {
            a.durable(a.append(2, 20).unwrap()).unwrap();
            b.durable(b.append(2, 30).unwrap()).unwrap();
        }
    }
    let length = disk.files().into_iter().find(|(name, _)| name == FIRST).unwrap().1;
    (disk, length)
}

#[test]
fn a_file_that_is_cut_at_any_byte_opens_with_its_whole_entries_and_goes_on() {
    let (disk, length) = two_logs(3);
    let mut kept_before = 0;
    for cut in 0..=length {
        let torn = disk.edited(|name, bytes| {
            if name == FIRST {
                bytes.truncate(cut);
            }
        });
        let mut kept = 0;
        let store = open(&torn, small());
        for id in ["a", "b"] {
            let Ok(log) = Probe::open(&store, id) else { continue };
            let read = log.read_all(1);
            assert!(read.gaps.is_empty(), "cut at {cut}: a torn tail is no gap, but {:?}", read.gaps);
            let last = log.log.head().last.get();
            assert_eq!(read.entries, (1..=last).collect::<Vec<_>>(), "cut at {cut}");
            kept += last;
            log.durable(log.append(1, 10).unwrap()).unwrap();
            assert_eq!(log.read_all(last + 1).entries, [last + 1], "cut at {cut}: it goes on");
        }
        assert!(kept >= kept_before, "cut at {cut}: {kept} entries, after {kept_before} with one byte less");
        assert!(store.recovery().damages.is_empty(), "cut at {cut}: {:?}", store.recovery().damages);
        kept_before = kept;
    }
    assert_eq!(kept_before, 12, "the whole file has all");
    println!("torn tail: cuts={} recovered={} served_bad=0", length + 1, length + 1);
}

#[test]
fn every_flipped_bit_is_told_and_only_the_readers_of_that_log_miss_anything() {
    let appends = if chaos() { 10 } else { 1 };
    let (disk, length) = two_logs(appends);
    let (mut gaps, mut tails) = (0, 0);
    for bit in 0..length * 8 {
        let flipped = disk.edited(|name, bytes| {
            if name == FIRST {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        });
        let store = open(&flipped, DiskOptions::default().with_reserve_bytes(0));
        let report = store.recovery().clone();
        assert!(
            !report.damages.is_empty() || report.cut.is_some(),
            "bit {bit} of {length} bytes is flipped and nobody says so"
        );
        for damage in &report.damages {
            let at = bit as u64 / 8;
            assert_eq!(damage.file, FIRST);
            assert!(
                (damage.offset..damage.offset + damage.length).contains(&at),
                "byte {at} is not in {damage:?}"
            );
        }
        let mut missing = BTreeSet::new();
        for id in ["a", "b"] {
            // The record that made it is known whichever bit of it is flipped, unless it is taken for a torn tail.
            let Ok(log) = Probe::open(&store, id) else {
                missing.insert(id);
                assert!(report.cut.is_some(), "bit {bit}: log `{id}` is gone");
                continue;
            };
            let read = log.read_all(1);
            let told: u64 = read.gaps.iter().map(|(from, to)| to - from + 1).sum();
            assert_eq!(
                read.entries.len() as u64 + told,
                appends * 2,
                "bit {bit}: log `{id}` misses entries in silence"
            );
            if !read.gaps.is_empty() {
                missing.insert(id);
            }
        }
        assert!(missing.len() <= 1, "bit {bit}: one flip, and the readers of {missing:?} miss something");
        gaps += missing.len();
        tails += usize::from(report.cut.is_some());
    }
    println!("flips detected={} of {}: gaps={gaps} tails={tails}", length * 8, length * 8);
}

#[test]
fn a_flip_in_a_full_segment_is_told_by_its_reader_with_file_and_position() {
    let disk = Disk::new();
    {
        let store = open(&disk, small());
        let (a, b) = (Probe::create(&store, "a").unwrap(), Probe::create(&store, "b").unwrap());
        for _ in 0..20 {
            a.durable(a.append(3, 100).unwrap()).unwrap();
            b.durable(b.append(3, 100).unwrap()).unwrap();
        }
    }
    let segments = disk.files().iter().filter(|(name, _)| name.ends_with(".log")).count();
    assert!(segments > 3, "there are {segments} segments");
    // The middle of the second segment, far from its first and last record.
    let second = "0000000000000002.log";
    let flipped = disk.edited(|name, bytes| {
        if name == second {
            bytes[2_000] ^= 0x10;
        }
    });
    let store = open(&flipped, small());
    assert!(store.recovery().damages.is_empty(), "a start does not read full segments");
    let reads = ["a", "b"].map(|id| Probe::open(&store, id).unwrap().read_all(1));
    let gaps: Vec<_> = reads.iter().flat_map(|read| &read.gaps).collect();
    assert_eq!(gaps.len(), 1, "one record is damaged: {gaps:?}");
    for read in &reads {
        let told: u64 = read.gaps.iter().map(|(from, to)| to - from + 1).sum();
        assert_eq!(read.entries.len() as u64 + told, 60);
    }
    let damages = store.verify().unwrap();
    assert_eq!(damages.len(), 1);
    assert_eq!(damages[0].file, second);
    assert!((damages[0].offset..damages[0].offset + damages[0].length).contains(&2_000));
}

#[test]
fn who_is_told_of_damage_reads_no_segment_that_another_has_looked_through() {
    let disk = Disk::new();
    let options = small().with_segment_bytes(1 << 20);
    {
        let store = open(&disk, options.clone());
        let (a, b) = (Probe::create(&store, "a").unwrap(), Probe::create(&store, "b").unwrap());
        for _ in 0..100 {
            a.durable(a.append(1, 1_000).unwrap()).unwrap();
            b.durable(b.append(1, 1_000).unwrap()).unwrap();
        }
    }
    let length = disk.files().iter().map(|(_, length)| *length as u64).max().unwrap();
    let damaged = disk.edited(|name, bytes| {
        if name == "0000000000000001.log" {
            bytes[100_000..100_004].fill(0xAA);
            bytes[150_000..150_004].fill(0xAA);
        }
    });
    let store = open(&damaged, options);
    assert_eq!(store.recovery().damages.len(), 2);
    let logs = ["a", "b"].map(|id| Probe::open(&store, id).unwrap());
    let gaps: Vec<_> = logs.iter().map(|log| log.read_all(1).gaps).collect();
    assert_eq!(gaps.concat().len(), 2);
    let before = damaged.read_bytes();
    for _ in 0..50 {
        for (log, gaps) in logs.iter().zip(&gaps) {
            for (gap, _) in gaps {
                match wait(log.log.read(seq(*gap), 1, 1)) {
                    Err(streamnest_core::StoreError::Damaged { from, offset, .. }) => {
                        assert!(from == seq(*gap) && offset > 0, "the position of the record is told");
                    }
                    read => panic!("{read:?}"),
                }
            }
        }
    }
    let read = damaged.read_bytes() - before;
    println!("damage: told=100 read_bytes={read} segment_bytes={length}");
    assert_eq!(read, 0, "the segment was looked through for the first who was told");
}

#[test]
fn an_index_that_is_damaged_or_gone_is_made_anew() {
    let disk = Disk::new();
    {
        let store = open(&disk, small());
        for id in ["a", "b", "c"] {
            let log = Probe::create(&store, id).unwrap();
            log.append_with(1, 50, &[AttributeChange::set("of", id).unwrap()]).unwrap();
            for _ in 0..2 {
                log.durable(log.append(40, 100).unwrap()).unwrap();
            }
            if id != "c" {
                log.seal().unwrap();
            }
        }
        wait(store.delete(&name("b"))).unwrap();
    }
    let indexes: Vec<String> =
        disk.files().into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".index")).collect();
    assert!(indexes.len() > 2);
    for index in &indexes {
        for flip in [0, 40, 300] {
            let broken = disk.edited(|name, bytes| {
                if name == index {
                    match flip {
                        0 => bytes.clear(),
                        at => {
                            let at = bytes.len().saturating_sub(at);
                            bytes[at] ^= 1;
                        }
                    }
                }
            });
            let store = open(&broken, small());
            assert!(Probe::open(&store, "b").is_err(), "what was deleted stays so");
            for (id, sealed) in [("a", true), ("c", false)] {
                let log = Probe::open(&store, id).unwrap();
                assert_eq!(
                    log.read_all(1).entries,
                    (1..=81).collect::<Vec<_>>(),
                    "`{index}` broken at {flip}"
                );
                assert_eq!(log.log.head().sealed, sealed);
                assert_eq!(log.log.head().attributes.len(), 1);
            }
        }
    }
}

#[test]
fn what_is_kept_in_memory_is_read_from_the_disk_twice_and_each_time_without_room() {
    let disk = Disk::new();
    {
        let store = open(&disk, small());
        let log = Probe::create(&store, "a").unwrap();
        for _ in 0..20 {
            log.durable(log.append(3, 100).unwrap()).unwrap();
        }
    }
    for (room, kept) in [(1 << 20, true), (0, false)] {
        let disk = disk.kill();
        let store = open(&disk, small().with_max_cached_bytes(room));
        let log = Probe::open(&store, "a").unwrap();
        let read = || wait(log.log.read_passage(seq(1), 1, 1, None)).is_ok();
        assert!(read() && read());
        // The whole of every segment is another from now on.
        disk.overwrite(|name, bytes| {
            if name.ends_with(".log") {
                bytes.iter_mut().for_each(|byte| *byte ^= 1);
            }
        });
        assert_eq!(read(), kept, "with room for {room} bytes");
    }
}

#[test]
fn as_many_threads_read_as_there_may_be_readers() {
    for readers in 1..=3 {
        let disk = Disk::new();
        let store = open(&disk, small().with_readers(readers).with_max_cached_bytes(0));
        let log = Probe::create(&store, "a").unwrap();
        log.durable(log.append(3, 100).unwrap()).unwrap();
        disk.read_together(readers);
        let reads: Vec<_> = (0..20).map(|_| log.log.read(seq(1), 10, 1 << 20)).collect();
        reads.into_iter().for_each(|read| assert_eq!(wait(read).unwrap().len(), 3));
        assert_eq!(disk.read_together_at_most(), readers);
    }
}
