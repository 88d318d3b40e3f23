//! Logs under test, and what was acknowledged of them.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use streamnest_core::{
    AttributeChange, DurabilityWatch, Entry, Event, EventType, ExecutionId, LogName, LogStore, Mark,
    NamesLog as _, NodeName, Seq, StoreError, StoredLog, Timestamp, payload,
};
use streamnest_log::SystemClock;
use streamnest_log_disk::{DiskOptions, DiskStore};

use crate::simulated::Disk;

/// The longest that something may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers that look random, and come again with the same seed: xorshift64* by Marsaglia and Vigna.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Whether the long forms are asked for.
pub(crate) fn chaos() -> bool {
    std::env::var_os("STREAMNEST_CHAOS").is_some_and(|value| value == "1")
}

/// Small segments and no reserve, so that little has to be written for much to happen.
pub(crate) fn small() -> DiskOptions {
    DiskOptions::default().with_segment_bytes(4_096).with_reserve_bytes(0)
}

pub(crate) fn open(disk: &Arc<Disk>, options: DiskOptions) -> DiskStore {
    DiskStore::open_on(disk.clone(), Arc::new(SystemClock), options).expect("the store opens")
}

pub(crate) fn name(id: &str) -> LogName {
    ExecutionId::new(id).unwrap().log_name()
}

/// Waits for a future that a thread of the store completes.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Hears what is durable of a log.
#[derive(Default)]
pub(crate) struct Heard {
    state: Mutex<(Mark, Option<StoreError>)>,
    changed: Condvar,
}

impl DurabilityWatch for Heard {
    fn durable(&self, mark: Mark) {
        self.state.lock().unwrap().0 = mark;
        self.changed.notify_all();
    }

    fn failed(&self, error: StoreError) {
        self.state.lock().unwrap().1 = Some(error);
        self.changed.notify_all();
    }
}

/// A log with its one writer.
pub(crate) struct Probe {
    pub(crate) log: Arc<dyn StoredLog>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) accepted: Mutex<u64>,
}

impl Probe {
    pub(crate) fn create(store: &DiskStore, id: &str) -> Result<Self, StoreError> {
        let heard = Arc::new(Heard::default());
        let log = wait(store.create(&name(id), &[], heard.clone()))?;
        Ok(Self { log, heard, accepted: Mutex::new(0) })
    }

    pub(crate) fn open(store: &DiskStore, id: &str) -> Result<Self, StoreError> {
        let heard = Arc::new(Heard::default());
        let log = wait(store.open(&name(id), heard.clone()))?;
        let last = log.head().last.get();
        Ok(Self { log, heard, accepted: Mutex::new(last) })
    }

    /// Appends entries of so many bytes; they may not be durable yet.
    pub(crate) fn append(&self, count: u64, size: usize) -> Result<u64, StoreError> {
        self.append_with(count, size, &[])
    }

    pub(crate) fn append_with(
        &self,
        count: u64,
        size: usize,
        changes: &[AttributeChange],
    ) -> Result<u64, StoreError> {
        let mut accepted = self.accepted.lock().unwrap();
        let batch: Vec<_> = (*accepted + 1..=*accepted + count).map(|seq| entry(seq, size)).collect();
        self.log.append(self.log.head().term, seq(*accepted), &batch, changes)?;
        *accepted += count;
        Ok(*accepted)
    }

    pub(crate) fn seal(&self) -> Result<(), StoreError> {
        self.log.seal(self.log.head().term, seq(*self.accepted.lock().unwrap()))?;
        self.until(|mark| mark.sealed)
    }

    /// Waits until `last` is durable.
    pub(crate) fn durable(&self, last: u64) -> Result<(), StoreError> {
        self.until(|mark| mark.last.get() >= last)
    }

    pub(crate) fn until(&self, done: impl Fn(&Mark) -> bool) -> Result<(), StoreError> {
        let state = self.heard.state.lock().unwrap();
        let waiting = |state: &mut (Mark, Option<StoreError>)| !done(&state.0) && state.1.is_none();
        let (state, waited) = self.heard.changed.wait_timeout_while(state, PATIENCE, waiting).unwrap();
        assert!(!waited.timed_out(), "nothing became durable in {PATIENCE:?}, after {:?}", state.0);
        if done(&state.0) { Ok(()) } else { Err(state.1.clone().unwrap()) }
    }

