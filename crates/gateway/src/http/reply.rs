//! Answers and refusals as JSON.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use streamnest_core::{ControlError, ExecutionId, StoreError};
use streamnest_protocol::native::{ErrorBody, ServerFrame};

use crate::{access::Scope, auth::Rejected};

/// The most characters of a client's own text that a message repeats.
const QUOTED_CHARACTERS: usize = 128;
/// When somebody comes back whose token could not be checked, for its key is not known yet.
const KEYS_AGAIN: Duration = Duration::from_secs(5);

/// When somebody comes back who is refused for now, unless the refusal knows better, in seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("1");

/// An answer in JSON. Nothing here may be kept by a cache: it is about what goes on now.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => with_json(status, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            Refusal::internal().into_response()
        }
    }
}

fn with_json(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = (status, Body::from(bytes)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a client is told of a store's refusal. Where that keeps its files is nobody's business.
fn told_by_store(error: &StoreError) -> String {
    match error {
        StoreError::Full { .. } => ControlError::StoreFull.to_string(),
        StoreError::Damaged { .. } => "entries are kept, but not as they were written".into(),
        error => error.to_string(),
    }
}

/// A refusal of a log, for a client that is sent frames.
pub(crate) fn error_frame(error: &streamnest_log::Error) -> ServerFrame {
    let message = match error {
        streamnest_log::Error::Store(store) => told_by_store(store),
        error => error.to_string(),
    };
    ServerFrame::error(error.code(), message, error.is_retryable())
}

/// Why a request over HTTP was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The code of the error that an answer is, for whoever counts them.
#[derive(Clone, Debug)]
pub(crate) struct RefusedWith(pub(crate) String);

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let retryable = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
        Self { status, body: ErrorBody::new(code, message, retryable), headers: Vec::new() }
    }

    /// What the store of the logs refused.
    pub(crate) fn store(error: &StoreError) -> Self {
        let status = match error {
            StoreError::Full { .. } | StoreError::IndexFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
            StoreError::Trimmed { .. } => StatusCode::GONE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut refusal = Self::new(status, error.code(), told_by_store(error));
        refusal.body.error.retryable = error.is_retryable();
        refusal
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.put(name, value);
        self
    }

    /// Sends a header along.
    pub(crate) fn put(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.push((name, value));
    }

    /// Names streams by the path that was asked: below what they are kept is nobody's business.
    pub(crate) fn without(mut self, kept_below: &[String]) -> Self {
        for prefix in kept_below {
            self.body.error.message = self.body.error.message.replace(&format!("`{prefix}"), "`");
        }
        self
    }

    /// Its stable identifier.
    pub(crate) fn code(&self) -> &str {
        &self.body.error.code
    }

    pub(crate) fn not_found(path: &str) -> Self {
        let path = quote(path);
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is nothing at `{path}`"))
    }

    pub(crate) fn method(method: &Method) -> Self {
        let message =
            format!("`{}` is not for this address; the `Allow` header lists what is", quote(method.as_str()));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "server made a mistake; its log says more")
    }

    pub(crate) fn unknown_execution(id: &ExecutionId) -> Self {
        (&ControlError::UnknownExecution { id: id.clone() }).into()
    }

    pub(crate) fn draining() -> Self {
        (&ControlError::Draining).into()
    }

    /// `what` of a request did not come in time.
    pub(crate) fn late(what: &str, patience: Duration) -> Self {
        let message =
            format!("{what} took longer than {patience:?}, the limit of `GatewayOptions::request_timeout`");
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
    }

    pub(crate) fn no_host() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_host", "request needs one `Host` header with a host name")
    }

    pub(crate) fn host(host: &str) -> Self {
        let message = format!(
            "host `{}` is not one of this server's; add it by `--allow-host` or `GatewayOptions::allowed_hosts`",
            quote(host)
        );
        Self::new(StatusCode::FORBIDDEN, "host_not_allowed", message)
    }

    /// `by_other_scheme`: it would be the server's own, if it had come as the request did.
    pub(crate) fn origin(origin: &str, by_other_scheme: bool) -> Self {
        let proxy = match by_other_scheme {
            true => {
                "; if a proxy in front of it ends the encryption, name that in `trusted_proxies` and have it say `X-Forwarded-Proto`"
            }
            false => "",
        };
        let message = format!(
            "pages of origin `{}` may not use this server; add it by `--allow-origin` or `GatewayOptions::allowed_origins`{proxy}",
            quote(origin)
        );
        Self::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
    }

    pub(crate) fn embedded() -> Self {
        let message = "pages of another site may not embed or fetch this; follow a link to it instead";
        Self::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
    }

    pub(crate) fn content_type() -> Self {
        let message = "request needs `Content-Type: application/json`, also when it has no body";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    pub(crate) fn repeated(name: &HeaderName) -> Self {
        let message = format!("header `{name}` may stand once only");
        Self::new(StatusCode::BAD_REQUEST, "repeated_header", message)
    }

    pub(crate) fn too_many_connections(limit: usize) -> Self {
        let message = format!(
            "{limit} connections are open, the limit of `GatewayOptions::max_connections`; try again later"
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", message)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(crate) fn crowded(limit: usize) -> Self {
        let message = format!(
            "{limit} connections of one address are open, the limit of `GatewayOptions::max_connections_per_address`; close one, or try again later"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections_of_address", message)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(crate) fn too_many_readers(limit: usize) -> Self {
        let message = format!(
            "{limit} readers wait for more of a stream, the limit of `GatewayOptions::max_stream_readers`; try again later"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_readers", message)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(crate) fn too_many_keys(limit: usize) -> Self {
        let message = format!(
            "{limit} starts with an `Idempotency-Key` are under way, the limit of `GatewayOptions::max_idempotency_keys`; try again later"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_keyed_starts", message)
            .retry_after(Duration::from_secs(1))
    }

    /// Nobody may ask without showing who they are (RFC 6750 §3).
    pub(crate) fn unauthenticated(rejected: &Rejected) -> Self {
        if rejected.is_retryable() {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, rejected.code(), rejected.to_string())
                .retry_after(KEYS_AGAIN);
        }
        let challenge = match rejected {
            Rejected::Missing => "Bearer",
            _ => "Bearer error=\"invalid_token\"",
        };
        Self::new(StatusCode::UNAUTHORIZED, rejected.code(), rejected.to_string())
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    pub(crate) fn cookie_without_origin() -> Self {
        let message =
            "a cookie counts only where a browser tells which page sends it; send `Authorization: Bearer`";
        Self::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
    }

    /// A ticket was shown where the token itself is wanted.
    pub(crate) fn ticket() -> Self {
        let message = "a ticket opens what is read by GET, event streams and WebSockets; send the token in `Authorization`";
        Self::new(StatusCode::FORBIDDEN, "ticket_not_allowed", message)
    }

    pub(crate) fn without_scope(scope: Scope, to: &str) -> Self {
        let message = format!("token does not allow to {to}; it needs the scope `{}`", scope.as_str());
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn forbidden_stream(action: &str) -> Self {
        let message = format!("token does not allow to {action} this stream");
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn too_many_streams(limit: usize) -> Self {
        let message = format!(
            "{limit} event streams and long-polls are open, the limit of `GatewayOptions::max_event_streams_per_user`; close one"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_event_streams", message)
            .retry_after(Duration::from_secs(1))
    }

    /// The answer as it goes over HTTP/1.1, for a connection that ends with it.
    pub(crate) fn to_http1(&self) -> Vec<u8> {
        let (status, body) = (self.status, self.body.to_json());
        let mut answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncache-control: no-store\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        )
        .into_bytes();
        for (name, value) in &self.headers {
            answer.extend_from_slice(name.as_str().as_bytes());
            answer.extend_from_slice(b": ");
            answer.extend_from_slice(value.as_bytes());
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(body.as_bytes());
        answer
    }

    /// Says when to come back, in whole seconds.
    pub(crate) fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// It takes a WebSocket handshake of version 13 to get here.
    pub(crate) fn upgrade_required() -> Self {
        let message = "this address speaks WebSocket, version 13; ask for an upgrade to it";
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message)
            .with_header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }
}

/// What a client said, cut short.
pub(crate) fn quote(text: &str) -> String {
    text.chars().take(QUOTED_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl From<&ControlError> for Refusal {
    fn from(error: &ControlError) -> Self {
        let status = match error {
            ControlError::UnknownWorkflow { .. }
            | ControlError::UnknownExecution { .. }
            | ControlError::UnknownAsk { .. } => StatusCode::NOT_FOUND,
            ControlError::InvalidInput { .. } | ControlError::InvalidAnswer { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            ControlError::Forbidden { .. } => StatusCode::FORBIDDEN,
            ControlError::Conflict { .. }
            | ControlError::StillRunning { .. }
            | ControlError::AlreadyAnswered { .. }
            | ControlError::AskClosed { .. } => StatusCode::CONFLICT,
            ControlError::AnswerTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ControlError::TooManyExecutions { .. } => StatusCode::TOO_MANY_REQUESTS,
            ControlError::StoreFull | ControlError::StoreIndexFull => StatusCode::INSUFFICIENT_STORAGE,
            ControlError::Draining | ControlError::StoreFailed | ControlError::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, body: error.into(), headers: Vec::new() }
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        (&error).into()
    }
}

/// A value in a request that is not what it says it is.
impl From<streamnest_core::Error> for Refusal {
    fn from(error: streamnest_core::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.code(), error.to_string())
    }
}

impl From<streamnest_log::Error> for Refusal {
    fn from(error: streamnest_log::Error) -> Self {
        if let streamnest_log::Error::Store(store) = &error {
            return Self::store(store);
        }
        let status = match &error {
            streamnest_log::Error::SubscriptionOfAnother { .. } => StatusCode::FORBIDDEN,
            error if error.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = with_json(self.status, self.body.to_json().into_bytes());
        let headers = response.headers_mut();
        headers.extend(self.headers);
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.entry(header::RETRY_AFTER).or_insert(AGAIN);
        }
        response.extensions_mut().insert(RefusedWith(self.body.error.code));
        response
    }
}
