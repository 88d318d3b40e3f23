//! Reading what comes as it comes: Server-Sent Events (§5.8).

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use streamnest_log::{
    Cursor,
    durable::{Chunk, Reader},
};
use streamnest_protocol::durable::{Offset, collapse, header as names, sse};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Asked, empty, pieces::Pieces, put, query::ReadQuery, refusal::refuse, subject::Subject};
use crate::{
    access::Visitor,
    account::Account,
    http::Refusal,
    leaving::Leaving,
    people::Present,
    shared::{Seat, Shared},
};

/// A number that nobody foresees.
pub(super) fn random() -> u64 {
    Uuid::now_v7().as_u64_pair().1
}

/// A place among those who wait for more.
pub(super) fn place(shared: &Shared) -> Result<Seat, Refusal> {
    shared.stream_reader().ok_or_else(|| Refusal::too_many_readers(shared.options.max_stream_readers))
}

/// Enters a long-poll among what its reader has open; `stop` is told when its token is revoked. Event streams are entered when
/// their response begins.
pub(super) fn enter(
    shared: &Shared,
    visitor: &Visitor,
    stop: &CancellationToken,
) -> Result<Option<Present>, Refusal> {
    let Visitor::Known(principal) = visitor else { return Ok(None) };
    let limit = shared.options.max_event_streams_per_user;
    let present = shared.people.enter_stream(principal.clone(), stop.clone(), limit);
    present.map(Some).ok_or_else(|| Refusal::too_many_streams(limit))
}

/// A response that goes on.
struct Live {
    shared: Arc<Shared>,
    subject: Subject,
    reader: Reader,
    /// What was read before the response began.
    first: Option<Chunk<Bytes>>,
    echoed: Option<String>,
    account: Account,
    /// When the connection ends, so that readers come together again at caches (§10.2).
    until: Instant,
    leaving: Leaving,
    _place: Seat,
    _subscribed: Option<Cursor>,
}

/// Begins it. What cannot be read is refused now, while there is a status to say so.
pub(super) async fn open(
    shared: &Arc<Shared>,
    asked: &Asked,
    query: ReadQuery,
    subject: Subject,
    mut reader: Reader,
) -> Result<Response, Refusal> {
    let place = place(shared)?;
    let mut account = Account::open(shared, &asked.visitor, &asked.parts.extensions)?;
    if let Some(Offset::After(position)) = query.offset {
        account.begin(position, reader.lag());
    }
    let first = subject.read(&mut reader, shared.options.max_write_bytes).await.map_err(refuse)?;
    let mut response = empty(StatusCode::OK);
    put(&mut response, header::CONTENT_TYPE.as_str(), sse::CONTENT_TYPE);
    put(&mut response, header::CACHE_CONTROL.as_str(), "private, no-cache, no-transform");
    put(&mut response, "x-accel-buffering", "no");
    if !subject.content_type.is_text() {
        put(&mut response, names::SSE_DATA_ENCODING, sse::BASE64);
    }
    let live = Live {
        until: Instant::now() + shared.options.stream_sse_lifetime,
        shared: shared.clone(),
        leaving: Leaving::new(shared),
        echoed: query.cursor,
        account,
        first: Some(first),
        _subscribed: subject.subscribe(),
        _place: place,
        subject,
        reader,
    };
    *response.body_mut() = Body::from_stream(stream::unfold(Some(live), |live| async {
        let (bytes, live) = live?.next().await?;
        Some((Ok::<_, Infallible>(bytes), live))
    }));
    Ok(response)
}

impl Live {
    /// The next events, and whether more follow; `None` when it is over.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        loop {
            // The first tells the reader where it stands, whatever it holds.
            let (chunk, is_told) = match self.first.take() {
                Some(first) => (first, false),
                None => {
                    match self.subject.read(&mut self.reader, self.shared.options.max_write_bytes).await {
                        Ok(chunk) => (chunk, true),
                        Err(error) => {
                            // The reader comes back and is told over HTTP.
                            tracing::debug!(%error, "live read ended");
                            return None;
                        }
                    }
                }
            };
            if !chunk.is_empty() || chunk.closed || !is_told {
                let events = self.events(&chunk);
                tokio::select! {
                    () = self.account.take(events.len()) => {}
                    () = &mut self.leaving => return None,
                }
                self.account.look(|| self.reader.lag());
                self.account.sent(events.len());
                return Some((events, (!chunk.closed).then_some(self)));
            }
            self.account.look(|| self.reader.lag());
            tokio::select! {
                waited = self.reader.wait() => {
                    if let Err(error) = waited {
                        tracing::debug!(%error, "live read ended");
                        return None;
                    }
                }
                () = sleep_until(self.until) => return None,
                () = sleep_until(self.account.look_at()) => {}
                () = &mut self.leaving => return None,
            }
        }
    }

    fn events(&mut self, chunk: &Chunk<Bytes>) -> Bytes {
        let mut out = Vec::new();
        if !chunk.is_empty() {
            let content_type = &self.subject.content_type;
            let pieces = Pieces::of(content_type, chunk);
            if content_type.is_json() {
                sse::json(pieces.iter().map(|piece| &piece[..]), &mut out);
            } else if content_type.is_text() {
                sse::text(&String::from_utf8_lossy(&pieces.concat()), &mut out);
            } else {
                sse::bytes(&pieces.concat(), &mut out);
            }
        }
        let cursor = collapse::cursor(self.shared.logs.now(), self.echoed.as_deref(), random());
        self.echoed = Some(cursor.to_string()).filter(|_| self.echoed.is_some());
        let (next, up_to_date, closed) = (chunk.next, chunk.up_to_date, chunk.closed);
        sse::control(&sse::Control { next, cursor, up_to_date, closed }, &mut out);
        out.into()
    }
}
