//! An event with its place in a log.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{Epoch, Event, ExecutionId, LogName, NamesLog, Position, Seq, Timestamp};

/// How many wire formats an entry can cache its bytes for.
pub const WIRE_FORMAT_SLOTS: usize = 2;

/// One place in a log: what was said, as the how-manieth, when.
///
/// An entry keeps the bytes of every wire format it was encoded in, so that each is made at most once however many
/// readers there are.
#[derive(Debug)]
pub struct Entry {
    seq: Seq,
    time: Timestamp,
    event: Event,
    /// What readers encoded. Most entries that are followed live have none of it: their bytes are around their event's
    /// payload.
    encoded: OnceLock<Box<Slots>>,
}

type Slots = [OnceLock<Kept>; WIRE_FORMAT_SLOTS];

#[derive(Debug)]
struct Kept {
    rest: Bytes,
    length: usize,
}

/// The bytes of one entry in one wire format, within a block that it may share with its neighbours.
///
/// Neighbours that were encoded together lie together, so that a reader who is owed many entries sends one piece.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// From the entry on to the end of the block.
    rest: &'a Bytes,
    length: usize,
}

impl Encoded<'_> {
    /// How many bytes the entry takes.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The entry's bytes.
    pub fn bytes(&self) -> Bytes {
        self.rest.slice(..self.length)
    }

    /// The bytes from the entry on, `length` of them, at most to the end of its block.
    pub fn run(&self, length: usize) -> Bytes {
        self.rest.slice(..length.min(self.rest.len()))
    }

    /// Whether `next` follows this entry without a gap, `offset` bytes from the start of this one, in the same block.
    pub fn continues_with(&self, offset: usize, next: &Encoded<'_>) -> bool {
        // Both hold on to memory, so an equal address inside this block's bounds is the same block.
        offset < self.rest.len() && self.rest.as_ptr().wrapping_add(offset) == next.rest.as_ptr()
    }
}

impl Entry {
    /// The bytes of memory that an entry counts for besides its payload: its own, its place in a log's list, and those that it
    /// takes once readers have encoded it.
    pub const OVERHEAD: usize = size_of::<Self>() + size_of::<Arc<Self>>() + size_of::<Slots>();

    /// An event at its place. Only a log's writer and a store that reads back what it kept make one.
    pub const fn new(seq: Seq, time: Timestamp, event: Event) -> Self {
        Self { seq, time, event, encoded: OnceLock::new() }
    }

    /// Its number in the log.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// When the writer took it.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// What was said.
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// The bytes kept for a wire format, if it was encoded already.
    pub fn encoded(&self, slot: usize) -> Option<Encoded<'_>> {
        if let Some(rest) = self.event.framed(slot) {
            return Some(Encoded { rest, length: rest.len() });
        }
        let Kept { rest, length } = self.encoded.get()?.get(slot)?.get()?;
        Some(Encoded { rest, length: *length })
    }

    /// Keeps the bytes for a wire format, the first `length` bytes of `rest`, which runs on to the end of the block; the first
    /// to come stay, and whether these did is returned.
    pub fn keep_encoded(&self, slot: usize, rest: Bytes, length: usize) -> bool {
        if self.event.framed(slot).is_some() {
            return false;
        }
        let slots = self.encoded.get_or_init(Box::default);
        let length = length.min(rest.len());
        slots.get(slot).is_some_and(|cell| cell.set(Kept { rest, length }).is_ok())
    }

    /// Keeps the bytes for the wire format `F` before anybody else has the entry. Where the payload stands in them as it is, it
    /// is kept there and nowhere else.
    pub fn begin_encoded<F: WireFormat>(&mut self, bytes: Bytes) {
        let refused = match F::AFTER_PAYLOAD {
            Some(after) => self.event.frame(F::SLOT, bytes, after).err(),
            None => Some(bytes),
        };
        if let Some(bytes) = refused {
            let length = bytes.len();
            self.keep_encoded(F::SLOT, bytes, length);
        }
    }

    /// The bytes of memory that this entry takes, without its encodings: what retention counts.
    pub fn weight(&self) -> usize {
        Self::OVERHEAD + self.event.payload().len()
    }
}

