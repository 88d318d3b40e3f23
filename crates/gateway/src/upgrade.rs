//! From HTTP to WebSocket: the handshake of RFC 6455 §4.2, by hand.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use streamnest_protocol::native::{SUBPROTOCOL, SUBPROTOCOL_DEFLATE};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::Instrument as _;

use crate::{
    auth::{Admission, Rejected},
    connection::{Begin, Language, Session},
    http::{Refusal, trace_of},
    metrics::Transport,
    shared::Shared,
};

/// The length of `Sec-WebSocket-Key`: 16 bytes in base64.
const KEY_LENGTH: usize = 24;

/// Whether a request asks for a WebSocket.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    has_token(headers, header::CONNECTION, "upgrade") && has_token(headers, header::UPGRADE, "websocket")
}

/// `GET /ws`, and `GET /` when it asks for a WebSocket.
pub(crate) async fn upgrade(State(shared): State<Arc<Shared>>, mut request: Request) -> Response {
    answer(&shared, &mut request, Language::Native).unwrap_or_else(Refusal::into_response)
}

/// `GET /echo`, where that is asked for.
#[cfg(feature = "echo")]
pub(crate) async fn echo(State(shared): State<Arc<Shared>>, mut request: Request) -> Response {
    match shared.echoes.load(std::sync::atomic::Ordering::Relaxed) {
        true => answer(&shared, &mut request, Language::Echo).unwrap_or_else(Refusal::into_response),
        false => Refusal::not_found(request.uri().path()).into_response(),
    }
}

fn answer(shared: &Arc<Shared>, request: &mut Request, language: Language) -> Result<Response, Refusal> {
    let headers = request.headers();
    let version = headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    let right = *request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && is_asked_for(headers)
        && version == Some(b"13");
    if !shared.options.websocket {
        return Err(Refusal::not_found(request.uri().path()));
    }
    if !right {
        return Err(Refusal::upgrade_required());
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let Some(key) = key.filter(|key| key.len() == KEY_LENGTH) else {
        let message = "`Sec-WebSocket-Key` has to be 16 bytes in base64";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_handshake", message));
    };
    if shared.is_draining() {
        return Err(Refusal::draining());
    }
    let accept =
        HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| Refusal::internal())?;
    let offers = |name| has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, name);
    let subprotocol =
        match (offers(SUBPROTOCOL_DEFLATE) && shared.compressor.is_enabled(), offers(SUBPROTOCOL)) {
            (true, _) => Some(SUBPROTOCOL_DEFLATE),
            (false, true) => Some(SUBPROTOCOL),
            (false, false) => None,
        };
    // One over a limit is told so by a close code, which takes an open WebSocket; a flood of them is just refused.
    let seat = shared.seat(request.extensions(), Transport::WebSocket);
    let seat = seat.or_else(|refused| {
        let seat = shared.turn_away(&refused).ok_or(*refused.refusal)?;
        Ok::<_, Refusal>(seat)
    })?;
    // Where the layer that finds out who asks has not been, nobody is let in.
    let admission = request.extensions().get::<Admission>().cloned();
    let admission = admission.unwrap_or(Admission::Rejected(Rejected::Missing));
    let deflates = subprotocol == Some(SUBPROTOCOL_DEFLATE);
    let trace = trace_of(request.headers()).map(Box::new);
    let begin = Begin { seat, admission, deflates, language, trace };
    let session = Session::new(shared.clone(), hyper::upgrade::on(request), begin);
    let span = tracing::debug_span!("websocket", connection = tracing::field::Empty);
    // A span that nobody records is memory that each turn would touch.
    match span.is_disabled() {
        true => shared.tasks.spawn(session),
        false => shared.tasks.spawn(session.instrument(span)),
    };

    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    Ok(response)
}

/// Whether a header that lists tokens, separated by commas, has this one.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(token))
}
