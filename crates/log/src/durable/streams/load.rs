//! Finding the streams that the store has, at the first use, and looking after them.

use std::{sync::Arc, time::Duration};

use streamnest_core::{Listed, LogName, Seq};

use super::{Known, Ordering, Streams};
use crate::{
    Error,
    durable::{
        facts::{self, CLOSED, COMPLETE, DELETED, Facts},
        stream::{State, Stream},
    },
};

/// How many streams are listed at once.
const PAGE: usize = 1_024;
/// How often streams are looked over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl Streams {
    /// Reads which streams there are. Done once, by the first request; others wait for it.
    ///
    /// # Errors
    /// [`Error::Store`], and then the next request tries again.
    pub(super) async fn load(&self) -> Result<(), Error> {
        self.0.loaded.get_or_try_init(|| self.load_all()).await.copied()
    }

    async fn load_all(&self) -> Result<(), Error> {
        let mut streams = Known::default();
        for prefix in [Self::PREFIX, LogName::EXECUTIONS] {
            let mut after = None;
            loop {
                let page = self.0.logs.list(prefix, after.as_ref(), PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.name.clone());
                for listed in &page {
                    if let Some(stream) = self.load_one(listed).await? {
                        streams.insert(Arc::new(stream));
                    }
                }
            }
        }
        for stream in streams.iter() {
            let Some(fork) = &stream.facts().fork else { continue };
            match streams.get(&fork.source) {
                Some(source) => {
                    source.forks.fetch_add(1, Ordering::SeqCst);
                }
                None => {
                    let (stream, source) = (stream.name(), &fork.source);
                    tracing::warn!(%stream, %source, "the stream that this was forked from is lost");
                }
            }
        }
        let bytes = streams.iter().map(|stream| stream.bytes.load(Ordering::Acquire)).sum();
        self.0.bytes.store(bytes, Ordering::Release);
        // Deleted ones without forks are for the sweep.
        *self.0.streams() = streams;
        Ok(())
    }

    /// Makes ready what the store has of one stream; `None` if that is none.
    async fn load_one(&self, Listed { name, head }: &Listed) -> Result<Option<Stream>, Error> {
        let facts = Facts::from_attributes(&head.attributes);
        let has = |key: &str| head.attributes.contains_key(key);
        if facts.is_none() && name.starts_with(LogName::EXECUTIONS) {
            // This server runs or ran it.
            return Ok(None);
        }
        let Some(facts) = facts.filter(|_| has(COMPLETE) || head.last > Seq::BEFORE_FIRST) else {
            if head.last > Seq::BEFORE_FIRST {
                tracing::error!(stream = %name, "what this stream is cannot be read any more; it is kept, and not served");
                return Ok(None);
            }
            // The server stopped while it was made, and nobody was told of it.
            tracing::info!(stream = %name, "a stream that was never complete is deleted");
            self.0.logs.remove(name).await?;
            return Ok(None);
        };
        if has(CLOSED) && !head.sealed {
            // The server stopped between the last append and the seal after it.
            let writer = self.0.logs.open(name).await?.ok_or(Error::Removed)?;
            let sealed = writer.close_with([], Vec::new()).await?;
            writer.settled(sealed).await?;
        }
        let state = if has(DELETED) { State::Deleted } else { State::Live };
        let stream = Stream::new(name.clone(), facts, state, self.0.logs.now());
        stream.set_epoch(head.epoch);
        if stream.is_execution() && (has(CLOSED) || head.sealed) {
            return Ok(None);
        }
        // What the store holds of one that a release before made is more than was appended, but all that is known.
        stream.bytes.store(facts::bytes(&head.attributes).unwrap_or(head.bytes), Ordering::Release);
        Ok(Some(stream))
    }

    /// Deletes streams whose time is over. Runs until it is dropped; without it they are deleted when somebody asks for
    /// them.
    pub async fn maintain(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "streams whose time is over could not be deleted");
            }
        }
    }

    /// Executions that somebody else has ended, who cancelled them, take no place any more.
    fn let_ended_go(&self) {
        let running: Vec<_> =
            self.0.streams().iter().filter(|stream| stream.is_execution()).cloned().collect();
        let has_ended = |name| self.0.logs.in_memory(name).is_some_and(|writer| writer.log().head().sealed);
        for stream in running.iter().filter(|stream| has_ended(stream.name())) {
            self.0.take_out(stream);
        }
    }

    async fn sweep(&self) -> Result<(), Error> {
        self.load().await?;
        self.let_ended_go();
        let now = self.0.logs.now();
        let is_over = |stream: &Arc<Stream>| match stream.state() {
            State::Live => stream.has_expired(now),
            State::Deleted => stream.forks.load(Ordering::SeqCst) == 0,
            State::Making | State::Gone | State::Expired => false,
        };
        let over: Vec<_> = self.0.streams().iter().filter(|stream| is_over(stream)).cloned().collect();
        for stream in over {
            match stream.state() {
                State::Deleted => self.discard(&stream).await?,
                _ => self.expire(&stream).await?,
            }
            tracing::debug!(stream = %stream.name(), "the time of a stream is over");
        }
        Ok(())
    }
}