/// What an encoder must know of a log besides the entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogIdentity {
    name: LogName,
    execution: Option<ExecutionId>,
    epoch: Epoch,
}

impl LogIdentity {
    /// The log `name` in the incarnation `epoch`.
    pub fn new(name: &impl NamesLog, epoch: Epoch) -> Self {
        let name = name.log_name();
        Self { execution: name.execution(), name, epoch }
    }

    /// Its name in the store.
    pub const fn name(&self) -> &LogName {
        &self.name
    }

    /// The execution whose log it is; `None` for any other log.
    pub const fn execution(&self) -> Option<&ExecutionId> {
        self.execution.as_ref()
    }

    /// The execution's id, or the name of a log that is no execution's: what a frame or a log line calls it.
    pub fn subject(&self) -> &str {
        match &self.execution {
            Some(id) => id,
            None => &self.name,
        }
    }

    /// The incarnation of its content.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The position after `seq`.
    pub const fn position(&self, seq: Seq) -> Position {
        Position::new(self.epoch, seq)
    }
}

/// A pure function from an entry to the bytes that every connection of one wire format sends.
pub trait WireFormat: 'static {
    /// Where an [`Entry`] keeps the bytes: unique among the formats of a program, below [`WIRE_FORMAT_SLOTS`].
    const SLOT: usize;

    /// How many bytes follow the payload, if the payload stands in the bytes as it is: an entry that is encoded before
    /// anybody else has it then keeps both in one piece of memory.
    const AFTER_PAYLOAD: Option<usize> = None;

    /// Appends the bytes of `entry` to `out`.
    fn encode(log: &LogIdentity, entry: &Entry, out: &mut Vec<u8>);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Marked;

    impl WireFormat for Marked {
        const SLOT: usize = 1;
        const AFTER_PAYLOAD: Option<usize> = Some(1);
        fn encode(_: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
            out.extend([b"<", entry.event().payload(), b">"].concat());
        }
    }

    fn entry(payload: &'static [u8]) -> Entry {
        let event = Event::data(Bytes::from_static(payload));
        Entry::new(Seq::BEFORE_FIRST.next(), Timestamp::from_micros(1), event)
    }

    #[test]
    fn an_entry_takes_two_lines_of_the_cache() {
        // As it lies in memory: behind the two counts of its `Arc`.
        assert!(size_of::<Entry>() + 2 * size_of::<usize>() <= 128, "{}", size_of::<Entry>());
    }

    #[test]
    fn bytes_around_the_payload_keep_it_and_stay() {
        let mut entry = entry(b"said");
        entry.begin_encoded::<Marked>(Bytes::from_static(b"<said>"));
        let encoded = entry.encoded(1).unwrap().bytes();
        assert_eq!((&encoded[..], entry.event().payload()), (&b"<said>"[..], &b"said"[..]));
        assert_eq!(entry.event().payload().as_ptr(), encoded[1..].as_ptr());
        assert_eq!(entry.event().payload_bytes(), Bytes::from_static(b"said"));
        assert!(!entry.keep_encoded(1, Bytes::from_static(b"other"), 5), "the first to come stay");
        assert!(entry.encoded(0).is_none());
        assert!(entry.keep_encoded(0, Bytes::from_static(b"[said] and more"), 6));
        assert_eq!(entry.encoded(0).unwrap().bytes(), Bytes::from_static(b"[said]"));
        assert_eq!(entry.encoded(1).unwrap().length(), 6);
    }

    #[test]
    fn bytes_that_do_not_hold_the_payload_are_kept_beside_it() {
        for bytes in [&b"<sa id>"[..], b"id>", b""] {
            let mut entry = entry(b"said");
            entry.begin_encoded::<Marked>(Bytes::from_static(bytes));
            assert_eq!(entry.event().payload(), b"said");
            assert_eq!(entry.encoded(1).unwrap().bytes(), Bytes::from_static(bytes));
        }
    }
}
