//! What stands in a request.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;
use streamnest_protocol::check_keys;

use super::Refusal;
use crate::GatewayOptions;

/// Reads the body of a request for an execution or a workflow.
pub(crate) async fn take(body: Body, options: &GatewayOptions) -> Result<Bytes, Refusal> {
    read(body, options.max_body_bytes, "GatewayOptions::max_body_bytes", options.request_timeout).await
}

/// Reads a body within the bounds of size, which `option` sets, and time.
pub(crate) async fn read(
    body: Body,
    limit: usize,
    option: &'static str,
    patience: Duration,
) -> Result<Bytes, Refusal> {
    let collected = Limited::new(body, limit).collect();
    match tokio::time::timeout(patience, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let message =
                format!("body is over the limit of {limit} bytes; send less at once, or raise `{option}`");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "request body broke off");
            Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_body", "body broke off; send it again"))
        }
        Err(_) => Err(Refusal::late("body", patience)),
    }
}

/// Reads an object, in which no key stands twice; an empty body is one without fields.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    check_keys(bytes).and_then(|()| serde_json::from_slice(bytes)).map_err(|error| {
        let message = format!("body cannot be read: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_body", message)
    })
}

/// The one value of a header, if it is there.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value)),
        _ => {
            let message = format!("header `{name}` has to stand once and to be printable ASCII");
            Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_header", message))
        }
    }
}
