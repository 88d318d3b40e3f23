//! Making a stream, new or as a fork of another.

use std::sync::Arc;

use bytes::Bytes;
use streamnest_core::{Event, LogName, Position, Seq, payload::StatusUpdate};

use super::{Ordering, Streams, completed};
use crate::{
    Error,
    durable::{
        append,
        facts::{self, BYTES, COMPLETE, Creation, Facts, Fork, ForkAt, same_media_type, set},
        stream::{State, Stream},
    },
};

/// A stream that was to be made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The stream.
    pub stream: Arc<Stream>,
    /// Whether it was there already, just as it was to be.
    pub existed: bool,
}

/// What a fork takes from its source.
struct Inheritance {
    source: Arc<Stream>,
    facts: Fork,
    /// The part of an append that the fork takes as its own first entry.
    prefix: Option<Bytes>,
}

/// A source that counts a fork more, until the fork is there.
struct Pinned<'a> {
    streams: &'a Streams,
    source: Arc<Stream>,
    kept: bool,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // If it was deleted meanwhile, the next sweep finds it.
            self.streams.release(self.source.name());
        }
    }
}

impl Streams {
    /// Makes the stream `name`, or finds that there is just this one already. What this returns is durable.
    ///
    /// # Errors
    /// [`Error::StreamExists`] if there is another of that name; [`Error::TooManyStreams`], [`Error::TooManyStreamsOfUser`]; as
    /// [`append`](Self::append). For a fork [`Error::UnknownStream`] or [`Error::ForkSourceDeleted`] for its source,
    /// [`Error::ContentTypeMismatch`], [`Error::StalePosition`], [`Error::BeyondEnd`], [`Error::ForkSubOffset`],
    /// [`Error::ForkTooDeep`].
    ///
    /// # Cancel safety
    /// Safe: a stream that was not made as a whole is not there.
    pub async fn create(&self, name: &LogName, creation: Creation) -> Result<Created, Error> {
        if let Some(existing) = self.existing(name, &creation).await? {
            return Ok(existing);
        }
        let inheritance = match &creation.fork {
            Some(fork) => Some(self.inherit(fork, &creation).await?),
            None => None,
        };
        let (fork, prefix, pinned) = match inheritance {
            Some(Inheritance { source, facts, prefix }) => {
                (Some(facts), prefix, Some(Pinned { streams: self, source, kept: false }))
            }
            None => (None, None, None),
        };
        let source = pinned.as_ref().map(|pinned| pinned.source.facts());
        let facts = Facts {
            content_type: match source {
                Some(source) if creation.content_type.is_empty() => source.content_type.clone(),
                _ => creation.content_type.clone(),
            },
            lifetime: creation.lifetime.or_else(|| source.and_then(|source| source.lifetime)),
            created: self.0.logs.now(),
            fork,
            owner: creation.owner.clone(),
        };
        let size = append::size(&creation.events);
        let limit = self.0.options.max_append_bytes;
        if size > limit {
            return Err(Error::AppendTooLarge { size, limit });
        }
        let stream = Arc::new(Stream::new(name.clone(), facts, State::Making, self.0.logs.now()));
        self.check_room(&stream, size as u64)?;
        let turn = stream.turn().await;
        let reserved = {
            let mut streams = self.0.streams();
            let (limit, share) = (self.0.options.max_streams, self.0.options.max_streams_per_user);
            if streams.get(name).is_some() {
                None
            } else if streams.len() >= limit {
                return Err(Error::TooManyStreams { limit });
            } else if streams.of_owner(&stream) >= share {
                return Err(Error::TooManyStreamsOfUser { limit: share });
            } else {
                streams.insert(stream.clone());
                Some(Reserved { streams: self, stream: stream.clone() })
            }
        };
        let Some(reserved) = reserved else {
            // Another request came first; it decides.
            drop(turn);
            return match self.existing(name, &creation).await? {
                Some(existing) => Ok(existing),
                None => Err(Error::StreamExists { name: name.clone() }),
            };
        };
        self.write_beginning(&stream, prefix, &creation).await?;
        stream.set_state(State::Live);
        reserved.keep();
        if stream.is_execution() && creation.closed {
            self.0.take_out(&stream);
        }
        if let Some(mut pinned) = pinned {
            pinned.kept = true;
        }
        drop(turn);
        Ok(Created { stream, existed: false })
    }

