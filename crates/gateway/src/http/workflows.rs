//! What can be started.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use http::{StatusCode, Uri};
use serde::Serialize;
use streamnest_core::WorkflowSummary;

use super::{Refusal, json};
use crate::{access::Visitor, shared::Shared};

#[derive(Serialize)]
struct Workflows {
    workflows: Vec<WorkflowSummary>,
}

/// `GET /workflows`
pub(super) async fn list(State(shared): State<Arc<Shared>>, _: Visitor) -> Response {
    json(StatusCode::OK, &Workflows { workflows: shared.control.workflows() })
}

/// `GET /workflows/{name}`
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    _: Visitor,
    uri: Uri,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(name) = name.map_err(|_| Refusal::not_found(uri.path()))?;
    Ok(json(StatusCode::OK, &shared.control.workflow(&name)?))
}
