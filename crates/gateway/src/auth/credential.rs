//! Where a request holds a token.

use std::sync::Arc;

use axum::extract::{OriginalUri, Request};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::PathAndQuery};

use super::{AuthenticationOptions, Authenticator, Principal, Rejected, Secret};
use crate::{access::Visitor, http::Refusal, shared::Shared, upgrade};

/// What stands before a token in a WebSocket subprotocol.
const SUBPROTOCOL: &str = "bearer.";
/// The query parameters of a token (RFC 6750 §2.3) and of a ticket.
const QUERY_TOKEN: &str = "access_token";
const QUERY_TICKET: &str = "ticket";

/// What is known of who asks, when a request comes to its route.
#[derive(Clone, Debug)]
pub(crate) enum Admission {
    /// Who it is.
    Admitted(Visitor),
    /// Nobody yet: a WebSocket may say so by its first message.
    Pending,
    /// A WebSocket whose token is not taken, which it is told by a close code: a page cannot read the status of a handshake.
    Rejected(Rejected),
}

/// A token, and whether a page could read why it is not taken.
struct Found {
    text: Secret,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Header,
    Protocol,
    Cookie,
    Query,
    Ticket,
}

/// Finds out who asks, and takes the token out of the request's address. What needs nobody's name is let through.
pub(crate) async fn admit(shared: &Shared, request: &mut Request) -> Result<Admission, Refusal> {
    let Some(auth) = shared.auth() else { return Ok(Admission::Admitted(Visitor::Anyone)) };
    let is_socket = upgrade::is_asked_for(request.headers());
    let found = take(&auth.options, request, is_socket)?;
    let Some(found) = found else {
        return match is_socket || is_public(request.uri().path()) {
            true => Ok(Admission::Pending),
            false => Err(Refusal::unauthenticated(&Rejected::Missing)),
        };
    };
    if found.kind == Kind::Ticket && !is_for_tickets(request) {
        // Not looked at, so that the answer says nothing about it.
        return Err(Refusal::ticket());
    }
    if found.kind != Kind::Ticket
        && let Some(read) = auth.refresh(found.text.reveal())
    {
        read.await;
    }
    match check(auth, shared, &found) {
        Ok(principal) => Ok(Admission::Admitted(Visitor::Known(principal))),
        Err(rejected) => {
            tracing::debug!(code = rejected.code(), reason = %rejected, "token not taken");
            match is_socket && found.kind != Kind::Header {
                true => Ok(Admission::Rejected(rejected)),
                false => Err(Refusal::unauthenticated(&rejected)),
            }
        }
    }
}

fn check(auth: &Authenticator, shared: &Shared, found: &Found) -> Result<Arc<Principal>, Rejected> {
    let now = shared.logs.now();
    match found.kind {
        Kind::Ticket => auth.redeem(found.text.reveal(), now),
        _ => auth.verify(found.text.reveal(), now),
    }
}

/// What a ticket opens: what a page reads without headers of its own, and the WebSocket that it talks over. It gets no other ticket,
/// for one after the other would be a key for as long as the token is good.
fn is_for_tickets(request: &Request) -> bool {
    let path = request.uri().path();
    matches!(*request.method(), Method::GET | Method::HEAD)
        && !path.starts_with("/admin/")
        && path != "/metrics"
}

/// What anybody may ask: the page, which asks for a token itself.
fn is_public(path: &str) -> bool {
    path == "/" || path.starts_with("/console/")
}

/// Takes the one token of a request. A cookie comes with every request of a browser, so any other goes before it.
fn take(
    options: &AuthenticationOptions,
    request: &mut Request,
    is_socket: bool,
) -> Result<Option<Found>, Refusal> {
    let mut found = Vec::new();
    let headers = request.headers();
    found.extend(of_header(headers)?.map(|text| Found { text, kind: Kind::Header }));
    if is_socket {
        let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
        let offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        let tokens = offered.filter_map(|protocol| protocol.trim().strip_prefix(SUBPROTOCOL));
        found.extend(tokens.map(|text| Found { text: text.into(), kind: Kind::Protocol }));
    }
    let cookie = of_cookie(options, headers)?;
    if let Some((uri, taken)) = of_query(options, request.uri()) {
        *request.uri_mut() = uri;
        // Where another program mounts the routes, the address as it was sent stands here too, and links lead by it.
        if let Some(OriginalUri(sent)) = request.extensions_mut().remove()
            && let Some((sent, _)) = of_query(options, &sent)
        {
            request.extensions_mut().insert(OriginalUri(sent));
        }
        found.extend(taken);
    }
    if found.len() > 1 {
        // RFC 6750 §2: one way only.
        let message = "request has more than one token; send one";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "several_tokens", message));
    }
    Ok(found.pop().or_else(|| cookie.map(|text| Found { text, kind: Kind::Cookie })))
}

fn of_header(headers: &HeaderMap) -> Result<Option<Secret>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::repeated(&header::AUTHORIZATION));
    }
    let bearer = value.to_str().ok().and_then(|value| value.split_once(' '));
    match bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
        Some((_, token)) => Ok(Some(token.trim().into())),
        None => {
            let reason = "`Authorization` is not `Bearer` and a token".into();
            Err(Refusal::unauthenticated(&Rejected::Invalid { reason }))
        }
    }
}

/// The token in the cookie. A cookie proves nothing about the page that sends it, so that page has to be known: by its
/// `Origin`, which was checked before, or where a browser leaves that out, by its word that the page is our own.
fn of_cookie(options: &AuthenticationOptions, headers: &HeaderMap) -> Result<Option<Secret>, Refusal> {
    let Some(name) = &options.cookie else { return Ok(None) };
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut tokens = pairs.filter(|(known, _)| known == name).map(|(_, token)| token);
    let Some(token) = tokens.next() else { return Ok(None) };
    if tokens.next().is_some() {
        // A neighbouring domain may have set the second one.
        return Err(Refusal::repeated(&header::COOKIE));
    }
    let same_origin = headers.get("sec-fetch-site").map(HeaderValue::as_bytes) == Some(b"same-origin");
    if !headers.contains_key(header::ORIGIN) && !same_origin {
        return Err(Refusal::cookie_without_origin());
    }
    Ok(Some(token.into()))
}

/// The address without tokens, and the tokens; `None` if it has none.
fn of_query(options: &AuthenticationOptions, uri: &Uri) -> Option<(Uri, Vec<Found>)> {
    let query = uri.query()?;
    let kind_of = |pair: &str| match pair.split_once('=').map_or(pair, |(name, _)| name) {
        QUERY_TOKEN if options.query_parameter => Some(Kind::Query),
        QUERY_TICKET => Some(Kind::Ticket),
        _ => None,
    };
    let (taken, kept): (Vec<_>, Vec<_>) = query.split('&').partition(|pair| kind_of(pair).is_some());
    if taken.is_empty() {
        return None;
    }
    let found = taken.iter().filter_map(|pair| {
        let text = pair.split_once('=').map_or("", |(_, text)| text);
        kind_of(pair).map(|kind| Found { text: text.into(), kind })
    });
    let found = found.collect();
    let path = if kept.is_empty() { uri.path().into() } else { format!("{}?{}", uri.path(), kept.join("&")) };
    let mut parts = uri.clone().into_parts();
    // What is left of a path and query is one.
    parts.path_and_query = path.parse::<PathAndQuery>().ok();
    Uri::from_parts(parts).ok().map(|uri| (uri, found))
}
