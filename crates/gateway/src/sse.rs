//! Server-Sent Events: an execution as a response that goes on.

mod body;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse as _, Response},
};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use streamnest_core::{Position, Seq};
use streamnest_log::{EventLog, Filter, Start};
use streamnest_protocol::native::{Replay, StartAt, sse};

use self::body::EventStream;
use crate::{
    access::{Action, Visitor},
    account::Account,
    http::{self as requests, Query, Refusal, executions_id},
    shared::Shared,
};

const LAST_EVENT_ID: &str = "last-event-id";
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `GET /executions/{id}/events`
pub(crate) async fn events(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    method: Method,
    uri: Uri,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    asked: Extensions,
) -> Result<Response, Refusal> {
    let id = visitor.execution(&shared, Action::Read, &executions_id(&uri, id)?)?;
    let query = Query::of(&uri, &["from", "events", "nodes", "replay"])?;
    let filter = Filter::new(&query.list("events"), &query.list("nodes"))?;
    let from = start(&query, &headers)?;
    let replay: Replay = query.one("replay", "`full` or `compact`")?.unwrap_or_default();
    let writer = shared.logs.open(&id).await?.ok_or_else(|| Refusal::unknown_execution(&id))?;
    let log = writer.log().clone();
    if stands_at_end(&log, from) {
        // An `EventSource` that gets this stays away.
        return Ok((StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "no-store")]).into_response());
    }
    let mut account = Account::open(&shared, &visitor, &asked)?;
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        tracing::debug!(execution = %id, "event stream opened");
        let filter = (!filter.is_all()).then(|| Box::new(filter));
        let cursor = log.cursor(from);
        account.begin(
            if let Start::After(position) = from { position } else { Position::BEFORE_FIRST },
            cursor.lag(),
        );
        Body::new(EventStream::new(cursor, filter, replay, account, &shared))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sse::CONTENT_TYPE));
    // `no-transform` keeps compressing proxies from holding events back.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Where the reader begins. What a browser remembers goes before what stands in the address it repeats.
fn start(query: &Query, headers: &HeaderMap) -> Result<Start, Refusal> {
    let invalid = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid_position", message);
    let last = match requests::header(headers, LAST_EVENT_ID)?.filter(|value| !value.is_empty()) {
        Some(value) => {
            let position = value.parse().ok();
            let message = "`Last-Event-ID` is no position; echo one that the server sent";
            Some(StartAt::After(position.ok_or_else(|| invalid(message))?))
        }
        None => None,
    };
    let from = match last {
        Some(last) => Some(last),
        None => query.one("from", "`start`, `now` or a position")?,
    };
    Ok(match from.unwrap_or(StartAt::Start) {
        StartAt::Start => Start::Beginning,
        StartAt::Now => Start::Now,
        StartAt::After(position) => Start::After(position),
    })
}

/// Whether nothing will ever follow for a reader that begins at `from`.
fn stands_at_end(log: &EventLog, from: Start) -> bool {
    let head = log.head();
    head.sealed
        && match from {
            Start::Beginning => head.last == Seq::BEFORE_FIRST,
            Start::Now => true,
            Start::After(position) => position == log.position(head.last),
        }
}
