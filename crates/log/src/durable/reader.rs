//! Reading a stream: what there is, and waiting for more.

use std::sync::Arc;

use bytes::Bytes;
use streamnest_core::{Entry, Passage, Position, Seq};

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

/// What a reader found, in parts: of [entries](EntriesOf), or of the [bytes](Bytes) that they say.
#[derive(Clone, Debug)]
pub struct Chunk<T> {
    /// What follows each other; none if there is nothing at the moment.
    pub parts: Vec<T>,
    /// Before the first entry.
    pub from: Position,
    /// After the last one.
    pub next: Position,
    /// Whether these are all that there were when it was read.
    pub up_to_date: bool,
    /// Whether nothing will ever follow.
    pub closed: bool,
}

/// Entries that follow each other, and the log that holds them.
pub type EntriesOf = (Arc<EventLog>, Vec<Arc<Entry>>);

/// How far a read has come, and where it is to end.
struct Walk {
    at: Seq,
    tail: Seq,
    closed: bool,
    /// Bytes that are wanted yet.
    left: usize,
}

impl Walk {
    /// How much to read next of the segment that has it; `None` if there is no more, or enough.
    fn next<'a>(&self, chain: &'a Chain, began: Seq) -> Option<(&'a Segment, ReadLimit)> {
        if self.at >= self.tail || (self.at > began && self.left == 0) {
            return None;
        }
        let segment = chain.of(self.at.next());
        let entries = segment.end.unwrap_or(self.tail).distance_from(self.at);
        let entries = usize::try_from(entries).unwrap_or(usize::MAX).min(BATCH_ENTRIES);
        Some((segment, ReadLimit { entries, bytes: self.left }))
    }

    fn took(&mut self, entries: u64, bytes: usize) {
        self.at = self.at.forward(entries);
        self.left = self.left.saturating_sub(bytes);
        // To look for another one that does not fit would be for nothing.
        if (self.left as u64).saturating_mul(entries) < bytes as u64 {
            self.left = 0;
        }
    }
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

    /// How many entries it has not read.
    pub fn lag(&self) -> u64 {
        self.chain.tail().0.distance_from(self.at)
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

    /// Takes what there is, about `bytes` of [`Entry::weight`], and at least one entry if there is one.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Removed`]; [`Error::Trimmed`] if what follows is no longer kept, [`Error::Damaged`] if it
    /// cannot be served as it was written.
    ///
    /// # Cancel safety
    /// Safe: the reader moves when this returns.
    pub async fn read(&mut self, bytes: usize) -> Result<Chunk<EntriesOf>, Error> {
        let (mut walk, mut parts) = (self.walk(bytes), Vec::<EntriesOf>::new());
        while let Some((segment, limit)) = walk.next(&self.chain, self.at) {
            let batch: Vec<_> = match segment.next(walk.at, limit).await? {
                Read::Batch(batch) => batch.into_iter().collect(),
                // What lies before it is given first.
                Read::Gap(_) if walk.at > self.at => break,
                Read::Gap(gap) => return Err(self.missing(segment, gap)),
            };
            walk.took(batch.len() as u64, batch.iter().map(|entry| entry.weight()).sum());
            match parts.last_mut() {
                Some((log, entries)) if Arc::ptr_eq(log, &segment.log) => entries.extend(batch),
                _ => parts.push((segment.log.clone(), batch)),
            }
        }
        Ok(self.chunk(&walk, parts))
    }

    /// Takes what there is of what the entries say, each payload behind `lead`: at most `bytes` of that, leads included, except
    /// that one entry that says more is still given alone.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// Safe: the reader moves when this returns.
    pub async fn read_passage(&mut self, bytes: usize, lead: Option<u8>) -> Result<Chunk<Bytes>, Error> {
        let (mut walk, mut parts) = (self.walk(bytes), Vec::new());
        while let Some((segment, limit)) = walk.next(&self.chain, self.at) {
            match segment.passage(walk.at, limit, lead).await? {
                // One entry alone may be more than is left, and then it is given by itself.
                Ok(passage) if walk.at > self.at && passage.bytes() > walk.left => break,
                Ok(passage) => {
                    walk.took(passage.entries(), passage.bytes());
                    parts.extend(passage.into_pieces());
                }
                Err(_) if walk.at > self.at => break,
                Err(gap) => return Err(self.missing(segment, gap)),
            }
        }
        Ok(self.chunk(&walk, parts))
    }

    /// Stands after the first `entries` of a chunk that was read last, which ends there then.
    pub fn keep<T>(&mut self, chunk: &mut Chunk<T>, entries: u64) {
        let at = chunk.from.seq().forward(entries);
        if at < self.at {
            self.at = at;
            chunk.next = self.chain.position(at);
            (chunk.up_to_date, chunk.closed) = (false, false);
        }
    }

    fn walk(&self, bytes: usize) -> Walk {
        let (tail, closed) = self.chain.tail();
        Walk { at: self.at, tail, closed, left: bytes }
    }

    /// What was read, after which the reader stands.
    fn chunk<T>(&mut self, walk: &Walk, parts: Vec<T>) -> Chunk<T> {
        let from = self.chain.position(self.at);
        self.at = walk.at;
        let up_to_date = walk.at >= walk.tail;
        let (next, closed) = (self.chain.position(walk.at), walk.closed && up_to_date);
        Chunk { parts, from, next, up_to_date, closed }
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

impl<T> Chunk<T> {
    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.from == self.next
    }

    /// The same stretch, told otherwise.
    pub fn map<U>(self, tell: impl FnOnce(Vec<T>) -> Vec<U>) -> Chunk<U> {
        let Self { parts, from, next, up_to_date, closed } = self;
        Chunk { parts: tell(parts), from, next, up_to_date, closed }
    }
}

impl Chunk<EntriesOf> {
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

    /// What the entries after the stream's entry `at` say, which are there.
    async fn passage(
        &self,
        at: Seq,
        limit: ReadLimit,
        lead: Option<u8>,
    ) -> Result<Result<Passage, Gap>, Error> {
        self.log.passage(self.local(at), limit, lead).await?.ok_or(Error::Removed)
    }
}
