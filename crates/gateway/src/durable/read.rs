//! Reading what there is, or waiting for what comes next (§5.5 to §5.7).

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use streamnest_core::Lifetime;
use streamnest_log::durable::{Chunk, Reader};
use streamnest_protocol::durable::{Offset, collapse, etag, header as names};
use tokio_util::sync::CancellationToken;

use super::{
    Asked, empty, live,
    pieces::Pieces,
    put,
    query::{Live, ReadQuery},
    refusal::refuse,
    subject::Subject,
};
use crate::{
    compression::gzip, http::Refusal, leaving::Leaving, limits::REPLAY_BYTES, metrics::Transport,
    shared::Shared,
};

/// How long a cache may keep what was read, in seconds (§10.1).
const MAX_AGE: u64 = 60;
/// How long it may show that while it asks anew, in seconds.
const STALE: u64 = 300;

/// `HEAD`: what is known of a stream. Does not count as reading it.
pub(super) async fn head(shared: &Shared, asked: &Asked) -> Result<Response, Refusal> {
    let subject = Subject::find(shared, &asked.target).await?;
    let stand = subject.stand(shared).await?;
    let mut response = empty(StatusCode::OK);
    put(&mut response, "content-type", subject.content_type.as_str());
    put(&mut response, "cache-control", "no-store");
    put(&mut response, names::NEXT_OFFSET, stand.tail);
    match subject.lifetime {
        Some(Lifetime::Sliding(time)) => put(&mut response, names::TTL, time.as_secs()),
        Some(Lifetime::Until(time)) => put(&mut response, names::EXPIRES_AT, time),
        None => {}
    }
    if stand.closed {
        put(&mut response, names::CLOSED, true);
    }
    Ok(response)
}

/// `GET`.
pub(super) async fn get(shared: &Arc<Shared>, asked: &Asked) -> Result<Response, Refusal> {
    let query = ReadQuery::of(&asked.parts.uri)?;
    let subject = Subject::find(shared, &asked.target).await?;
    let mut reader = subject.reader(shared).await?;
    match query.offset {
        None | Some(Offset::Beginning) => {}
        Some(Offset::Now) => reader.go_to_end(),
        Some(Offset::After(position)) => reader.go_after(position).map_err(refuse)?,
    }
    match query.live {
        Live::No => catch_up(shared, asked, &query, &subject, reader).await,
        Live::LongPoll => long_poll(shared, asked, &query, &subject, reader).await,
        Live::Sse => live::open(shared, asked, query, subject, reader).await,
    }
}

async fn catch_up(
    shared: &Shared,
    asked: &Asked,
    query: &ReadQuery,
    subject: &Subject,
    mut reader: Reader,
) -> Result<Response, Refusal> {
    let from_now = query.offset == Some(Offset::Now);
    let chunk = subject.read(&mut reader, shared.options.max_stream_read_bytes).await.map_err(refuse)?;
    count(shared, asked, &chunk)?;
    let mut response = respond(shared, asked, subject, &chunk, from_now).await?;
    if from_now {
        put(&mut response, "cache-control", "no-store");
    }
    Ok(response)
}

/// Counts what is read again. It is counted once it is known how much that is, so what is refused was read for nothing, but
/// not sent.
fn count(shared: &Shared, asked: &Asked, chunk: &Chunk<Bytes>) -> Result<(), Refusal> {
    let bytes = chunk.parts.iter().map(Bytes::len).sum();
    if bytes < REPLAY_BYTES || !shared.limits.counts_replay() {
        return Ok(());
    }
    let Some(who) = asked.who() else { return Ok(()) };
    shared.limits.may_replay(bytes, &who)?;
    shared.limits.replayed(bytes, &who);
    Ok(())
}

