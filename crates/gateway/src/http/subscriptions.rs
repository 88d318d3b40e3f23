//! How far the named subscriptions of an execution have come, and forgetting them.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use http::{StatusCode, Uri};
use serde::Serialize;
use streamnest_core::{ExecutionId, Position, Seq};

use super::{Refusal, executions::id_of, json, quote};
use crate::{
    access::{Action, Visitor},
    shared::Shared,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    execution_id: ExecutionId,
    /// After the last entry.
    last: Position,
    /// By name.
    subscriptions: Vec<Named>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    subscription: String,
    /// The last entry that was acknowledged; 0 before the first.
    acknowledged: Seq,
    /// After it.
    position: Position,
    /// How many entries follow it.
    lag: u64,
}

/// `GET /executions/{id}/subscriptions`
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    uri: Uri,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let id = visitor.execution(&shared, Action::Read, &id_of(&uri, id)?)?;
    let writer = shared.logs.open(&id).await?.ok_or_else(|| Refusal::unknown_execution(&id))?;
    let log = writer.log().clone();
    let subscriptions = log.subscriptions().into_iter().map(|(subscription, acknowledged, lag)| Named {
        subscription,
        acknowledged,
        position: log.position(acknowledged),
        lag,
    });
    let answer = Answer {
        execution_id: id,
        subscriptions: subscriptions.collect(),
        // Not before what any of them has acknowledged.
        last: log.position(log.head().last),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// `DELETE /executions/{id}/subscriptions/{name}`
pub(super) async fn forget(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    uri: Uri,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    let Path((id, name)) = path.map_err(|_| Refusal::not_found(uri.path()))?;
    let id = visitor.execution(&shared, Action::Read, &ExecutionId::new(&id)?)?;
    let writer = shared.logs.open(&id).await?.ok_or_else(|| Refusal::unknown_execution(&id))?;
    match writer.log().forget_subscription(&name, &visitor.acknowledger(&shared, &id))? {
        true => Ok(StatusCode::NO_CONTENT),
        false => {
            let message = format!("execution `{id}` has no subscription `{}`", quote(&name));
            Err(Refusal::new(StatusCode::NOT_FOUND, "unknown_subscription", message))
        }
    }
}
