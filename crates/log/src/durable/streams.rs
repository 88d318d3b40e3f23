//! All streams of a registry.

mod create;
mod known;
mod load;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use streamnest_core::{
    Event, LogName, Status,
    payload::{Failure, StatusUpdate},
};
use tokio::sync::OnceCell;

use super::{
    append::{Append, Outcome, session, size},
    facts::{self, BYTES, CLOSED, Facts, set},
    options::StreamOptions,
    place::{Chain, Segment},
    producer::Verdict,
    reader::Reader,
    stream::{Stand, State, Stream},
};
use crate::{Error, Registry, Removal, Writer, once};

pub use create::Created;
use known::Known;

/// Finds, makes, appends to, reads and deletes streams. A cheap handle; all clones are the same.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

pub(super) struct Inner {
    logs: Registry,
    options: StreamOptions,
    /// Set once the streams that the store has are known.
    loaded: OnceCell<()>,
    streams: Mutex<Known>,
    /// What all of them hold, in bytes.
    bytes: AtomicU64,
}

impl Streams {
    /// What the names of streams' logs begin with.
    pub const PREFIX: &'static str = "streams/";

    /// The streams whose logs `logs` holds. The bounds are [valid](StreamOptions::validate).
    pub fn new(logs: Registry, options: StreamOptions) -> Self {
        let inner = Arc::new(Inner {
            logs,
            options,
            loaded: OnceCell::new(),
            streams: Mutex::default(),
            bytes: AtomicU64::new(0),
        });
        // Executions are forgotten by the retention of logs, and what is known of them goes with them. They leave memory only when they
        // have ended.
        let known = Arc::downgrade(&inner);
        inner.logs.on_removed(move |name, removal| {
            if name.starts_with(LogName::EXECUTIONS)
                && let Some(inner) = known.upgrade()
            {
                match removal {
                    Removal::Deleted => inner.forget(name),
                    Removal::Evicted => inner.let_evicted_go(name),
                }
            }
        });
        Self(inner)
    }

    /// The name of the stream at `path`.
    ///
    /// # Errors
    /// What [`LogName`] does not allow.
    pub fn name(path: &str) -> Result<LogName, streamnest_core::Error> {
        LogName::new(&[Self::PREFIX, path].concat())
    }

    /// The bounds.
    pub fn options(&self) -> &StreamOptions {
        &self.0.options
    }

