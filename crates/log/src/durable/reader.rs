//! Reading a stream: what there is, and waiting for more.

use std::sync::Arc;

use streamnest_core::{Entry, Position, Seq};

use super::{
    place::{Chain, Segment},
    stream::{Stand, Stream, Waiting},
};
use crate::{Error, EventLog, Gap, GapReason, Read, ReadLimit, Start};

/// How many entries one look into a log takes: each that finds them in the store costs a way to one of its threads and back.
const BATCH_ENTRIES: usize = 8_192;

/// One reader of one stream, or of the log of an execution as if it were one.
#[derive(Debug)]
pub struct Reader {
    chain: Chain,
    /// The last entry that was read.
    at: Seq,
    stream: Option<Arc<Stream>>,
}

/// What a reader found.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Entries that follow each other, with the logs that hold them; empty if there are none at the moment.
    pub parts: Vec<(Arc<EventLog>, Vec<Arc<Entry>>)>,
    /// Before the first one.
    pub from: Position,
    /// After the last one.
    pub next: Position,
    /// Whether these are all that there were when it was read.
    pub up_to_date: bool,
    /// Whether nothing will ever follow.
    pub closed: bool,
}

impl Reader {
    pub(super) const fn new(chain: Chain, stream: Arc<Stream>) -> Self {
        Self { chain, at: Seq::BEFORE_FIRST, stream: Some(stream) }
    }

    /// A reader of one log, before its first entry.
    pub fn of_log(log: Arc<EventLog>) -> Self {
        let own = Segment { log, before: Seq::BEFORE_FIRST, end: None };
        Self { chain: Chain::new(Vec::new(), own), at: Seq::BEFORE_FIRST, stream: None }
    }

    /// The log that holds what is appended last.
    pub fn log(&self) -> &Arc<EventLog> {
        &self.chain.own().log
    }

    /// Where the stream stands.
    pub fn stand(&self) -> Stand {
        let (tail, closed) = self.chain.tail();
        Stand { tail: self.chain.position(tail), closed }
    }

    /// Goes to after `position`.
    ///
    /// # Errors
    /// [`Error::StalePosition`], [`Error::BeyondEnd`].
    pub fn go_after(&mut self, position: Position) -> Result<(), Error> {
        self.at = self.chain.find(position)?;
        Ok(())
    }

    /// Goes to the end.
    pub fn go_to_end(&mut self) {
        (self.at, _) = self.chain.tail();
    }

    /// Takes what there is, about `bytes` of it, and at least one entry if there is one.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Removed`]; [`Error::Trimmed`] if what follows is no longer kept, [`Error::Damaged`] if it
    /// cannot be served as it was written.
    ///
    /// # Cancel safety
    /// Safe: the reader moves when this returns.
    pub async fn read(&mut self, bytes: usize) -> Result<Chunk, Error> {
        let (tail, closed) = self.chain.tail();
        let (mut at, mut parts, mut taken) = (self.at, Vec::<(Arc<EventLog>, Vec<Arc<Entry>>)>::new(), 0);
        while at < tail && (parts.is_empty() || taken < bytes) {
            let segment = self.chain.of(at.next());
            let left = segment.end.unwrap_or(tail).distance_from(at);
            let limit = ReadLimit {
                entries: usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_ENTRIES),
                bytes: bytes.saturating_sub(taken),
            };
            let batch: Vec<_> = match segment.next(at, limit).await? {
                Read::Batch(batch) => batch.into_iter().collect(),
                // What lies before it is given first.
                Read::Gap(_) if !parts.is_empty() => break,
                Read::Gap(gap) => return Err(self.missing(segment, gap)),
            };
            taken += batch.iter().map(|entry| entry.event().payload().len()).sum::<usize>();
            at = at.forward(batch.len() as u64);
            match parts.last_mut() {
                Some((log, entries)) if Arc::ptr_eq(log, &segment.log) => entries.extend(batch),
                _ => parts.push((segment.log.clone(), batch)),
            }
        }
        let from = self.chain.position(self.at);
        self.at = at;
        let up_to_date = at >= tail;
        Ok(Chunk { parts, from, next: self.chain.position(at), up_to_date, closed: closed && up_to_date })
    }

    /// The error of entries that `segment` does not have.
    fn missing(&self, segment: &Segment, Gap { to, reason, .. }: Gap) -> Error {
        let to = segment.before.forward(to.get());
        let first = self.chain.position(segment.end.map_or(to, |end| to.min(end)));
        if reason == GapReason::Damaged { Error::Damaged { first } } else { Error::Trimmed { first } }
    }

    /// Waits until there is more to read, or nothing will ever follow. A stream with a sliding lifetime lives on
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Removed`].
    ///
    /// # Cancel safety
    /// Safe: the reader does not move.
    pub async fn wait(&self) -> Result<(), Error> {
        let waiting = self.stream.clone().map(Waiting::new);
        let own = self.chain.own();
        if self.at < self.chain.tail().0 {
            return Ok(());
        }
        let mut cursor = own.log.observer(own.start(self.at)).unabridged();
        cursor.next_batch(ReadLimit { entries: 1, bytes: 1 }).await?;
        if let Some(waiting) = waiting {
            waiting.stream().check()?;
        }
        Ok(())
    }
}

impl Chunk {
    /// Whether there are no entries.
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The first entry.
    pub(super) fn first(&self) -> Option<&Arc<Entry>> {
        self.parts.first().and_then(|(_, entries)| entries.first())
    }
}

impl Segment {
    fn start(&self, at: Seq) -> Start {
        Start::After(self.log.position(self.local(at)))
    }

    /// The entries after the stream's entry `at`, which are there.
    async fn next(&self, at: Seq, limit: ReadLimit) -> Result<Read, Error> {
        let mut cursor = self.log.observer(self.start(at)).unabridged();
        // They were there a moment ago, so the log is gone if nothing is.
        cursor.next_batch(limit).await?.ok_or(Error::Removed)
    }
}
