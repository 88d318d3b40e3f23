//! Starting, listing, stopping and forgetting executions.

use std::sync::Arc;

use axum::{
    extract::{OriginalUri, Path, Request, State, rejection::PathRejection},
    response::Response,
};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamnest_core::{
    Cost, ExecutionId, ExecutionPage, ExecutionSummary, OnDisconnect, Position, StartExecution,
};

use super::{
    Query, Refusal,
    body::{header, parse, take},
    idempotency::Claim,
    json,
    trace::trace_of,
};
use crate::{
    access::{Action, Visitor, new_id},
    limits::Who,
    shared::Shared,
};

/// How many executions a page has if the client does not say.
const PAGE: usize = 20;
/// How many executions are looked at in one piece for those that whoever asks may see.
const LOOK_AT: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartBody {
    input: Value,
    execution_id: Option<ExecutionId>,
    on_disconnect: Option<OnDisconnect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    reason: Option<String>,
}

/// The answer to a start.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartedBody {
    execution_id: ExecutionId,
    position: Position,
    attached: bool,
    links: Links,
}

#[derive(Clone, Serialize)]
struct Links {
    #[serde(rename = "self")]
    itself: String,
    events: String,
    cancel: String,
    signals: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    execution_id: ExecutionId,
}

impl StartedBody {
    pub(super) fn new(prefix: &str, execution_id: ExecutionId, position: Position, attached: bool) -> Self {
        let itself = format!("{prefix}/executions/{execution_id}");
        let links = Links {
            events: format!("{itself}/events"),
            cancel: format!("{itself}/cancel"),
            signals: format!("{itself}/signals"),
            itself,
        };
        Self { execution_id, position, attached, links }
    }

    #[cfg(test)]
    pub(super) const fn execution_id(&self) -> &ExecutionId {
        &self.execution_id
    }
}

type Id = Result<Path<String>, PathRejection>;

/// Reads the id in a path.
pub(crate) fn id_of(uri: &Uri, id: Id) -> Result<ExecutionId, Refusal> {
    let Path(id) = id.map_err(|_| Refusal::not_found(uri.path()))?;
    Ok(ExecutionId::new(&id)?)
}

/// `POST /workflows/{name}/executions`
pub(super) async fn start(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    OriginalUri(original): OriginalUri,
    uri: Uri,
    workflow: Id,
    request: Request,
) -> Result<Response, Refusal> {
    // Where another program mounts the gateway, links lead there.
    let prefix = original.path().strip_suffix(uri.path()).unwrap_or_default();
    let Path(workflow) = workflow.map_err(|_| Refusal::not_found(uri.path()))?;
    let (parts, body) = request.into_parts();
    let key = header(&parts.headers, "idempotency-key")?.map(String::from);
    let body: StartBody = parse(&take(body, &shared.options).await?)?;
    if shared.is_draining() {
        return Err(Refusal::draining());
    }
    let who = Who::of(&visitor, parts.extensions.get().copied());
    shared.limits.start(|| who.clone())?;
    let mut request = StartExecution {
        workflow,
        input: body.input,
        execution_id: body.execution_id,
        on_disconnect: body.on_disconnect,
        trace: trace_of(&parts.headers),
    };
    let Some(key) = key else {
        request.execution_id = visitor.to_start(&shared, request.execution_id)?;
        return Ok(json(StatusCode::ACCEPTED, &started(&shared, &visitor, prefix, request).await?));
    };
    // Who may not start it takes no key.
    let id =
        visitor.execution(&shared, Action::Start, &request.execution_id.clone().unwrap_or_else(new_id))?;
    let (shared, prefix) = (shared.clone(), prefix.to_owned());
    let tasks = shared.tasks.clone();
    // It goes on though whoever asked is gone: they come back with the same key to hear what became of it.
    let answered = tasks.spawn(async move {
        let abort = shared.abort.clone();
        let answer = start_once(&shared, &visitor, &prefix, &key, who, request, id);
        abort.run_until_cancelled(answer).await.unwrap_or_else(|| Err(Refusal::draining()))
    });
    let answer = answered.await.unwrap_or_else(|error| {
        tracing::error!(%error, "an execution could not be started");
        Err(Refusal::internal())
    })?;
    Ok(json(StatusCode::ACCEPTED, &answer))
}

/// Starts an execution under the id that goes with a key, or finds the answer to who has done so before.
async fn start_once(
    shared: &Shared,
    visitor: &Visitor,
    prefix: &str,
    key: &str,
    who: Option<Who>,
    mut request: StartExecution,
    id: ExecutionId,
) -> Result<StartedBody, Refusal> {
    match shared.idempotency.claim(key, &visitor.owner().unwrap_or_default(), who, &request, id)? {
        Claim::Answered(answer) => Ok(answer),
        // Two that come at once start with the same id: the second one attaches to what the first one starts.
        Claim::Open(claimed) => {
            request.execution_id = Some(claimed.execution_id().clone());
            let answer = started(shared, visitor, prefix, request).await?;
            claimed.answer(&answer);
            Ok(answer)
        }
    }
}