    /// How many streams there are; an execution is one until it has ended.
    pub fn len(&self) -> usize {
        self.0.streams().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they hold, in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Acquire)
    }

    /// The stream `name`.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::StreamDeleted`] if it lives on for its forks only, [`Error::Store`].
    pub async fn get(&self, name: &LogName) -> Result<Arc<Stream>, Error> {
        let unknown = || Error::UnknownStream { name: name.clone() };
        let stream = self.find(name).await?.ok_or_else(unknown)?;
        stream.check()?;
        if stream.has_expired(self.0.logs.now()) {
            self.expire(&stream).await?;
            // It may live on for its forks.
            stream.check()?;
        }
        Ok(stream)
    }

    /// The stream of that name, whatever has become of it. Waits until it is made, if it is being made.
    async fn find(&self, name: &LogName) -> Result<Option<Arc<Stream>>, Error> {
        self.load().await?;
        let known = self.0.streams().get(name).cloned();
        match known {
            None if name.starts_with(LogName::EXECUTIONS) => self.ended(name).await,
            known => Ok(known),
        }
    }

    /// An execution of a program outside that has ended. It is kept and forgotten as any other, and what is to be known of it stands in
    /// its log.
    async fn ended(&self, name: &LogName) -> Result<Option<Arc<Stream>>, Error> {
        let Some(writer) = self.0.logs.open(name).await? else { return Ok(None) };
        if !writer.log().head().sealed {
            return Ok(None);
        }
        let facts = Facts::from_attributes(&writer.log().attributes(""));
        let stream = facts.map(|facts| Stream::new(name.clone(), facts, State::Live, self.0.logs.now()));
        Ok(stream.map(|stream| {
            stream.set_epoch(writer.log().identity().epoch());
            Arc::new(stream)
        }))
    }

    /// A reader of `stream`, before its first entry. That counts as reading it.
    ///
    /// # Errors
    /// [`Error::Removed`], [`Error::Store`].
    pub async fn reader(&self, stream: &Arc<Stream>) -> Result<Reader, Error> {
        stream.touch(self.0.logs.now());
        Ok(Reader::new(self.chain(stream).await?, stream.clone()))
    }

    /// Where `stream` stands. That does not count as reading it.
    ///
    /// # Errors
    /// [`Error::Removed`], [`Error::Store`].
    pub async fn stand(&self, stream: &Arc<Stream>) -> Result<Stand, Error> {
        Ok(Reader::new(self.chain(stream).await?, stream.clone()).stand())
    }

    /// The logs of `stream` and those it was forked from.
    async fn chain(&self, stream: &Arc<Stream>) -> Result<Chain, Error> {
        let log = self.writer(stream).await?.log().clone();
        let own = Segment { log, before: stream.facts().inherited(), end: None };
        let (mut inherited, mut end, mut next) = (Vec::new(), own.before, stream.facts().fork.clone());
        while let Some(fork) = next.filter(|_| end.get() > 0) {
            let source = self.0.streams().get(&fork.source).cloned();
            let source = source.ok_or_else(|| Error::UnknownStream { name: fork.source.clone() })?;
            let before = source.facts().inherited();
            // A fork that ends before its source's own entries begin has none of them.
            if before < end {
                let log = self.writer(&source).await?.log().clone();
                inherited.push(Segment { log, before, end: Some(end) });
                end = before;
            }
            next = source.facts().fork.clone();
        }
        inherited.reverse();
        Ok(Chain::new(inherited, own))
    }

    async fn writer(&self, stream: &Stream) -> Result<Writer, Error> {
        let writer = self.0.logs.open(stream.name()).await?;
        // Since somebody found this stream it may have been deleted, and another made of its name.
        writer.filter(|writer| stream.is_of(writer.log().identity())).ok_or(Error::Removed)
    }

    /// Appends to `stream`, closes it, or both. What this returns is durable.
    ///
    /// # Errors
    /// [`Error::StreamClosed`]; [`Error::ProducerFenced`], [`Error::ProducerGap`], [`Error::ProducerEpochStart`],
    /// [`Error::TooManyProducers`]; [`Error::SequenceRegression`]; [`Error::AppendTooLarge`], [`Error::StreamFull`],
    /// [`Error::StreamsFull`]; [`Error::Removed`], [`Error::Store`].
    ///
    /// # Cancel safety
    /// Safe: it is appended as a whole or not at all. Who does not know which asks again as an idempotent producer.
    pub async fn append(&self, stream: &Arc<Stream>, append: Append) -> Result<Outcome, Error> {
        let (asked, limit) = (append.size(), self.0.options.max_append_bytes);
        if asked > limit {
            return Err(Error::AppendTooLarge { size: asked, limit });
        }
        let writer = self.writer(stream).await?;
        stream.touch(self.0.logs.now());
        let (producer, mut changes) = (append.producer.clone(), append.changes());
        let (accepted, duplicate) = {
            let _turn = writer.turn().await;
            match append.judge(&writer, self.0.options.max_producers)? {
                Verdict::Duplicate => (writer.so_far(), true),
                Verdict::New => {
                    self.check_room(stream, asked as u64)?;
                    let events = once::admit(&writer, append.events, append.once, &mut changes);
                    let kept = size(&events) as u64;
                    // One that a release before made does not say it, and goes on so.
                    if kept > 0 && writer.attribute(BYTES).is_some() {
                        changes.push(set(BYTES, (stream.bytes.load(Ordering::Acquire) + kept).to_string()));
                    }
                    let completed = (stream.is_execution() && append.close).then(completed);
                    let accepted = match append.close {
                        true => writer.close_with(events.into_iter().chain(completed), changes).await?,
                        false => writer.append_with(events, changes).await?,
                    };
                    self.count(stream, kept);
                    (accepted, false)
                }
            }
        };
        // Also who asks again is told only once it is durable.
        writer.settled(accepted).await?;
        let tail = stream.facts().inherited().forward(accepted.last.get());
        // Somebody else's closure may be accepted and not durable: until it is, the stream is open, and takes its place.
        let closed = writer.log().head().sealed;
        let stand = Stand { tail: self.chain(stream).await?.position(tail), closed };
        if stream.is_execution() && stand.closed {
            self.0.take_out(stream);
        }
        let session = producer.and_then(|producer| session(&writer, &producer.id));
        Ok(Outcome { stand, duplicate, producer_seq: session.map(|session| session.seq) })
    }

    fn check_room(&self, stream: &Stream, size: u64) -> Result<(), Error> {
        let limit = self.0.options.max_stream_bytes;
        if stream.bytes.load(Ordering::Acquire) + size > limit {
            return Err(Error::StreamFull { limit });
        }
        let limit = self.0.max_total_bytes();
        if size > 0 && self.bytes() + size > limit {
            return Err(Error::StreamsFull { limit });
        }
        Ok(())
    }

    /// Counts what was appended to a stream. One that takes no place any more, for it has ended meanwhile, has nothing to count.
    fn count(&self, stream: &Arc<Stream>, size: u64) {
        let streams = self.0.streams();
        if streams.has(stream) {
            stream.bytes.fetch_add(size, Ordering::AcqRel);
            self.0.bytes.fetch_add(size, Ordering::AcqRel);
        }
    }

    /// Deletes `stream`. If others were forked from it, it lives on for them, unseen.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::StreamDeleted`]; [`Error::StillRunning`] for an execution that has not ended;
    /// [`Error::Store`], and then it stays.
    pub async fn delete(&self, stream: &Arc<Stream>) -> Result<(), Error> {
        stream.check()?;
        if stream.is_execution() {
            // Whoever has read the terminal entry may delete, though that nothing follows may take a moment more to be written.
            let head = self.writer(stream).await?.log().head();
            if !head.sealed && !head.status.is_some_and(Status::is_terminal) {
                return Err(Error::StillRunning { name: stream.name().clone() });
            }
        }
        self.discard(stream).await
    }

    /// Ends a stream whose time is over: deletes it, or if it is an execution writes that it failed.
    pub(super) async fn expire(&self, stream: &Arc<Stream>) -> Result<(), Error> {
        if !stream.is_execution() {
            return self.discard(stream).await;
        }
        let writer = self.writer(stream).await?;
        let ended = {
            let _turn = writer.turn().await;
            let ended = match writer.attribute(CLOSED) {
                Some(_) => writer.so_far(),
                // Somebody has cancelled it.
                None if writer.log().head().sealed => writer.so_far(),
                None => writer.close_with([expired()], vec![facts::closed(facts::closing(None))]).await?,
            };
            stream.set_state(State::Expired);
            ended
        };
        writer.settled(ended).await?;
        self.0.take_out(stream);
        Ok(())
    }

    /// Deletes a stream, and with it every deleted one that lived on for it only.
    pub(super) async fn discard(&self, stream: &Arc<Stream>) -> Result<(), Error> {
        let mut next = Some(stream.clone());
        while let Some(stream) = next.take() {
            let _turn = stream.turn().await;
            if matches!(stream.state(), State::Making | State::Gone) {
                return Ok(());
            }
            if stream.forks.load(Ordering::SeqCst) > 0 {
                self.hide(&stream).await?;
                // The last fork may have gone before it could know.
                if stream.forks.load(Ordering::SeqCst) > 0 {
                    return Ok(());
                }
            }
            self.0.logs.remove_if(stream.name(), |log| stream.is_of(log)).await?;
            stream.set_state(State::Gone);
            self.0.take_out(&stream);
            next = stream.facts().fork.as_ref().and_then(|fork| self.release(&fork.source));
        }
        Ok(())
    }

    /// Takes a stream out of sight that others were forked from.
    async fn hide(&self, stream: &Stream) -> Result<(), Error> {
        if stream.state() == State::Deleted {
            return Ok(());
        }
        let writer = self.writer(stream).await?;
        let accepted = writer.append_with([], vec![facts::deleted()]).await?;
        stream.set_state(State::Deleted);
        writer.settled(accepted).await
    }

    /// One fork of `source` less; `source` if it lived on for that only.
    fn release(&self, source: &LogName) -> Option<Arc<Stream>> {
        let source = self.0.streams().get(source).cloned()?;
        let left = source.forks.fetch_sub(1, Ordering::SeqCst) - 1;
        (left == 0 && source.state() == State::Deleted).then_some(source)
    }
}

