//! Making a stream, new or as a fork, and deleting it (§4.2, §5.1, §5.4).

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::StatusCode;
use streamnest_core::{Event, LogName, Position};
use streamnest_log::durable::{Creation, ForkAt};
use streamnest_protocol::durable::{ContentType, Invalid, Offset, ROOT, Target, header as names, json};

use super::{
    Asked, append::take_body, empty, execution, headers::Headers, own, put, refusal::refuse, subject::name_of,
};
use crate::{
    access::{Action, Visitor},
    http::Refusal,
    shared::Shared,
};

/// `PUT`.
pub(super) async fn create(shared: &Arc<Shared>, asked: &Asked, body: Body) -> Result<Response, Refusal> {
    let headers = asked.headers();
    let fork = fork(shared, &asked.visitor, &headers).await?;
    let content_type = match (headers.content_type()?, &fork) {
        (Some(content_type), _) => Some(content_type),
        (None, Some(_)) => None,
        (None, None) => Some(ContentType::default()),
    };
    let lifetime = headers.lifetime()?;
    let body = take_body(shared, body).await?;
    let owner = asked.visitor.owner();
    if let Target::Execution(id) = &asked.target {
        let fork = fork.map(|(fork, _)| fork);
        let creation = Creation { lifetime, closed: headers.closes(), fork, owner, ..Creation::default() };
        let content_type = headers.content_type()?;
        return execution::create(shared, asked, id, content_type.as_ref(), creation, &body).await;
    }
    let is_json = match (&content_type, &fork) {
        (Some(content_type), _) => content_type.is_json(),
        (None, Some((_, is_json))) => *is_json,
        (None, None) => false,
    };
    let body = match is_json && !json::is_nothing(&body) {
        true => json::messages(&body)?.bytes.into(),
        false if is_json => Bytes::new(),
        false => body,
    };
    let creation = Creation {
        content_type: content_type
            .as_ref()
            .map_or(String::new(), |content_type| content_type.as_str().into()),
        lifetime,
        events: if body.is_empty() { Vec::new() } else { vec![Event::data(body)] },
        closed: headers.closes(),
        fork: fork.map(|(fork, _)| fork),
        owner,
    };
    make(shared, asked, &name_of(&asked.target)?, creation).await
}

/// Makes it, and says what became of it.
pub(super) async fn make(
    shared: &Shared,
    asked: &Asked,
    name: &LogName,
    creation: Creation,
) -> Result<Response, Refusal> {
    let created = shared.streams.create(name, creation).await.map_err(refuse)?;
    let stand = shared.streams.stand(&created.stream).await.map_err(refuse)?;
    let mut response = empty(if created.existed { StatusCode::OK } else { StatusCode::CREATED });
    if !created.existed {
        put(&mut response, "location", asked.url());
        tracing::debug!(stream = %created.stream.name(), "stream made");
    }
    put(&mut response, "content-type", &created.stream.facts().content_type);
    put(&mut response, names::NEXT_OFFSET, stand.tail);
    if stand.closed {
        put(&mut response, names::CLOSED, true);
    }
    Ok(response)
}

/// What a request wants to fork, and whether that holds JSON.
async fn fork(
    shared: &Shared,
    visitor: &Visitor,
    headers: &Headers<'_>,
) -> Result<Option<(ForkAt, bool)>, Refusal> {
    let source = headers.text(names::FORKED_FROM)?;
    let (at, sub_offset) = (headers.text(names::FORK_OFFSET)?, headers.text(names::FORK_SUB_OFFSET)?);
    let Some(source) = source else {
        if at.is_some() || sub_offset.is_some() {
            let reason = "`Stream-Fork-Offset` and `Stream-Fork-Sub-Offset` need `Stream-Forked-From`";
            return Err(Invalid::Headers { reason }.into());
        }
        return Ok(None);
    };
    let legal = "the path of a stream of this server, for example `/v1/stream/a`";
    let target = source.find(ROOT).and_then(|at| source.get(at + ROOT.len()..));
    let Some(target) = target else {
        return Err(
            Invalid::Header { name: names::FORKED_FROM, text: crate::http::quote(source), legal }.into()
        );
    };
    let target = Target::new(target)?;
    if let Target::Execution(_) = target {
        return Err(execution::not_forked());
    }
    let at = match at.map(str::parse).transpose()? {
        None => None,
        Some(Offset::Beginning) => Some(Position::BEFORE_FIRST),
        Some(Offset::After(position)) => Some(position),
        Some(Offset::Now) => {
            let (name, legal) = (names::FORK_OFFSET, "one that the server sent, or left out for the end");
            return Err(Invalid::Header { name, text: "now".into(), legal }.into());
        }
    };
    let sub_offset = sub_offset.map_or(Ok(0), parse_sub_offset)?;
    let source = name_of(&own(shared, visitor, Action::Read, target)?)?;
    // Its kind never changes, so it may be looked at before it is forked.
    let is_json = match shared.streams.get(&source).await {
        Ok(stream) => ContentType::new(&stream.facts().content_type)?.is_json(),
        Err(streamnest_log::Error::StreamDeleted { name }) => {
            return Err(refuse(streamnest_log::Error::ForkSourceDeleted { name }));
        }
        Err(error) => return Err(refuse(error)),
    };
    let cut = if is_json { json::prefix } else { bytes_prefix };
    Ok(Some((ForkAt { source, at, sub_offset, cut }, is_json)))
}

fn parse_sub_offset(text: &str) -> Result<u64, Invalid> {
    let is_plain = text == "0" || !text.starts_with('0');
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_plain && is_decimal { text.parse().ok() } else { None };
    let legal = "a whole number in decimal, without sign or leading zeros";
    number.ok_or_else(|| Invalid::Header {
        name: names::FORK_SUB_OFFSET,
        text: crate::http::quote(text),
        legal,
    })
}

fn bytes_prefix(append: &[u8], count: u64) -> Option<usize> {
    usize::try_from(count).ok().filter(|count| *count <= append.len())
}

/// `DELETE`.
pub(super) async fn delete(shared: &Shared, asked: &Asked) -> Result<Response, Refusal> {
    if let Target::Execution(id) = &asked.target {
        return execution::delete(shared, id).await;
    }
    let stream = shared.streams.get(&name_of(&asked.target)?).await.map_err(refuse)?;
    shared.streams.delete(&stream).await.map_err(refuse)?;
    tracing::debug!(stream = %stream.name(), "stream deleted");
    Ok(empty(StatusCode::NO_CONTENT))
}
