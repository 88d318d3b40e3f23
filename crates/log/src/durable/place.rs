//! Where an entry of a fork lies: in its own log, or in that of a stream it comes from.
//!
//! A fork counts on from where it was forked, so a number means the same entry in a stream and in all its forks that
//! inherit it. Positions keep the epoch of the log that holds the entry.

use std::sync::Arc;

use streamnest_core::{Epoch, Position, Seq};

use crate::{Error, EventLog};

/// What of one log belongs to a stream.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) log: Arc<EventLog>,
    /// How many entries lie before those of this log.
    pub(super) before: Seq,
    /// The last one that belongs to the stream; `None` if all do, also those to come.
    pub(super) end: Option<Seq>,
}

/// The logs of a stream, the eldest first; the last one is its own.
#[derive(Clone, Debug)]
pub(super) struct Chain(Vec<Segment>);

impl Chain {
    /// Takes segments that follow each other, the eldest first; its own stands apart because there always is one.
    pub(super) fn new(mut inherited: Vec<Segment>, own: Segment) -> Self {
        inherited.push(own);
        Self(inherited)
    }

    pub(super) fn own(&self) -> &Segment {
        self.0.last().expect("a chain ends with the stream's own log")
    }

    /// The segment that holds the entry `seq`.
    pub(super) fn of(&self, seq: Seq) -> &Segment {
        self.0.iter().rfind(|segment| segment.before < seq).unwrap_or_else(|| self.own())
    }

    /// The position after the entry `seq`.
    pub(super) fn position(&self, seq: Seq) -> Position {
        match seq {
            Seq::BEFORE_FIRST => Position::BEFORE_FIRST,
            seq => Position::new(self.epoch(seq), seq),
        }
    }

    /// The epoch of positions after the entry `seq`: that of the log that holds it. Where a crash has given an elder log a
    /// later epoch, that one goes on, so that positions sort as their entries do.
    fn epoch(&self, seq: Seq) -> Epoch {
        let own = self.of(seq);
        let elder = self.0.iter().take_while(|segment| segment.before < own.before);
        let epochs = elder.chain([own]).map(|segment| segment.log.identity().epoch());
        epochs.max().unwrap_or(own.log.identity().epoch())
    }

    /// The last entry there is, and whether nothing follows.
    pub(super) fn tail(&self) -> (Seq, bool) {
        let own = self.own();
        let head = own.log.head();
        (own.before.forward(head.last.get()), head.sealed)
    }

    /// The entry after which `position` is, if it is one of this stream.
    pub(super) fn find(&self, position: Position) -> Result<Seq, Error> {
        let Some(epoch) = position.epoch() else { return Ok(Seq::BEFORE_FIRST) };
        let seq = position.seq();
        // A stream that has nothing yet hands out zeros only, a log does also its epoch with a zero.
        if self.epoch(seq) != epoch && seq != Seq::BEFORE_FIRST {
            return Err(Error::StalePosition { position });
        }
        let (tail, _) = self.tail();
        if seq > tail {
            return Err(Error::BeyondEnd { position, tail: self.position(tail) });
        }
        Ok(seq)
    }
}

impl Segment {
    /// The number in its own log of the stream's entry `seq`.
    pub(super) fn local(&self, seq: Seq) -> Seq {
        Seq::BEFORE_FIRST.forward(seq.distance_from(self.before))
    }
}
