//! Writer, cursors and books against a plain vector.

use std::sync::Arc;

use proptest::prelude::*;
use streamnest_core::{Entry, Epoch, Event, Position, payload::StatusUpdate};
use streamnest_log::{
    Cursor, EventLog, Gap, GapReason, LogOptions, Read, ReadLimit, Registry, Retention, Start, Writer,
};

use crate::support::{Loud, Plain, chaos, event_of, id, now, number, plain, poll, registry, seq};

/// What is done to the log.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Trim(u64),
    Open(From),
    Read { reader: usize, entries: usize, bytes: usize },
    Encode { reader: usize, loud: bool },
    Leave { reader: usize },
    Finish,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug)]
enum From {
    Beginning,
    Zeros,
    Now,
    /// This far back from the end, of this log's epoch.
    Back(u64),
    PastTheEnd(u64),
    OtherEpoch(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let from = prop_oneof![
        Just(From::Beginning),
        Just(From::Zeros),
        Just(From::Now),
        (0_u64..20).prop_map(From::Back),
        (1_u64..5).prop_map(From::PastTheEnd),
        (0_u64..5).prop_map(From::OtherEpoch),
    ];
    prop_oneof![
        6 => prop::collection::vec(0_usize..600, 1..6).prop_map(Step::Append),
        1 => (0_u64..12).prop_map(Step::Trim),
        3 => from.prop_map(Step::Open),
        9 => (0_usize..8, 0_usize..9, 0_usize..6_000)
            .prop_map(|(reader, entries, bytes)| Step::Read { reader, entries, bytes }),
        3 => (0_usize..8, any::<bool>()).prop_map(|(reader, loud)| Step::Encode { reader, loud }),
        1 => (0_usize..8).prop_map(|reader| Step::Leave { reader }),
        1 => Just(Step::Finish),
    ]
}

/// The log as it must be.
#[derive(Default)]
struct Model {
    /// Size of the payload of each entry ever appended.
    payloads: Vec<usize>,
    /// Bytes of encodings counted for each, per format.
    encoded: Vec<[usize; 2]>,
    trimmed: u64,
    sealed: bool,
    encodings: usize,
}

impl Model {
    fn last(&self) -> u64 {
        self.payloads.len() as u64
    }

    fn weight(&self, n: u64) -> usize {
        Entry::OVERHEAD + self.payloads[n as usize - 1]
    }

    /// The bytes that the books must say; `each` is what the books count for themselves per entry.
    fn bytes(&self, each: usize) -> usize {
        let kept = self.trimmed + 1..=self.last();
        kept.map(|n| self.weight(n) + each + self.encoded[n as usize - 1].iter().sum::<usize>()).sum()
    }

    fn retain(&mut self, max_entries: u64, max_bytes: usize, each: usize) {
        while self.last() - self.trimmed > 1
            && (self.last() - self.trimmed > max_entries || self.bytes(each) > max_bytes)
        {
            self.trimmed += 1;
        }
    }
}

struct Reader {
    cursor: Cursor,
    seq: u64,
    foreign: bool,
    /// What it read last.
    read: Vec<Arc<Entry>>,
}

struct World {
    registry: Registry,
    writer: Writer,
    model: Model,
    readers: Vec<Reader>,
    max_entries: u64,
    max_bytes: usize,
    each: usize,
}

impl World {
    fn new(hot_entries: usize, max_entries: u64, max_bytes: usize) -> Self {
        let retention = Retention::default().with_max_entries(max_entries).with_max_bytes(max_bytes);
        let options = LogOptions::default().with_hot_entries(hot_entries).with_retention(retention);
        let registry = registry(options);
        let writer = now(registry.create(&id("run"))).unwrap().unwrap();
        let each = books_per_entry();
        let (model, readers) = (Model::default(), Vec::new());
        Self { registry, writer, model, readers, max_entries, max_bytes, each }
    }

    fn log(&self) -> &Arc<EventLog> {
        self.writer.log()
    }