async fn long_poll(
    shared: &Shared,
    asked: &Asked,
    query: &ReadQuery,
    subject: &Subject,
    mut reader: Reader,
) -> Result<Response, Refusal> {
    let bytes = shared.options.max_stream_read_bytes;
    let mut chunk = subject.read(&mut reader, bytes).await.map_err(refuse)?;
    count(shared, asked, &chunk)?;
    if chunk.is_empty() && !chunk.closed {
        let _subscribed = subject.subscribe();
        let _place = live::place(shared)?;
        let revoked = CancellationToken::new();
        let _present = live::enter(shared, &asked.visitor, &revoked)?;
        tokio::select! {
            waited = reader.wait() => waited.map_err(refuse)?,
            () = tokio::time::sleep(shared.options.long_poll_timeout) => {}
            () = Leaving::new(shared) => {}
            () = revoked.cancelled() => {}
        }
        chunk = subject.read(&mut reader, bytes).await.map_err(refuse)?;
    }
    let mut response = if chunk.is_empty() {
        let mut response = empty(StatusCode::NO_CONTENT);
        stand(&mut response, &chunk);
        put(&mut response, "cache-control", "no-store");
        response
    } else {
        respond(shared, asked, subject, &chunk, false).await?
    };
    if !chunk.closed {
        let cursor = collapse::cursor(shared.logs.now(), query.cursor.as_deref(), live::random());
        put(&mut response, names::CURSOR, cursor);
    }
    Ok(response)
}

/// A chunk as a response, or 304 if the client has it.
async fn respond(
    shared: &Shared,
    asked: &Asked,
    subject: &Subject,
    chunk: &Chunk<Bytes>,
    from_now: bool,
) -> Result<Response, Refusal> {
    let tag = etag::etag(subject.id, asked.visitor.tenant(), chunk.from, chunk.next, chunk.closed);
    let known = asked.headers().text(header::IF_NONE_MATCH.as_str())?;
    let is_known = !from_now && known.is_some_and(|known| etag::is_match(known, &tag));
    let mut response = if is_known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut response = Response::new(Body::empty());
        put(&mut response, "content-type", subject.content_type.as_str());
        let options = &shared.options.compression;
        let body = Pieces::of(&subject.content_type, chunk);
        let body = gzip(options, &asked.parts.headers, body, &mut response).await;
        put(&mut response, "content-length", body.length());
        let mut traffic = shared.metrics.traffic(Transport::Http);
        let counted = body.inspect_frame(move |frame| traffic.add(frame.data_ref().map_or(0, Bytes::len)));
        *response.body_mut() = Body::new(counted);
        response
    };
    stand(&mut response, chunk);
    if !from_now {
        // What is encoded otherwise is the same to whoever asks whether it has changed, and not byte for byte (RFC 9110 §8.8.1).
        let is_encoded = response.headers().contains_key(header::CONTENT_ENCODING);
        put(&mut response, "etag", if is_encoded { format!("W/{tag}") } else { tag });
    }
    put(&mut response, "cache-control", caching(shared, subject, chunk));
    Ok(response)
}

/// What a cache may do. Who may read a stream is not known to it, so only the reader's own may keep anything. Where
/// nothing follows yet, something may a moment later.
fn caching(shared: &Shared, subject: &Subject, chunk: &Chunk<Bytes>) -> String {
    if chunk.is_empty() {
        return "private, no-cache".into();
    }
    let left = subject.expires().map_or(u64::MAX, |end| end.since(shared.logs.now()).as_secs());
    let (max_age, stale) = (MAX_AGE.min(left), STALE.min(left.saturating_sub(MAX_AGE)));
    format!("private, max-age={max_age}, stale-while-revalidate={stale}")
}

fn stand(response: &mut Response, chunk: &Chunk<Bytes>) {
    put(response, names::NEXT_OFFSET, chunk.next);
    if chunk.up_to_date {
        put(response, names::UP_TO_DATE, true);
    }
    if chunk.closed {
        put(response, names::CLOSED, true);
    }
}
