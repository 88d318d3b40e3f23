//! Full disks: what is refused, what is taken all the same, and how writing comes back.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use streamnest_core::{AttributeChange, LogStore as _, StoreError};
use streamnest_log_disk::{DiskOptions, DiskStore};

use crate::{
    simulated::Disk,
    support::{PATIENCE, Probe, name, open, small, wait},
};

#[test]
fn a_full_disk_refuses_appends_keeps_what_it_accepted_reads_on_and_recovers_by_itself() {
    let disk = Disk::new();
    let options = DiskOptions::default()
        .with_segment_bytes(64 << 10)
        .with_reserve_bytes(32 << 10)
        .with_full_retry(Duration::from_millis(5));
    let store = open(&disk, options);
    let (a, b) = (Probe::create(&store, "a").unwrap(), Probe::create(&store, "b").unwrap());
    b.durable(b.append(50, 300).unwrap()).unwrap();
    b.seal().unwrap();
    disk.limit(20 << 10);
    let mut refused = None;
    for _ in 0..1_000 {
        match a.append(1, 500) {
            // Everything that is accepted becomes durable: there is the reserve.
            Ok(last) => a.durable(last).unwrap(),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let refused = refused.expect("20 KiB do not hold 1,000 entries");
    assert_eq!((refused.code(), refused.is_retryable()), ("store_full", true), "{refused}");
    assert!(refused.to_string().contains("simulated disk"), "{refused}");
    let accepted = *a.accepted.lock().unwrap();
    assert_eq!(a.acknowledged(), accepted, "what was accepted before is durable");
    assert_eq!(a.read_all(1).entries.len() as u64, accepted, "reads go on");
    assert!(matches!(Probe::create(&store, "c"), Err(StoreError::Full { .. })));
    // What makes room is taken.
    wait(store.delete(&name("b"))).unwrap();
    let full_since = Instant::now();
    disk.limit(1 << 20);
    let resumed = loop {
        match a.append(1, 500) {
            Ok(last) => break last,
            Err(error) => assert_eq!(error.code(), "store_full"),
        }
        assert!(full_since.elapsed().as_secs() < 30, "writing does not resume");
        thread::yield_now();
    };
    let took = full_since.elapsed();
    a.durable(resumed).unwrap();
    assert_eq!(a.read_all(1).entries, (1..=accepted + 1).collect::<Vec<_>>());
    println!("disk full: accepted={accepted} lost=0 resumed_after_ms={:.1}", took.as_secs_f64() * 1e3);
}

/// Deletes a log, and does not wait for ever.
fn delete(store: &Arc<DiskStore>, id: &str) {
    let (store, id, (tell, told)) = (store.clone(), name(id), mpsc::channel());
    thread::spawn(move || tell.send(wait(store.delete(&id))));
    told.recv_timeout(PATIENCE).expect("a delete is not done").unwrap();
}

/// Waits until logs can be made again.
fn resume(store: &DiskStore) -> Probe {
    let since = Instant::now();
    loop {
        match Probe::create(store, "again") {
            Ok(log) => return log,
            Err(error) => assert_eq!(error.code(), "store_full"),
        }
        assert!(since.elapsed() < PATIENCE, "writing does not resume");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Appends when that is taken: for a moment after the disk had room again there may be none.
fn append_on(log: &Probe, count: u64, bytes: usize) {
    let since = Instant::now();
    loop {
        match log.append(count, bytes) {
            Ok(last) => return log.durable(last).unwrap(),
            Err(error) => assert_eq!(error.code(), "store_full"),
        }
        assert!(since.elapsed() < PATIENCE, "writing does not go on");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Appends until there is no room; the last entry that was taken, which is durable.
fn fill_up(log: &Probe) -> u64 {
    loop {
        match log.append(1, 500) {
            Ok(last) => log.durable(last).unwrap(),
            Err(error) => {
                assert_eq!(error.code(), "store_full");
                return log.acknowledged();
            }
        }
    }
}

#[test]
fn a_full_segment_grows_on_where_there_is_no_room_for_its_index_and_deleting_brings_writing_back() {
    let disk = Disk::new();
    let options = DiskOptions::default()
        .with_segment_bytes(64 << 10)
        .with_reserve_bytes(16 << 10)
        .with_full_retry(Duration::from_millis(5));
    let store = Arc::new(open(&disk, options.clone()));
    let dies = Probe::create(&store, "dies").unwrap();
    dies.durable(dies.append(100, 700).unwrap()).unwrap();
    // Many logs of few bytes each make an index that is large.
    let length = |name: &str| disk.files().iter().find(|file| file.0 == name).map(|file| file.1);
    let mut short = Vec::new();
    while length("0000000000000002.log").is_none_or(|length| length < 61 << 10) {
        short.push(format!("run{}", short.len()));
        let log = Probe::create(&store, &short[short.len() - 1]).unwrap();
        log.durable(log.append(1, 10).unwrap()).unwrap();
    }
    let grows = Probe::create(&store, "grows").unwrap();
    disk.limit(12 << 10);
    let accepted = fill_up(&grows);
    let second = length("0000000000000002.log").unwrap();
    assert!(second >= 64 << 10, "the second segment is full: {second}");
    assert_eq!(length("0000000000000003.log"), None, "and there is no third one");
    assert_eq!(length("0000000000000002.index"), None, "nor half of what a next one needs");
    for id in &short[..20] {
        delete(&store, id);
    }
    assert!(Probe::create(&store, "refused").is_err(), "that makes no room");
    delete(&store, "dies");
    let again = resume(&store);
    again.durable(again.append(20, 100).unwrap()).unwrap();
    assert!(length("0000000000000003.log").is_some(), "the next segment has begun");
    let killed = disk.kill();
    killed.limit(0);
    for store in [&*store, &open(&killed, options)] {
        assert_eq!(Probe::open(store, "grows").unwrap().read_all(1).entries.len() as u64, accepted);
        assert_eq!(Probe::open(store, "again").unwrap().read_all(1).entries.len(), 20);
        for (nth, id) in short.iter().enumerate() {
            let read = Probe::open(store, id).map(|log| log.read_all(1).entries);
            assert_eq!(read.ok(), (nth >= 20).then(|| vec![1]), "`{id}`");
        }
    }
    println!("full disk: accepted={accepted} grown_to={second} lost=0");
}

#[test]
fn a_store_opens_on_a_full_disk_without_an_index_and_makes_it_another_time() {
    let disk = Disk::new();
    {
        let store = open(&disk, small());
        let a = Probe::create(&store, "a").unwrap();
        for _ in 0..20 {
            a.durable(a.append(3, 100).unwrap()).unwrap();
        }
    }
    let index = "0000000000000001.index";
    streamnest_log_disk::storage::Storage::remove(&*disk, index).unwrap();
    let has_index = || disk.files().iter().any(|(name, _)| name == index);
    disk.limit(0);
    let store = open(&disk, small());
    assert_eq!(Probe::open(&store, "a").unwrap().read_all(1).entries.len(), 60);
    assert!(!has_index());
    drop(store);
    disk.limit(1 << 20);
    drop(open(&disk, small()));
    assert!(has_index());
}

#[test]
fn deleting_brings_writing_back_though_the_oldest_segment_lives() {
    for stays_between in [false, true] {
        let disk = Disk::new();
        let options = DiskOptions::default()
            .with_segment_bytes(64 << 10)
            .with_reserve_bytes(32 << 10)
            .with_full_retry(Duration::from_millis(5));
        let store = Arc::new(open(&disk, options.clone()));
        for round in 0..5 {
            Probe::create(&store, &format!("old{round}")).unwrap();
        }
        let lives = Probe::create(&store, "lives").unwrap();
        lives.durable(lives.append(100, 700).unwrap()).unwrap();
        let stays = Probe::create(&store, "stays").unwrap();
        for round in 0..5 {
            let dies = Probe::create(&store, &format!("dies{round}")).unwrap();
            dies.durable(dies.append(40, 700).unwrap()).unwrap();
            wait(store.delete(&name(&format!("old{round}")))).unwrap();
            if stays_between {
                stays.durable(stays.append(2, 700).unwrap()).unwrap();
            }
            dies.durable(dies.append(50, 700).unwrap()).unwrap();
        }
        let grows = Probe::create(&store, "grows").unwrap();
        disk.limit(16 << 10);
        let accepted = fill_up(&grows);
        for round in 0..5 {
            delete(&store, &format!("dies{round}"));
        }
        let again = resume(&store);
        append_on(&again, 20, 500);
        let killed = disk.kill();
        killed.limit(1 << 20);
        for store in [&*store, &open(&killed, options)] {
            let read = |id: &str| Probe::open(store, id).map(|log| log.read_all(1).entries.len() as u64).ok();
            assert_eq!(read("lives"), Some(100));
            assert_eq!(read("stays"), Some(if stays_between { 10 } else { 0 }));
            assert_eq!((read("grows"), read("again")), (Some(accepted), Some(20)));
            for round in 0..5 {
                assert_eq!((read(&format!("old{round}")), read(&format!("dies{round}"))), (None, None));
            }
        }
    }
}

/// Makes logs of 10 KB one after the other until the disk is full; those that are there, and the one that was refused.
fn fill(store: &DiskStore) -> (Vec<String>, String) {
    let mut made = Vec::new();
    loop {
        let id = format!("run{}", made.len());
        let Ok(log) = Probe::create(store, &id) else { return (made, id) };
        for _ in 0..20 {
            match log.append(1, 500) {
                Ok(last) => log.durable(last).unwrap(),
                Err(error) => {
                    assert_eq!(error.code(), "store_full");
                    return (made, id);
                }
            }
        }
        made.push(id);
        assert!(made.len() < 1_000, "the disk becomes full");
    }
}

#[test]
fn deleting_on_a_full_disk_brings_writing_back_with_no_other_room() {
    // In one case a segment is never full, in the other all but one are.
    for segment_bytes in [64 << 10, 512 << 10] {
        let disk = Disk::new();
        let options = DiskOptions::default()
            .with_segment_bytes(segment_bytes)
            .with_reserve_bytes(128 << 10)
            .with_full_retry(Duration::from_millis(5));
        let store = open(&disk, options.clone());
        disk.limit(300 << 10);
        let (made, refused) = fill(&store);
        assert!(made.len() > 10, "{}", made.len());
        // Two of three go, among them those of the oldest segment only in part.
        let (kept, gone): (Vec<_>, Vec<_>) = made.iter().enumerate().partition(|(nth, _)| nth % 3 == 0);
        for (_, id) in gone {
            wait(store.delete(&name(id))).unwrap();
        }
        wait(store.delete(&name(&refused))).unwrap();
        let since = Instant::now();
        let again = resume(&store);
        append_on(&again, 20, 500);
        println!(
            "segments of {segment_bytes}: {} logs, writing resumed after {:?}",
            made.len(),
            since.elapsed()
        );
        let killed = disk.kill();
        killed.limit(1 << 20);
        for store in [&store, &open(&killed, options.clone())] {
            for (_, id) in &kept {
                assert_eq!(Probe::open(store, id).unwrap().read_all(1).entries.len(), 20, "`{id}` lives");
            }
        }
    }
}

#[test]
fn a_disk_that_fills_up_while_its_reserve_is_gone_makes_who_waits_wait() {
    let disk = Disk::new();
    let options = small().with_segment_bytes(1 << 20).with_full_retry(Duration::from_millis(5));
    let store = open(&disk, options);
    let a = Probe::create(&store, "a").unwrap();
    disk.limit(300);
    let last = a.append(4, 500).unwrap();
    thread::sleep(Duration::from_millis(30));
    assert_eq!(a.acknowledged(), 0, "there is no room");
    disk.limit(1 << 20);
    a.durable(last).unwrap();
    assert_eq!(a.read_all(1).entries, [1, 2, 3, 4]);
}

/// A segment of which little seems to live: what it says of logs has grown since, or stands elsewhere.
struct Crowded {
    disk: Arc<Disk>,
    store: Arc<DiskStore>,
}

impl Crowded {
    const RESERVE: u64 = 32 << 10;

    fn new() -> Self {
        let disk = Disk::new();
        let options = DiskOptions::default()
            .with_segment_bytes(64 << 10)
            .with_reserve_bytes(Self::RESERVE)
            // So that a segment goes only for want of room.
            .with_compact_above(1.0)
            .with_full_retry(Duration::from_millis(50));
        let store = Arc::new(open(&disk, options));
        Self { disk, store }
    }

    /// Appends so much that the next segment begins after it.
    fn fill_segment(&self, id: &str) {
        let log = Probe::create(&self.store, id).unwrap();
        log.durable(log.append(100, 700).unwrap()).unwrap();
    }

    fn become_full(&self) {
        let grows = Probe::create(&self.store, "grows").unwrap();
        // So little that the segment that grows is not full then, and no next one begins.
        self.disk.limit(4 << 10);
        fill_up(&grows);
    }

    /// Makes room, and does not wait for ever.
    fn compact(&self) {
        let (store, (tell, told)) = (self.store.clone(), mpsc::channel());
        thread::spawn(move || tell.send(store.compact()));
        told.recv_timeout(PATIENCE).expect("compaction waits for room that it is to make").unwrap();
    }

    /// Bytes of all segments.
    fn bytes(&self) -> u64 {
        let files = self.disk.files();
        let segments = files.iter().filter(|(name, _)| name.ends_with(".log"));
        segments.map(|(_, bytes)| *bytes as u64).sum()
    }
}

#[test]
fn what_has_grown_since_a_segment_was_full_is_not_written_to_the_last_of_a_full_disk() {
    let world = Crowded::new();
    world.fill_segment("lives");
    let grown: Vec<_> = (0..10).map(|nth| format!("grown{nth}")).collect();
    let probes = grown.iter().map(|id| Probe::create(&world.store, id).unwrap()).collect::<Vec<_>>();
    probes.iter().for_each(|log| log.durable(log.append(1, 10).unwrap()).unwrap());
    world.fill_segment("dies");
    for log in &probes {
        log.append_with(0, 0, &[AttributeChange::set("notes", vec![b'x'; 5_000]).unwrap()]).unwrap();
        log.until(|mark| mark.changes == 1).unwrap();
    }
    drop(probes);
    world.become_full();
    delete(&world.store, "dies");
    let before = world.bytes();
    world.compact();
    delete(&world.store, &grown[0]);
    let after = world.bytes();
    assert!(after < before + 1_000, "{before} bytes became {after}");
    assert!(Probe::create(&world.store, "refused").is_err(), "nothing has made room");
    for id in &grown[1..6] {
        delete(&world.store, id);
    }
    resume(&world.store);
    for id in &grown[6..] {
        let log = Probe::open(&world.store, id).unwrap();
        assert_eq!(log.log.head().attributes.get("notes").unwrap().len(), 5_000);
        assert_eq!(log.read_all(1).entries, [1]);
    }
}

#[test]
fn letting_a_segment_go_says_nothing_again_of_logs_that_it_does_not_speak_of() {
    let world = Crowded::new();
    let trimmed: Vec<_> = (0..500).map(|nth| format!("trimmed{nth}")).collect();
    for id in &trimmed {
        let log = Probe::create(&world.store, id).unwrap();
        log.durable(log.append(3, 10).unwrap()).unwrap();
        log.log.trim(log.log.head().term, crate::support::seq(2)).unwrap();
    }
    world.fill_segment("lives");
    let stays = Probe::create(&world.store, "stays").unwrap();
    stays.durable(stays.append(2, 700).unwrap()).unwrap();
    world.fill_segment("dies");
    world.become_full();
    let before = world.bytes();
    delete(&world.store, "dies");
    world.compact();
    // Two entries are copied, and what is known of their log.
    let after = world.bytes();
    assert!(after + (40 << 10) < before, "{before} bytes became {after}");
    resume(&world.store);
    assert_eq!(stays.read_all(1).entries, [1, 2]);
    drop(stays);
    let killed = world.disk.kill();
    killed.limit(1 << 20);
    let store = open(&killed, small());
    for id in &trimmed {
        let log = Probe::open(&store, id).unwrap();
        assert_eq!((log.log.head().trimmed.get(), log.read_all(3).gaps.len()), (2, 0), "`{id}`");
    }
}

#[test]
fn a_segment_does_not_grow_while_a_next_one_may_have_its_name() {
    let disk = Disk::new();
    let store = open(&disk, small().with_full_retry(Duration::from_millis(5)));
    let log = Probe::create(&store, "a").unwrap();
    disk.fill_directory(true);
    // It is durable before the next segment is to begin, which cannot be made, nor surely be unmade.
    log.durable(log.append(10, 500).unwrap()).unwrap();
    let length = || disk.files().iter().find(|file| file.0 == "0000000000000001.log").unwrap().1;
    let before = length();
    let accepted = log.append(1, 500);
    thread::sleep(Duration::from_millis(100));
    assert_eq!((length(), log.acknowledged()), (before, 10), "nothing is written meanwhile");
    disk.fill_directory(false);
    if let Ok(last) = accepted {
        log.durable(last).unwrap();
    }
    resume(&store);
    let last = log.append(1, 500).unwrap();
    log.durable(last).unwrap();
    assert_eq!(log.read_all(1).entries, (1..=last).collect::<Vec<_>>());
}