    fn retain(&mut self) {
        self.model.retain(self.max_entries, self.max_bytes, self.each);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(sizes) => self.append(&sizes),
            Step::Trim(kept) => {
                let up_to = self.model.last().saturating_sub(kept);
                self.log().trim(seq(up_to)).unwrap();
                self.model.trimmed = self.model.trimmed.max(up_to.min(self.model.last().saturating_sub(1)));
            }
            Step::Open(from) => self.open(from),
            Step::Read { reader, entries, bytes } => {
                if let Some(index) = self.index(reader) {
                    self.read(index, ReadLimit { entries, bytes });
                }
            }
            Step::Encode { reader, loud } => {
                if let Some(index) = self.index(reader) {
                    self.encode(index, loud);
                }
            }
            Step::Leave { reader } => {
                if let Some(index) = self.index(reader) {
                    self.readers.swap_remove(index);
                }
            }
            Step::Finish => {
                let ended = now(self.writer.finish(the_end()));
                assert_eq!(ended.unwrap().is_ok(), !self.model.sealed);
                if !self.model.sealed {
                    let end = Event::status(&the_end());
                    self.model.payloads.push(end.payload().len());
                    self.encoded_early(self.model.last());
                    self.model.sealed = true;
                    self.retain();
                }
            }
        }
        let head = self.log().head();
        assert_eq!(
            (head.trimmed.get(), head.last.get(), head.sealed),
            (self.model.trimmed, self.model.last(), self.model.sealed)
        );
        assert_eq!(head.bytes, self.model.bytes(self.each), "the books are what is kept");
        assert_eq!(self.registry.bytes(), head.bytes, "the registry's books are the log's");
        assert_eq!(self.log().subscribers(), self.readers.len());
        assert_eq!(self.log().encodings(), self.model.encodings);
    }

    fn index(&self, reader: usize) -> Option<usize> {
        (!self.readers.is_empty()).then(|| reader % self.readers.len())
    }

    fn append(&mut self, sizes: &[usize]) {
        let first = self.model.last() + 1;
        let events: Vec<Event> = (first..).zip(sizes).map(|(n, size)| event_of(n, *size)).collect();
        let payloads: Vec<usize> = events.iter().map(|event| event.payload().len()).collect();
        let appended = now(self.writer.append(events)).expect("memory is durable at once");
        if self.model.sealed {
            assert!(appended.is_err(), "a sealed log takes nothing");
            return;
        }
        assert_eq!(appended.unwrap().get(), self.model.last() + sizes.len() as u64);
        self.model.payloads.extend(payloads);
        for n in first..=self.model.last() {
            self.encoded_early(n);
        }
        self.retain();
    }

    /// What is encoded when it is appended, for a reader that waits, is in the books like the rest.
    fn encoded_early(&mut self, n: u64) {
        let mut cursor =
            self.log().observer(Start::After(Position::new(self.log().identity().epoch(), seq(n - 1))));
        let read = poll(&mut cursor, ReadLimit { entries: 1, ..ReadLimit::default() });
        let mut lengths = [0; 2];
        if let Some(Ok(Some(Read::Batch(batch)))) = read {
            for (slot, length) in lengths.iter_mut().enumerate() {
                *length = batch[0].encoded(slot).map_or(0, |encoded| encoded.length());
            }
        }
        self.model.encodings += lengths.iter().filter(|length| **length > 0).count();
        self.model.encoded.push(lengths);
    }

    fn open(&mut self, from: From) {
        let epoch = self.log().identity().epoch();
        let other = Epoch::new(epoch.get() + 1);
        let last = self.model.last();
        let (start, seq, foreign) = match from {
            From::Beginning => (Start::Beginning, 0, false),
            From::Zeros => (Start::After(Position::BEFORE_FIRST), 0, false),
            From::Now => (Start::Now, last, false),
            From::Back(by) => {
                let at = last.saturating_sub(by);
                (Start::After(Position::new(epoch, seq(at))), at, false)
            }
            From::PastTheEnd(by) => (Start::After(Position::new(epoch, seq(last + by))), 0, true),
            From::OtherEpoch(at) => (Start::After(Position::new(other, seq(at))), 0, true),
        };
        let cursor = self.log().cursor(start);
        self.readers.push(Reader { cursor, seq, foreign, read: Vec::new() });
    }

