//! Who is shown the numbers, and how.

use std::sync::{Arc, atomic::Ordering};

use axum::{extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use prometheus_client::encoding::text::encode;
use serde::Serialize;
use tokio::runtime::Handle;

use super::{Metrics, Transport};
use crate::{
    access::Visitor,
    http::{Refusal, json},
    shared::Shared,
};

/// The format (OpenMetrics 1.0 §4.1), which Prometheus reads.
const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

impl Metrics {
    /// Brings up to date what is not counted as it happens.
    fn look(&self, shared: &Shared) {
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.logs.set(gauge(shared.logs.len()));
        self.log_bytes.set(gauge(shared.logs.bytes()));
        // Several may look at once, and none takes back what another has shown.
        self.compressed.inner().fetch_max(shared.compressor.compressed(), Ordering::Relaxed);
        let keys_age = shared.auth().and_then(|auth| auth.keys_age()).unwrap_or_default();
        self.keys_age.set(i64::try_from(keys_age.as_secs()).unwrap_or(i64::MAX));
        let (running, token_entries) = shared.logs.running();
        self.runs.look(running, token_entries);
        // A request is answered by a task, so that there is a runtime.
        let runtime = Handle::try_current();
        self.tasks.set(runtime.map_or(0, |runtime| gauge(runtime.metrics().num_alive_tasks())));
    }

    fn connections(&self, transport: Transport) -> i64 {
        self.connections.get_or_create(&transport.label()).get()
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
) -> Result<Response, Refusal> {
    visitor.must_operate()?;
    shared.metrics.look(&shared);
    let mut text = String::new();
    if encode(&mut text, &shared.metrics.registry).is_err() {
        return Err(Refusal::internal());
    }
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    draining: bool,
    connections: Connections,
    /// Principals that are connected.
    users: usize,
    subscriptions: i64,
    runs: i64,
    token_entries: u64,
    /// Of runs that have ended.
    cost_nano_usd: u64,
    logs: i64,
    log_bytes: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connections {
    web_socket: i64,
    event_stream: i64,
}

/// `GET /admin/statistics`
pub(crate) async fn statistics(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
) -> Result<Response, Refusal> {
    visitor.must_operate()?;
    let metrics = &shared.metrics;
    metrics.look(&shared);
    let connections = Connections {
        web_socket: metrics.connections(Transport::WebSocket),
        event_stream: metrics.connections(Transport::EventStream),
    };
    Ok(json(
        StatusCode::OK,
        &Statistics {
            draining: shared.is_draining(),
            connections,
            users: shared.people.count(),
            subscriptions: metrics.subscriptions.get(),
            runs: metrics.runs.running(),
            token_entries: metrics.runs.token_entries(),
            cost_nano_usd: metrics.runs.cost_nano_usd(),
            logs: metrics.logs.get(),
            log_bytes: metrics.log_bytes.get(),
        },
    ))
}