    /// The stream of that name, if it is just the one that is to be made.
    async fn existing(&self, name: &LogName, creation: &Creation) -> Result<Option<Created>, Error> {
        let stream = match self.find(name).await? {
            Some(stream) => stream,
            None => match self.adopt(name).await? {
                Some(stream) => stream,
                None => return Ok(None),
            },
        };
        // Whoever makes it has the turn until it is there.
        drop(stream.turn().await);
        let now = self.0.logs.now();
        if stream.state() == State::Live && stream.has_expired(now) {
            self.expire(&stream).await?;
        }
        let conflict = Err(Error::StreamExists { name: name.clone() });
        match stream.state() {
            State::Live | State::Expired => {}
            State::Deleted => return conflict,
            State::Making | State::Gone => return Ok(None),
        }
        let closed = match self.stand(&stream).await {
            Ok(stand) => stand.closed,
            // A delete was broken off.
            Err(Error::Removed) => {
                self.discard(&stream).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if closed != creation.closed || !stream.facts().matches(creation) {
            return conflict;
        }
        stream.touch(now);
        Ok(Some(Created { stream, existed: true }))
    }

    /// Takes in a log of that name which no stream is known of: a request that made it was broken off.
    async fn adopt(&self, name: &LogName) -> Result<Option<Arc<Stream>>, Error> {
        let Some(writer) = self.0.logs.open(name).await? else { return Ok(None) };
        let attributes = writer.log().attributes("");
        let Some(facts) = Facts::from_attributes(&attributes) else {
            // An execution that this server runs.
            return Err(Error::StreamExists { name: name.clone() });
        };
        let known = Arc::new(Stream::new(name.clone(), facts, State::Live, self.0.logs.now()));
        known.set_epoch(writer.log().identity().epoch());
        {
            let mut streams = self.0.streams();
            if let Some(known) = streams.get(name) {
                // It is being made at this moment.
                return Ok(Some(known.clone()));
            }
            streams.insert(known.clone());
        }
        self.count(&known, facts::bytes(&attributes).unwrap_or_default());
        let source = known.facts().fork.as_ref().map(|fork| fork.source.clone());
        if let Some(source) = source.and_then(|source| self.0.streams().get(&source).cloned()) {
            source.forks.fetch_add(1, Ordering::SeqCst);
        }
        // It says so along with its first entry. If it has entries and does not, then what it said is damaged.
        if !attributes.contains_key(COMPLETE) && writer.log().head().last == Seq::BEFORE_FIRST {
            self.discard(&known).await?;
            return Ok(None);
        }
        Ok(Some(known))
    }

    /// Finds what a fork takes from its source, which counts the fork from here on.
    async fn inherit(&self, fork: &ForkAt, creation: &Creation) -> Result<Inheritance, Error> {
        let source = match self.get(&fork.source).await {
            Err(Error::StreamDeleted { name }) => return Err(Error::ForkSourceDeleted { name }),
            source => source?,
        };
        let kept = &source.facts().content_type;
        if !creation.content_type.is_empty() && !same_media_type(kept, &creation.content_type) {
            return Err(Error::ContentTypeMismatch { kept: kept.clone() });
        }
        let _turn = source.turn().await;
        if source.check().is_err() {
            return Err(Error::ForkSourceDeleted { name: fork.source.clone() });
        }
        let mut reader = self.reader(&source).await?;
        self.check_depth(&source)?;
        let at = match fork.at {
            Some(at) => {
                reader.go_after(at)?;
                at
            }
            None => {
                reader.go_to_end();
                reader.stand().tail
            }
        };
        let prefix = if fork.sub_offset > 0 {
            // One byte asks for one append.
            let chunk = reader.read(1).await?;
            let next = chunk.first().map(|entry| entry.event().payload_bytes());
            let beyond = Error::ForkSubOffset { sub_offset: fork.sub_offset };
            let next = next.ok_or_else(|| beyond.clone())?;
            let end = (fork.cut)(&next, fork.sub_offset).filter(|end| *end <= next.len()).ok_or(beyond)?;
            Some(next.slice(..end))
        } else {
            None
        };
        source.forks.fetch_add(1, Ordering::SeqCst);
        let facts = Fork { source: fork.source.clone(), at: normal(at), sub_offset: fork.sub_offset };
        drop(_turn);
        Ok(Inheritance { source, facts, prefix })
    }

    fn check_depth(&self, source: &Arc<Stream>) -> Result<(), Error> {
        let limit = self.0.options.max_fork_depth;
        let (mut depth, mut next) = (1, source.facts().fork.clone());
        while let Some(fork) = next {
            depth += 1;
            next = self.0.streams().get(&fork.source).and_then(|source| source.facts().fork.clone());
        }
        if depth > limit { Err(Error::ForkTooDeep { limit }) } else { Ok(()) }
    }

    /// Makes the log, with all that the stream begins with.
    async fn write_beginning(
        &self,
        stream: &Arc<Stream>,
        prefix: Option<Bytes>,
        creation: &Creation,
    ) -> Result<(), Error> {
        let mut attributes = stream.facts().to_changes();
        let is_execution = stream.is_execution();
        let running = is_execution.then(|| Event::status(&StatusUpdate::running()));
        let completed = (is_execution && creation.closed).then(completed);
        let events = running.into_iter().chain(prefix.map(Event::data)).chain(creation.events.clone());
        let events: Vec<Event> = events.chain(completed).collect();
        let size = append::size(&events) as u64;
        let complete = set(COMPLETE, "");
        // So every append finds a place for it in the store.
        attributes.push(set(BYTES, size.to_string()));
        if events.is_empty() && !creation.closed {
            attributes.push(complete);
            let writer = self.0.logs.create_with(stream.name(), &attributes).await?;
            stream.set_epoch(writer.log().identity().epoch());
            return Ok(());
        }
        let writer = self.0.logs.create_with(stream.name(), &attributes).await?;
        stream.set_epoch(writer.log().identity().epoch());
        let accepted = match creation.closed {
            true => writer.close_with(events, vec![complete, facts::closed(facts::closing(None))]).await,
            false => writer.append_with(events, vec![complete]).await,
        };
        let settled = match accepted {
            Ok(accepted) => writer.settled(accepted).await,
            Err(error) => Err(error),
        };
        if let Err(error) = settled {
            // What is left of it is no stream, and goes at the next start at the latest.
            if let Err(error) = self.0.logs.remove(stream.name()).await {
                tracing::warn!(stream = %stream.name(), %error, "a stream that could not be made is left in the store");
            }
            return Err(error);
        }
        self.count(stream, size);
        Ok(())
    }
}

/// A position with nothing before it is written in one way.
fn normal(at: Position) -> Position {
    if at.seq() == Seq::BEFORE_FIRST { Position::BEFORE_FIRST } else { at }
}

/// The name of a stream that is being made.
struct Reserved<'a> {
    streams: &'a Streams,
    stream: Arc<Stream>,
}

impl Reserved<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.stream.set_state(State::Gone);
        self.streams.0.streams().remove(&self.stream);
    }
}