    fn read(&mut self, index: usize, limit: ReadLimit) {
        let epoch = self.log().identity().epoch();
        let (model, reader) = (&self.model, &mut self.readers[index]);
        assert_eq!(reader.cursor.lag(), model.last().saturating_sub(reader.seq));
        let got = poll(&mut reader.cursor, limit).map(Result::unwrap);
        if reader.foreign || reader.seq < model.trimmed {
            let reason = if reader.foreign { GapReason::Epoch } else { GapReason::Trimmed };
            let gap = Gap { from: seq(reader.seq + 1), to: seq(model.trimmed), reason };
            assert!(matches!(got, Some(Some(Read::Gap(found))) if found == gap), "{got:?} is not {gap:?}");
            reader.foreign = false;
            reader.seq = model.trimmed;
        } else if reader.seq < model.last() {
            let Some(Some(Read::Batch(batch))) = got else { panic!("{got:?} is no batch") };
            let mut bytes = 0;
            let mut expected = Vec::new();
            for n in reader.seq + 1..=model.last() {
                bytes += model.weight(n);
                if !expected.is_empty() && (expected.len() >= limit.entries || bytes > limit.bytes) {
                    break;
                }
                expected.push(n);
            }
            let found: Vec<u64> = batch.iter().map(|entry| entry.seq().get()).collect();
            assert_eq!(found, expected);
            for entry in batch.iter() {
                assert_eq!(entry.event().payload().len(), model.payloads[entry.seq().get() as usize - 1]);
                if entry.event().class() == streamnest_core::Class::Event {
                    assert_eq!(number(entry.event()), entry.seq().get());
                }
            }
            reader.seq = *found.last().unwrap();
            reader.read = batch.into_iter().collect();
        } else if model.sealed {
            assert!(matches!(got, Some(None)), "{got:?} after the end");
        } else {
            assert!(got.is_none(), "{got:?} out of nothing");
        }
        assert_eq!(reader.cursor.position(), Position::new(epoch, seq(reader.seq)));
    }

    fn encode(&mut self, index: usize, loud: bool) {
        let read = self.readers[index].read.clone();
        let mut out = Vec::new();
        if loud {
            self.log().encoded::<Loud>(&read, &mut out);
        } else {
            self.log().encoded::<Plain>(&read, &mut out);
        }
        let expected: String =
            read.iter().map(|entry| if loud { format!("!{}", plain(entry)) } else { plain(entry) }).collect();
        let found = String::from_utf8(out.concat()).unwrap();
        assert_eq!(found, expected);
        // An entry that is trimmed while a reader holds it is encoded, but is in no books.
        for entry in &read {
            let n = entry.seq().get();
            let counted = &mut self.model.encoded[n as usize - 1][usize::from(loud)];
            if *counted == 0 {
                *counted = plain(entry).len() + usize::from(loud);
                self.model.encodings += 1;
            }
        }
        self.retain();
    }
}

fn the_end() -> StatusUpdate {
    StatusUpdate::completed(7.into())
}

/// What the books count for themselves per entry.
fn books_per_entry() -> usize {
    let registry = registry(LogOptions::default());
    let writer = now(registry.create(&id("one"))).unwrap().unwrap();
    now(writer.append([event_of(1, 0)])).unwrap().unwrap();
    let mut cursor = writer.log().cursor(Start::Beginning);
    let weight = crate::support::batch(poll(&mut cursor, ReadLimit::default()))[0].weight();
    writer.log().head().bytes - weight
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if chaos() { 4_096 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_log_does_what_a_vector_would(
        hot_entries in 1_usize..12,
        max_entries in 1_u64..30,
        max_bytes in 1_000_usize..40_000,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(hot_entries, max_entries, max_bytes);
        for step in steps {
            world.take(step);
        }
        let log = world.log().clone();
        world.readers.clear();
        assert_eq!(log.subscribers(), 0);
        now(world.registry.remove(&id("run"))).unwrap().unwrap();
        drop((world.writer, log));
        assert_eq!(world.registry.bytes(), 0, "a log that is gone leaves nothing in the books");
    }
}
