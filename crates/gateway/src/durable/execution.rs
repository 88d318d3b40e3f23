//! Executions as streams: any client reads them, and a program outside the server makes one and says what happens in it.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::StatusCode;
use streamnest_core::{ExecutionId, NamesLog as _};
use streamnest_log::{
    Error,
    durable::{Append, Creation, Stream},
    once_attribute,
};
use streamnest_protocol::durable::{
    ContentType, Invalid,
    entry::{self, Entries},
    json,
};

use super::{
    Asked,
    append::{refuse_at, respond, take_body},
    create, empty,
    refusal::refuse,
};
use crate::{http::Refusal, shared::Shared};

/// A fork has another life than what it was forked from, and an execution has one.
pub(super) fn not_forked() -> Refusal {
    let message =
        "executions are not forked, and no fork is one; read its messages, and append them to a stream";
    Refusal::new(StatusCode::CONFLICT, "not_forked", message)
}

/// Refuses what is not JSON.
fn check_type(content_type: Option<&ContentType>) -> Result<(), Refusal> {
    match content_type {
        Some(content_type) if !content_type.is_json() => {
            Err(refuse(Error::ContentTypeMismatch { kept: json::MEDIA_TYPE.into() }))
        }
        _ => Ok(()),
    }
}

/// `PUT`: makes an execution that its producer speaks for. Its first entry is the status `running`.
pub(super) async fn create(
    shared: &Arc<Shared>,
    asked: &Asked,
    id: &ExecutionId,
    content_type: Option<&ContentType>,
    creation: Creation,
    body: &Bytes,
) -> Result<Response, Refusal> {
    if creation.fork.is_some() {
        return Err(not_forked());
    }
    check_type(content_type)?;
    let events = match json::is_nothing(body) {
        true => Vec::new(),
        false => {
            let entries = entry::entries(body)?;
            if let Some((index, _)) = entries.once.first() {
                let reason = "has `once`, which is for appends: make the execution first".into();
                return Err(Invalid::Entry { index: *index, reason }.into());
            }
            entries.events
        }
    };
    if shared.is_draining() {
        return Err(Refusal::draining());
    }
    shared.limits.start(|| asked.who())?;
    let creation = Creation { content_type: json::MEDIA_TYPE.into(), events, ..creation };
    create::make(shared, asked, &id.log_name(), creation).await
}

/// The execution that a program outside speaks for; the server speaks for any other.
async fn find(shared: &Shared, id: &ExecutionId) -> Result<Option<Arc<Stream>>, Refusal> {
    match shared.streams.get(&id.log_name()).await {
        Ok(stream) => Ok(Some(stream)),
        Err(Error::UnknownStream { .. }) => Ok(None),
        Err(error) => Err(refuse(error)),
    }
}

/// `POST`: appends entries to it, or ends it with the status `completed`.
pub(super) async fn append(
    shared: &Arc<Shared>,
    asked: &Asked,
    id: &ExecutionId,
    append: Append,
    body: Body,
) -> Result<Response, Refusal> {
    let Some(stream) = find(shared, id).await? else {
        if !asked.visitor.sees(shared, id) {
            // It is told the same of one that is there.
            return Err(Refusal::unknown_execution(id));
        }
        shared.control.execution(id)?;
        let message = "server speaks for this execution, so nobody else appends to it; cancel it over HTTP";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "not_its_producer", message));
    };
    let body = take_body(shared, body).await?;
    let Entries { events, once } = match body.is_empty() {
        true if append.close => Entries::default(),
        true => return Err(Invalid::Empty.into()),
        false => {
            let content_type = asked.headers().content_type()?;
            let (name, legal) = ("content-type", "`application/json`");
            let sent = content_type.ok_or(Invalid::Header { name, text: String::new(), legal })?;
            check_type(Some(&sent))?;
            entry::entries(&body)?
        }
    };
    let (has_body, producer) = (!events.is_empty(), append.producer.clone());
    let attribute = |(index, key): (usize, String)| {
        let invalid = |error: streamnest_core::Error| Invalid::Entry { index, reason: error.to_string() };
        Ok::<_, Invalid>((index, once_attribute(&key).map_err(invalid)?))
    };
    let once = once.into_iter().map(attribute).collect::<Result<_, _>>()?;
    match shared.streams.append(&stream, Append { events, once, ..append }).await {
        Ok(outcome) => Ok(respond(&outcome, has_body, producer)),
        Err(error) => Err(refuse_at(shared, &stream, error).await),
    }
}

/// `DELETE`: forgets one that has ended.
pub(super) async fn delete(shared: &Shared, id: &ExecutionId) -> Result<Response, Refusal> {
    match find(shared, id).await? {
        Some(stream) => shared.streams.delete(&stream).await.map_err(refuse)?,
        None => shared.control.delete(id).await?,
    }
    Ok(empty(StatusCode::NO_CONTENT))
}
