//! An append, and what comes of it.

use bytes::Bytes;
use streamnest_core::{AttributeChange, Event, Producer};

use super::{
    facts::{self, CLOSED, PRODUCER, SEQ, set},
    producer::{Session, Verdict},
    stream::Stand,
};
use crate::{Error, Writer};

/// What is to be appended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Append {
    /// The entries: for a stream one of [data](Event::data), for an execution any; none if it is only to be closed.
    pub events: Vec<Event>,
    /// The [attributes](crate::once_attribute) of those that are said once, by their place among the entries: one whose attribute
    /// is there is left out.
    pub once: Vec<(usize, AttributeChange)>,
    /// Whether nothing follows.
    pub close: bool,
    /// A writer's own sequence: refused unless it is greater, as bytes, than the last one of the stream.
    pub seq: Option<Bytes>,
    /// The request of an idempotent producer.
    pub producer: Option<Producer>,
}

/// What came of an append that was not refused. It is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Where the stream stands.
    pub stand: Stand,
    /// Whether it was appended or closed before, and nothing was done.
    pub duplicate: bool,
    /// The highest request of the producer's session that was appended.
    pub producer_seq: Option<u64>,
}

/// How far a producer has come.
pub(super) fn session(writer: &Writer, id: &str) -> Option<Session> {
    writer.attribute(&[PRODUCER, id].concat()).and_then(|text| Session::from_text(&text))
}

impl Append {
    /// How many bytes are to be appended.
    pub(super) fn size(&self) -> usize {
        size(&self.events)
    }

    /// Whether this is a new one. Only who has the writer's turn may ask.
    ///
    /// Precedence, by §5.2 and §5.2.1 of the protocol: a fenced producer, a closed stream, a producer's gap, a writer's
    /// own sequence.
    pub(super) fn judge(&self, writer: &Writer, max_producers: usize) -> Result<Verdict, Error> {
        let producer = self.producer.as_ref();
        let session = producer.and_then(|producer| session(writer, &producer.id));
        if let (Some(producer), Some(session)) = (producer, session)
            && producer.epoch < session.epoch
        {
            return Err(Error::ProducerFenced { epoch: session.epoch });
        }
        if let Some(closed_by) = writer.attribute(CLOSED) {
            let again = match producer {
                Some(_) => closed_by == facts::closing(producer),
                None => self.close && self.events.is_empty(),
            };
            return if again { Ok(Verdict::Duplicate) } else { Err(Error::StreamClosed) };
        }
        if let Some(producer) = producer
            && Session::judge(session, producer)? == Verdict::Duplicate
        {
            return Ok(Verdict::Duplicate);
        }
        if let (Some(seq), Some(last)) = (&self.seq, writer.attribute(SEQ))
            && *seq <= last
        {
            return Err(Error::SequenceRegression);
        }
        if producer.is_some() && session.is_none() && writer.count_attributes(PRODUCER) >= max_producers {
            return Err(Error::TooManyProducers { limit: max_producers });
        }
        Ok(Verdict::New)
    }

    /// The attributes that it changes.
    pub(super) fn changes(&self) -> Vec<AttributeChange> {
        let mut changes = Vec::new();
        if let Some(producer) = &self.producer {
            let session = Session { epoch: producer.epoch, seq: producer.seq };
            changes.push(set(&[PRODUCER, &producer.id].concat(), session.to_text()));
        }
        if let Some(seq) = &self.seq {
            changes.push(set(SEQ, seq.clone()));
        }
        if self.close {
            changes.push(facts::closed(facts::closing(self.producer.as_ref())));
        }
        changes
    }
}

/// How many bytes `events` have.
pub(super) fn size(events: &[Event]) -> usize {
    events.iter().map(|event| event.payload().len()).sum()
}
