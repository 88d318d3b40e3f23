//! An event with its place in a log.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{Epoch, Event, ExecutionId, Position, Seq, Timestamp};

/// How many wire formats an entry can cache its bytes for.
pub const WIRE_FORMAT_SLOTS: usize = 4;

/// One place in a log: what was said, as the how-manieth, when.
///
/// An entry keeps the bytes of every wire format it was encoded in, so that each is made at most once however many
/// readers there are.
#[derive(Debug)]
pub struct Entry {
    seq: Seq,
    time: Timestamp,
    event: Event,
    encoded: [OnceLock<Bytes>; WIRE_FORMAT_SLOTS],
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
    pub fn encoded(&self, slot: usize) -> Option<&Bytes> {
        self.encoded.get(slot).and_then(OnceLock::get)
    }

    /// Keeps the bytes for a wire format; the first to come stay.
    pub fn keep_encoded(&self, slot: usize, bytes: Bytes) -> bool {
        self.encoded.get(slot).is_some_and(|cell| cell.set(bytes).is_ok())
    }

    /// The bytes of memory that this entry takes, without its encodings: what retention counts.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + size_of::<Arc<Self>>() + self.event.payload().len()
    }
}

/// What an encoder must know of a log besides the entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogIdentity {
    /// The execution.
    pub execution: ExecutionId,
    /// The incarnation of its content.
    pub epoch: Epoch,
}

impl LogIdentity {
    /// The position after `seq`.
    pub const fn position(&self, seq: Seq) -> Position {
        Position::new(self.epoch, seq)
    }
}

/// A pure function from an entry to the bytes that every connection of one wire format sends.
pub trait WireFormat: 'static {
    /// Where an [`Entry`] keeps the bytes: unique among the formats of a program, below [`WIRE_FORMAT_SLOTS`].
    const SLOT: usize;

    /// Appends the bytes of `entry` to `out`.
    fn encode(log: &LogIdentity, entry: &Entry, out: &mut Vec<u8>);
}
