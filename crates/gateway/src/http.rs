//! The routes.

mod body;
mod executions;
mod idempotency;
mod query;
mod reply;
mod signals;
mod subscriptions;
mod trace;
mod workflows;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    middleware,
    response::Response,
    routing::{any, delete, get, post},
};
use http::{Method, StatusCode, Uri};
use serde::Serialize;

pub(crate) use body::{header, parse, read as read_body, take};
pub(crate) use executions::id_of as executions_id;
pub(crate) use idempotency::Idempotency;
pub(crate) use query::Query;
pub(crate) use reply::{Refusal, RefusedWith, error_frame, json, quote};
pub(crate) use trace::trace_of;

use crate::{auth, console, durable, guard, metrics, shared::Shared, sse, upgrade};

/// Every route of the gateway.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let router = Router::new();
    #[cfg(feature = "echo")]
    let router = router.route("/echo", get(upgrade::echo));
    router
        .route("/ws", get(upgrade::upgrade))
        .route("/workflows", get(workflows::list))
        .route("/workflows/{name}", get(workflows::one))
        .route("/workflows/{name}/executions", post(executions::start))
        .route("/executions", get(executions::list))
        .route("/executions/{id}", get(executions::one).delete(executions::delete))
        .route("/executions/{id}/events", get(sse::events))
        .route("/executions/{id}/cost", get(executions::cost))
        .route("/executions/{id}/subscriptions", get(subscriptions::list))
        .route("/executions/{id}/subscriptions/{name}", delete(subscriptions::forget))
        .route("/executions/{id}/cancel", post(executions::cancel))
        .route("/executions/{id}/signals", post(signals::signal))
        .route(durable::ROUTE, any(durable::serve))
        .route("/tickets", post(auth::issue))
        .route("/metrics", get(metrics::metrics))
        .route("/admin/statistics", get(metrics::statistics))
        .route("/admin/revocations", post(auth::revoke))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(console::router())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared)
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Lives.
async fn healthz() -> Response {
    json(StatusCode::OK, &Health { status: "ok" })
}

/// Takes new work: it does not go away, and its logs can be written.
async fn readyz(State(shared): State<Arc<Shared>>) -> Result<Response, Refusal> {
    if shared.is_draining() {
        return Err(Refusal::draining());
    }
    shared.logs.check().map_err(|error| Refusal::store(&error))?;
    Ok(json(StatusCode::OK, &Health { status: "ready" }))
}

async fn not_found(uri: Uri) -> Refusal {
    Refusal::not_found(uri.path())
}

async fn method_not_allowed(method: Method) -> Refusal {
    Refusal::method(&method)
}
