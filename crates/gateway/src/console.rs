//! The web console: a page at `/` that starts, follows and cancels executions, and its assets beneath `/console/`.
//!
//! Everything lies in the binary: plain ES modules and stylesheets, no build step and nothing from other servers. The
//! Content-Security-Policy forbids inline scripts and styles, and the page writes what a run says as text only, so that
//! a token that looks like markup stays a token.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
};

use axum::{
    Router,
    body::Body,
    extract::{OriginalUri, Path},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// What the page may load and do: its own server's assets and API, and nothing else. A WebSocket to the same origin is
/// `'self'` (CSP level 3).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page names its assets relative to `/`.
const PAGE: &str = include_str!("console/index.html");

/// A file of the console.
struct Asset {
    /// Its path beneath `/console/`.
    path: &'static str,
    text: &'static str,
}

/// Lists the files of the console by their paths in `console/`.
macro_rules! assets {
    ($($path:literal)*) => {
        &[$(Asset { path: $path, text: include_str!(concat!("console/", $path)) }),*]
    };
}

const ASSETS: &[Asset] = assets![
    "access.js"
    "api.js"
    "app.js"
    "client.js"
    "controls.css"
    "dom.js"
    "execution-id.js"
    "form.js"
    "format.js"
    "frames.js"
    "icon.svg"
    "layout.css"
    "ledger.js"
    "panels.css"
    "questions.css"
    "questions.js"
    "refusal.js"
    "run.css"
    "run.js"
    "schema.js"
    "session.js"
    "theme-switch.js"
    "theme.css"
    "theme.js"
    "view/access.js"
    "view/connection.js"
    "view/events.js"
    "view/history.js"
    "view/launcher.js"
    "view/nodes.js"
    "view/output.js"
    "view/questions.js"
    "view/summary.js"
    "view/tail.js"
];

/// The page at `/` and its assets at `/console/…`.
///
/// A `GET /` that asks for a WebSocket is to be answered before it comes here.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(page)).route("/console/{*path}", get(asset))
}

/// The page.
///
/// `original` is the request's address before any router took a prefix off it, so that the page finds its assets also
/// where the gateway is nested into another program.
async fn page(OriginalUri(original): OriginalUri, headers: HeaderMap) -> Response {
    let text = match prefix(original.path()) {
        Some(prefix) => PAGE.replace("=\"console/", &format!("=\"{prefix}/console/")).into(),
        None => PAGE.into(),
    };
    answer("text/html; charset=utf-8", text, &headers)
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.path == path) {
        Some(asset) => answer(content_type(asset.path), asset.text.into(), &headers),
        None => (StatusCode::NOT_FOUND, secure_headers()).into_response(),
    }
}

/// A file with its headers, or `304` if the client has it already.
fn answer(content_type: &'static str, text: Cow<'static, str>, asked: &HeaderMap) -> Response {
    let tag = entity_tag(&text);
    let mut answer = if knows(asked, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let body = Body::from(text.into_owned());
        ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
    };
    answer.headers_mut().extend(secure_headers());
    // Asked for anew each time and answered from the tag, so that page and modules always are of one version.
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

fn secure_headers() -> HeaderMap {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// A strong entity tag (RFC 9110, section 8.8.3) of the content.
fn entity_tag(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Whether `If-None-Match` names the tag; weak comparison, as RFC 9110, section 13.1.2 has it.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    named
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// The prefix under which another program nests the gateway; `None` at its root, and for a path that could not stand in
/// an attribute as it is.
fn prefix(path: &str) -> Option<&str> {
    let prefix = path.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    // Two slashes at the start would name another host.
    (prefix.starts_with('/') && !prefix.starts_with("//") && prefix.chars().all(plain)).then_some(prefix)
}

#[cfg(test)]
mod tests;
