//! A program that is asked over HTTP without a socket between: a million requests in a minute.

use std::sync::Arc;

use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use hyper::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use streamnest::{
    Streamnest,
    core::{Clock, Timestamp},
    gateway::GatewayOptions,
};
use streamnest_tests::workflows::Steps;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// 2030-01-01T00:00:00Z, in seconds since 1970: the only moment that there is.
pub(super) const NOW: i64 = 1_893_456_000;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(NOW as u64 * 1_000_000)
    }
}

pub(super) struct Program {
    runtime: Runtime,
    router: Router,
}

/// What was answered. The body is read only where it ends by itself.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Program {
    pub(super) fn new(options: GatewayOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let builder =
            Streamnest::builder().workflow(Steps::default()).gateway_options(options).clock(Arc::new(Still));
        let router = runtime.block_on(async { builder.build().await.unwrap().into_router() });
        Self { runtime, router }
    }

    pub(super) fn ask(&self, request: Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
            let is_stream =
                head.headers.get("content-type").is_some_and(|value| value == "text/event-stream");
            let body = if is_stream { Vec::new() } else { body.collect().await.unwrap().to_bytes().to_vec() };
            Answer { status: head.status, headers: head.headers, body }
        })
    }
}

impl Answer {
    /// The code of an error, which has the form of all errors.
    pub(super) fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let error = body.get("error")?;
        let message = error["message"].as_str()?;
        let is_good = error["retryable"].is_boolean()
            && message.len() < 1_000
            && !message.chars().any(char::is_control);
        is_good.then(|| error["code"].as_str().map(Into::into))?
    }
}
