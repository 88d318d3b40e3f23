//! Appending to a stream, and closing it (§5.2, §5.3).

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use streamnest_core::{Event, Producer};
use streamnest_log::{
    Error,
    durable::{Append, Outcome, Stream},
};
use streamnest_protocol::durable::{ContentType, Invalid, Target, header as names, json};

use super::{Asked, empty, execution, put, refusal::refuse, subject::name_of};
use crate::{
    http::{Refusal, read_body},
    shared::Shared,
};

/// Reads a body within the bounds of one append.
pub(super) async fn take_body(shared: &Shared, body: Body) -> Result<Bytes, Refusal> {
    let limit = shared.options.streams.max_append_bytes;
    read_body(body, limit, "StreamOptions::max_append_bytes", shared.options.request_timeout).await
}

/// `POST`.
pub(super) async fn append(shared: &Arc<Shared>, asked: &Asked, body: Body) -> Result<Response, Refusal> {
    let headers = asked.headers();
    let (close, producer) = (headers.closes(), headers.producer()?);
    let seq = headers.text(names::SEQ)?.map(|seq| Bytes::copy_from_slice(seq.as_bytes()));
    if let Target::Execution(id) = &asked.target {
        let append = Append { close, seq, producer, ..Append::default() };
        return execution::append(shared, asked, id, append, body).await;
    }
    let stream = shared.streams.get(&name_of(&asked.target)?).await.map_err(refuse)?;
    let body = take_body(shared, body).await?;
    let closed = shared.streams.stand(&stream).await.map_err(refuse)?.closed;
    let events = match body.is_empty() {
        true if close => Vec::new(),
        true => return Err(Invalid::Empty.into()),
        // Nothing is appended to a closed stream. Which answer that gets is not for its content to decide (§5.2).
        false if closed => vec![Event::data(body)],
        false => vec![Event::data(content(&stream, headers.content_type()?, body)?)],
    };
    let has_body = !events.is_empty();
    let append = Append { events, close, seq, producer: producer.clone(), ..Append::default() };
    match shared.streams.append(&stream, append).await {
        Ok(outcome) => Ok(respond(&outcome, has_body, producer)),
        Err(error) => Err(refuse_at(shared, &stream, error).await),
    }
}

/// Tells what came of an append.
pub(super) fn respond(outcome: &Outcome, has_body: bool, producer: Option<Producer>) -> Response {
    // Only a producer has to tell what is new from what came again (§5.2.1).
    let is_told = producer.is_some() && has_body && !outcome.duplicate;
    let mut response = empty(if is_told { StatusCode::OK } else { StatusCode::NO_CONTENT });
    put(&mut response, names::NEXT_OFFSET, outcome.stand.tail);
    if outcome.stand.closed {
        put(&mut response, names::CLOSED, true);
    }
    if let Some(producer) = producer {
        put(&mut response, names::PRODUCER_EPOCH, producer.epoch);
        put(&mut response, names::PRODUCER_SEQ, outcome.producer_seq.unwrap_or(producer.seq));
    }
    response
}

/// Tells what was refused; of a closed stream also where it ends (§5.2).
pub(super) async fn refuse_at(shared: &Shared, stream: &Arc<Stream>, error: Error) -> Refusal {
    let is_closed = matches!(error, Error::StreamClosed | Error::Sealed { .. });
    let mut refusal = refuse(error);
    if is_closed && let Ok(stand) = shared.streams.stand(stream).await {
        refusal.put(HeaderName::from_static(names::CLOSED), HeaderValue::from_static("true"));
        if let Ok(tail) = HeaderValue::from_str(&stand.tail.to_string()) {
            refusal.put(HeaderName::from_static(names::NEXT_OFFSET), tail);
        }
    }
    refusal
}

/// What a body adds to a stream of that content type.
fn content(stream: &Stream, sent: Option<ContentType>, body: Bytes) -> Result<Bytes, Refusal> {
    let kept = ContentType::new(&stream.facts().content_type)?;
    let legal = "the stream's content type, which an append needs";
    let name = "content-type";
    let sent = sent.ok_or(Invalid::Header { name, text: String::new(), legal })?;
    if !kept.matches(&sent) {
        return Err(refuse(Error::ContentTypeMismatch { kept: kept.as_str().into() }));
    }
    if !kept.is_json() {
        return Ok(body);
    }
    let messages = json::messages(&body)?;
    if messages.count == 0 { Err(Invalid::Empty.into()) } else { Ok(messages.bytes.into()) }
}
