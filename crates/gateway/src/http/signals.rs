//! Answering what an execution asks.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::Response,
};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamnest_core::{AskId, ExecutionId, Signal};

use super::{
    Refusal,
    body::{parse, take},
    executions::id_of,
    json,
};
use crate::{
    access::{Action, Visitor},
    shared::Shared,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalBody {
    ask: AskId,
    answer: Value,
    by: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignalledBody {
    execution_id: ExecutionId,
    ask: AskId,
    repeated: bool,
}

/// `POST /executions/{id}/signals`
pub(super) async fn signal(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    uri: Uri,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let execution_id = visitor.execution(&shared, Action::Answer, &id_of(&uri, id)?)?;
    let SignalBody { ask, answer, by } = parse(&take(request.into_body(), &shared.options).await?)?;
    let signal = visitor.sign(Signal { ask, answer, by })?;
    let signalled = shared.control.signal(&execution_id, signal).await?;
    tracing::debug!(execution = %execution_id, %ask, repeated = signalled.repeated, "question answered over HTTP");
    Ok(json(StatusCode::OK, &SignalledBody { execution_id, ask, repeated: signalled.repeated }))
}