impl Inner {
    /// What all streams may hold together. A store in memory has no more room than the logs have.
    fn max_total_bytes(&self) -> u64 {
        let limit = self.options.max_total_bytes;
        if self.logs.is_persistent() { limit } else { limit.min(self.logs.options().max_total_bytes as u64) }
    }

    /// The log of a stream is deleted.
    fn forget(&self, name: &LogName) {
        let known = self.streams().get(name).cloned();
        if let Some(stream) = known {
            self.take_out(&stream);
            stream.set_state(State::Gone);
        }
    }

    /// The log of an execution that has ended has left memory. Another that has its name since is being made, or in memory.
    fn let_evicted_go(&self, name: &LogName) {
        let known = self.streams().get(name).cloned();
        if let Some(stream) = known.filter(|stream| stream.state() != State::Making)
            && self.logs.in_memory(name).is_none()
        {
            self.take_out(&stream);
        }
    }

    /// A stream takes no place any more. Another of its name keeps its own.
    fn take_out(&self, stream: &Arc<Stream>) {
        if self.streams().remove(stream) {
            self.bytes.fetch_sub(stream.bytes.load(Ordering::Acquire), Ordering::AcqRel);
        }
    }

    fn streams(&self) -> MutexGuard<'_, Known> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("streams", &self.len()).field("bytes", &self.bytes()).finish()
    }
}

/// How an execution ends whose producer closes it.
fn completed() -> Event {
    Event::status(&StatusUpdate {
        status: Status::Completed,
        result: None,
        error: None,
        reason: None,
        cost: None,
    })
}

/// How an execution ends whose producer did not close it in time.
fn expired() -> Event {
    let message = "producer was silent until the execution's time was over".into();
    Event::status(&StatusUpdate::failed(Failure { code: "expired".into(), message, node_id: None }))
}
