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
    encoded: [OnceLock<Encoded>; WIRE_FORMAT_SLOTS],
}

/// The bytes of one entry in one wire format, within a block that it may share with its neighbours.
///
/// Neighbours that were encoded together lie together, so that a reader who is owed many entries sends one piece.
#[derive(Clone, Debug)]
pub struct Encoded {
    rest: Bytes,
    length: usize,
}

impl Encoded {
    /// The first `length` bytes of `rest`, which runs on to the end of the block; all of it if it is shorter.
    pub fn new(rest: Bytes, length: usize) -> Self {
        let length = length.min(rest.len());
        Self { rest, length }
    }

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
    pub fn continues_with(&self, offset: usize, next: &Self) -> bool {
        // Both hold on to memory, so an equal address inside this block's bounds is the same block.
        offset < self.rest.len() && self.rest.as_ptr().wrapping_add(offset) == next.rest.as_ptr()
    }
}

impl Entry {
    /// An event at its place. Only a log's writer and a store that reads back what it kept make one.
    pub fn new(seq: Seq, time: Timestamp, event: Event) -> Self {
        Self { seq, time, event, encoded: [const { OnceLock::new() }; WIRE_FORMAT_SLOTS] }
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
    pub fn encoded(&self, slot: usize) -> Option<&Encoded> {
        self.encoded.get(slot).and_then(OnceLock::get)
    }

    /// Keeps the bytes for a wire format; the first to come stay.
    pub fn keep_encoded(&self, slot: usize, encoded: Encoded) -> bool {
        self.encoded.get(slot).is_some_and(|cell| cell.set(encoded).is_ok())
    }

    /// Keeps the bytes for the wire format `F` before anybody else has the entry. Where the payload stands in them as it is, it
    /// is kept there and nowhere else.
    pub fn begin_encoded<F: WireFormat>(&mut self, bytes: Bytes) {
        let within = F::AFTER_PAYLOAD.and_then(|after| {
            let end = bytes.len().checked_sub(after)?;
            let start = end.checked_sub(self.event.payload().len())?;
            Some(bytes.slice(start..end)).filter(|within| within == self.event.payload())
        });
        if let Some(within) = within {
            self.event.keep_payload_as(within);
        }
        let length = bytes.len();
        self.keep_encoded(F::SLOT, Encoded::new(bytes, length));
    }

    /// The bytes of memory that this entry takes, without its encodings: what retention counts.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + size_of::<Arc<Self>>() + self.event.payload().len()
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