async fn started(
    shared: &Shared,
    visitor: &Visitor,
    prefix: &str,
    request: StartExecution,
) -> Result<StartedBody, Refusal> {
    let started = shared.control.start_as(request, visitor.owner()).await?;
    let (id, attached) = (started.execution_id, started.attached);
    tracing::debug!(execution = %id, attached, "execution started over HTTP");
    Ok(StartedBody::new(prefix, id, started.position, attached))
}

/// `GET /executions`
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Refusal> {
    let query = Query::of(&uri, &["limit", "after"])?;
    let most = shared.options.max_page_executions;
    let legal =
        format!("a whole number from 1 to {most}, the limit of `GatewayOptions::max_page_executions`");
    let limit: usize = query.one("limit", &legal)?.unwrap_or(PAGE.min(most));
    if !(1..=most).contains(&limit) {
        let message = format!("parameter `limit` is {limit}, but has to be {legal}");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message));
    }
    let after: Option<ExecutionId> = query.one("after", "an execution's id")?;
    let after = match after {
        // After one that is gone there would seem to be nothing more, which may not be so: 404, and list anew.
        Some(after) => {
            let after = visitor.execution(&shared, Action::Read, &after)?;
            Some(shared.control.execution(&after)?.execution_id)
        }
        None => None,
    };
    Ok(json(StatusCode::OK, &page(&shared, &visitor, limit, after)))
}

/// A page of those executions that whoever asks may see.
fn page(shared: &Shared, visitor: &Visitor, limit: usize, mut after: Option<ExecutionId>) -> ExecutionPage {
    if let Visitor::Anyone = visitor {
        return shared.control.executions(limit, after.as_ref());
    }
    let mut seen = Vec::new();
    loop {
        let page = shared.control.executions(LOOK_AT, after.as_ref());
        let visible = |one: &ExecutionSummary| visitor.sees(shared, &one.execution_id);
        seen.extend(page.executions.into_iter().filter(visible));
        if seen.len() > limit {
            seen.truncate(limit);
            let next = seen.last().map(|last| last.execution_id.clone());
            return ExecutionPage { executions: seen, next };
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return ExecutionPage { executions: seen, next: None },
        }
    }
}

/// `GET /executions/{id}`
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    uri: Uri,
    id: Id,
) -> Result<Response, Refusal> {
    let id = visitor.execution(&shared, Action::Read, &id_of(&uri, id)?)?;
    Ok(json(StatusCode::OK, &shared.control.execution(&id)?))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spent {
    execution_id: ExecutionId,
    #[serde(flatten)]
    cost: Cost,
}

/// `GET /executions/{id}/cost`
pub(super) async fn cost(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    uri: Uri,
    id: Id,
) -> Result<Response, Refusal> {
    let execution_id = visitor.execution(&shared, Action::Read, &id_of(&uri, id)?)?;
    let cost = shared.control.cost(&execution_id).await?;
    Ok(json(StatusCode::OK, &Spent { execution_id, cost }))
}

/// `POST /executions/{id}/cancel`
pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    uri: Uri,
    id: Id,
    request: Request,
) -> Result<Response, Refusal> {
    let execution_id = visitor.execution(&shared, Action::Cancel, &id_of(&uri, id)?)?;
    let body: CancelBody = parse(&take(request.into_body(), &shared.options).await?)?;
    if body.reason.as_ref().is_some_and(|reason| reason.chars().count() > MAX_REASON) {
        let message = format!("field `reason` is over the limit of {MAX_REASON} characters");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_body", message));
    }
    shared.control.cancel(&execution_id, body.reason).await?;
    tracing::debug!(execution = %execution_id, "execution cancelled over HTTP");
    Ok(json(StatusCode::ACCEPTED, &Accepted { execution_id }))
}

/// The longest reason of a cancel, in characters; the same as over WebSocket.
const MAX_REASON: usize = 512;

/// `DELETE /executions/{id}`
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    uri: Uri,
    id: Id,
) -> Result<Response, Refusal> {
    let execution_id = visitor.execution(&shared, Action::Delete, &id_of(&uri, id)?)?;
    shared.control.delete(&execution_id).await?;
    tracing::debug!(execution = %execution_id, "execution deleted over HTTP");
    Ok(json(StatusCode::ACCEPTED, &Accepted { execution_id }))
}
