//! The stream that a request is about, whichever kind it is.

use std::sync::Arc;

use bytes::Bytes;
use streamnest_core::{Entry, ExecutionId, Lifetime, LogName, NamesLog as _, Timestamp};
use streamnest_log::{
    Cursor, Error, EventLog, Start,
    durable::{Chunk, Reader, Stand, Stream, Streams},
};
use streamnest_protocol::{
    durable::{ContentType, Target, json},
    native::{WebSocketFrame, websocket},
};

use super::refusal::refuse;
use crate::{http::Refusal, shared::Shared};

/// A stream to be read.
pub(super) struct Subject {
    pub(super) content_type: ContentType,
    pub(super) lifetime: Option<Lifetime>,
    /// Tells it from another that had its name before.
    pub(super) id: u64,
    kind: Kind,
}

enum Kind {
    Stream(Arc<Stream>),
    Execution { log: Arc<EventLog>, stream: Option<Arc<Stream>> },
}

/// The name of the log that `target` means.
pub(super) fn name_of(target: &Target) -> Result<LogName, Refusal> {
    Ok(match target {
        Target::Stream(path) => Streams::name(path.as_str())?,
        Target::Execution(id) => id.log_name(),
    })
}

impl Subject {
    /// Finds it.
    pub(super) async fn find(shared: &Shared, target: &Target) -> Result<Self, Refusal> {
        match target {
            Target::Stream(_) => {
                let stream = shared.streams.get(&name_of(target)?).await.map_err(refuse)?;
                Self::of_stream(stream)
            }
            Target::Execution(id) => Self::of_execution(shared, id).await,
        }
    }

    fn of_stream(stream: Arc<Stream>) -> Result<Self, Refusal> {
        let facts = stream.facts();
        Ok(Self {
            content_type: ContentType::new(&facts.content_type)?,
            lifetime: facts.lifetime,
            id: facts.created.as_micros(),
            kind: Kind::Stream(stream),
        })
    }

    async fn of_execution(shared: &Shared, id: &ExecutionId) -> Result<Self, Refusal> {
        let name = id.log_name();
        // One that a program outside makes has what a stream has; any other is known by its log only.
        let stream = shared.streams.get(&name).await.ok();
        let writer = shared.logs.open(id).await.map_err(refuse)?;
        let log = writer.ok_or_else(|| Refusal::unknown_execution(id))?.log().clone();
        Ok(Self {
            content_type: ContentType::new(json::MEDIA_TYPE)?,
            lifetime: stream.as_ref().and_then(|stream| stream.facts().lifetime),
            id: log.identity().epoch().get(),
            kind: Kind::Execution { log, stream },
        })
    }

    /// When it ends if nobody touches it.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        match &self.kind {
            Kind::Stream(stream) => stream.expires(),
            Kind::Execution { stream, .. } => stream.as_ref().and_then(|stream| stream.expires()),
        }
    }

    /// Where it stands, without counting as read.
    pub(super) async fn stand(&self, shared: &Shared) -> Result<Stand, Refusal> {
        match &self.kind {
            Kind::Stream(stream) => shared.streams.stand(stream).await.map_err(refuse),
            Kind::Execution { log, .. } => Ok(Reader::of_log(log.clone()).stand()),
        }
    }

    /// A reader before its first message.
    pub(super) async fn reader(&self, shared: &Shared) -> Result<Reader, Refusal> {
        match &self.kind {
            Kind::Stream(stream) | Kind::Execution { stream: Some(stream), .. } => {
                shared.streams.reader(stream).await.map_err(refuse)
            }
            Kind::Execution { log, stream: None } => Ok(Reader::of_log(log.clone())),
        }
    }

    /// Takes what there is, as much as is an answer of at most `bytes`, except that one entry of more is still given alone: what
    /// was appended at once, or for an execution a frame of the native protocol. In JSON mode a comma stands before each message.
    pub(super) async fn read(&self, reader: &mut Reader, bytes: usize) -> Result<Chunk<Bytes>, Error> {
        let lead = self.content_type.is_json().then_some(json::BETWEEN);
        // Of the brackets around messages one stands where there would be a comma.
        let bytes = bytes - usize::from(lead.is_some()).min(bytes);
        match &self.kind {
            Kind::Stream(_) => reader.read_passage(bytes, lead).await,
            Kind::Execution { .. } => {
                let chunk = reader.read(bytes).await?;
                let mut put = 0;
                let mut chunk = chunk.map(|parts| {
                    let mut out = Vec::new();
                    for (log, entries) in &parts {
                        put += put_frames(log, entries, bytes, &mut out);
                    }
                    vec![out.into()]
                });
                reader.keep(&mut chunk, put);
                Ok(chunk)
            }
        }
    }

    /// Counts among the subscribers of an execution until it is dropped, so that a run which is to end when nobody looks
    /// goes on.
    pub(super) fn subscribe(&self) -> Option<Cursor> {
        match &self.kind {
            Kind::Stream(_) => None,
            Kind::Execution { log, .. } => Some(log.cursor(Start::Now)),
        }
    }
}

/// Adds the JSON frames of entries to `out`, a comma before each, until there are `bytes`, but at least one; how many. They are
/// cut out of the bytes that WebSockets are sent, which are encoded once for all.
fn put_frames(log: &EventLog, entries: &[Arc<Entry>], bytes: usize, out: &mut Vec<u8>) -> u64 {
    let mut encoded = Vec::new();
    log.encoded::<WebSocketFrame>(entries, &mut encoded);
    out.reserve(encoded.iter().map(Bytes::len).sum::<usize>().min(bytes));
    let mut put = 0;
    for block in &encoded {
        for frame in
            websocket::text_payloads(block).filter_map(Result::ok).filter_map(|range| block.get(range))
        {
            if !out.is_empty() && out.len() + 1 + frame.len() > bytes {
                return put;
            }
            out.push(json::BETWEEN);
            out.extend_from_slice(frame);
            put += 1;
        }
    }
    put
}