    /// The last entry that was heard to be durable.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.heard.state.lock().unwrap().0.last.get()
    }

    /// Everything from `from` on: entries, and the gaps between them. Every entry is held to be as it was written, and what they
    /// say to be the same if it is read without them.
    pub(crate) fn read_all(&self, from: u64) -> Read {
        let (read, said) = self.read_entries(from);
        // The third time some of it is in memory.
        for _ in 0..3 {
            assert_eq!(self.read_passages(from), (read.gaps.clone(), said.clone()), "from {from}");
        }
        read
    }

    /// The gaps, and what entries say, a zero before each.
    fn read_passages(&self, from: u64) -> (Vec<(u64, u64)>, Vec<u8>) {
        let (mut gaps, mut said, mut next) = (Vec::new(), Vec::new(), from);
        loop {
            match wait(self.log.read_passage(seq(next), 100, 1 << 12, Some(0))) {
                Ok(passage) if passage.entries() == 0 => return (gaps, said),
                Ok(passage) => {
                    next += passage.entries();
                    passage.into_pieces().iter().for_each(|piece| said.extend_from_slice(piece));
                }
                Err(StoreError::Trimmed { trimmed }) => next = trimmed.get() + 1,
                Err(StoreError::Damaged { from, to, .. }) => {
                    assert_eq!(from.get(), next, "a gap begins where the reader stands");
                    gaps.push((from.get(), to.get()));
                    next = to.get() + 1;
                }
                Err(error) => panic!("a passage from {next} cannot be read: {error}"),
            }
        }
    }

    fn read_entries(&self, from: u64) -> (Read, Vec<u8>) {
        let (mut read, mut said) = (Read::default(), Vec::new());
        let mut next = from;
        loop {
            match wait(self.log.read(seq(next), 100, 1 << 16)) {
                Ok(entries) if entries.is_empty() => return (read, said),
                Ok(entries) => {
                    for found in entries {
                        assert_eq!(found.seq().get(), next, "entries come in order and without gaps");
                        let size = found.event().payload().len();
                        assert_eq!(
                            found.event(),
                            sized(next, size).event(),
                            "entry {next} is not as it was written"
                        );
                        said.push(0);
                        said.extend_from_slice(found.event().payload());
                        read.entries.push(next);
                        next += 1;
                    }
                }
                Err(StoreError::Trimmed { trimmed }) => next = trimmed.get() + 1,
                Err(StoreError::Damaged { from, to, file, .. }) => {
                    assert_eq!(from.get(), next, "a gap begins where the reader stands");
                    assert!(to >= from && !file.is_empty(), "a gap of {from} to {to} in `{file}`");
                    read.gaps.push((from.get(), to.get()));
                    next = to.get() + 1;
                }
                Err(error) => panic!("a read from {next} fails: {error}"),
            }
        }
    }
}

/// What a reader got.
#[derive(Default, Debug, PartialEq)]
pub(crate) struct Read {
    pub(crate) entries: Vec<u64>,
    pub(crate) gaps: Vec<(u64, u64)>,
}

pub(crate) fn seq(number: u64) -> Seq {
    Seq::try_from(number).unwrap()
}

/// The entry `seq`, with about `size` bytes of content that depend on its number.
pub(crate) fn entry(seq: u64, size: usize) -> Arc<Entry> {
    let content: String =
        (0..size).map(|at| char::from(b'a' + ((seq as usize * 7 + at) % 26) as u8)).collect();
    let event = if seq.is_multiple_of(2) {
        Event::token(
            NodeName::new("write").unwrap(),
            &payload::Token { content, index: seq, ..Default::default() },
        )
    } else {
        Event::named(None, EventType::CUSTOM, &content.into())
    };
    Arc::new(Entry::new(self::seq(seq), Timestamp::from_micros(1_795_000_000_000_000 + seq), event))
}

/// The entry `seq` whose payload takes `bytes`.
fn sized(seq: u64, bytes: usize) -> Arc<Entry> {
    let empty = entry(seq, 0).event().payload().len();
    entry(seq, bytes.saturating_sub(empty))
}
