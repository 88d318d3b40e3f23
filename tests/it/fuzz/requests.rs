//! Requests with headers of any kind, to a whole program: who is let in, what is understood, and in which words the rest is refused.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::{body::Body, extract::ConnectInfo};
use hyper::{
    Method, Request,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use proptest::{prelude::*, sample::Index};
use streamnest::gateway::GatewayOptions;

use super::{
    Verdict,
    damage::{damaged, damages},
    fuzz, positions,
    program::{Answer, Program},
    stream_headers::number,
};

const ALLOWED_HOST: &str = "example.org";
const ALLOWED_ORIGIN: &str = "https://app.example.org";

/// What is asked. The positions stand where `{}` does.
const ASKED: &[(Method, &str, &str)] = &[
    (Method::GET, "/executions/e/events", ""),
    (Method::GET, "/executions/e/events?from={}", ""),
    (Method::GET, "/v1/stream/s?offset={}", ""),
    (Method::HEAD, "/v1/stream/s", ""),
    (Method::POST, "/v1/stream/s", "x"),
    (Method::PUT, "/v1/stream/p/1", ""),
    (Method::PUT, "/v1/stream/p/2", "[1]"),
    (Method::POST, "/workflows/none/executions", "{\"input\":{}}"),
    (Method::GET, "/ws", ""),
    (Method::GET, "/", ""),
    (Method::GET, "/executions?limit=1", ""),
    (Method::OPTIONS, "/executions", ""),
];

/// The headers that mean something here.
const NAMES: &[&str] = &[
    "host",
    "origin",
    "content-type",
    "last-event-id",
    "if-none-match",
    "idempotency-key",
    "authorization",
    "cookie",
    "accept-encoding",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "connection",
    "upgrade",
    "sec-websocket-version",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "x-forwarded-for",
    "x-forwarded-proto",
    "access-control-request-method",
    "stream-ttl",
    "stream-expires-at",
    "stream-seq",
    "stream-forked-from",
    "stream-fork-offset",
    "stream-fork-sub-offset",
    "producer-id",
    "producer-epoch",
    "producer-seq",
    "traceparent",
    "content-length",
    "range",
];

/// Good values, which also come where they do not belong.
const VALUES: &[&str] = &[
    "localhost",
    "localhost:8080",
    "127.0.0.1",
    "[::1]:80",
    "example.org",
    "example.org:8443",
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "http://localhost",
    "https://app.example.org",
    "https://evil.example",
    "null",
    "application/json",
    "text/plain",
    "application/octet-stream",
    "0000000000000000_0000000000000000",
    "0000000000000001_0000000000000001",
    "\"a\"",
    "*",
    "W/\"a\"",
    "key-1",
    "Bearer x.y.z",
    "Basic YTpi",
    "token=x",
    "gzip",
    "gzip;q=0, br",
    "cross-site",
    "same-origin",
    "navigate",
    "document",
    "Upgrade",
    "keep-alive, upgrade",
    "websocket",
    "13",
    "8",
    "dGhlIHNhbXBsZSBub25jZQ==",
    "streamnest.v1",
    "streamnest.v1.deflate, bearer.x",
    "192.0.2.1",
    "192.0.2.1, 127.0.0.1",
    "[2001:db8::1]:80",
    "https",
    "http",
    "POST",
    "0",
    "1",
    "60",
    "2040-01-31T12:00:00Z",
    "worker",
    "/v1/stream/s",
    "/v1/stream/p/1",
    "-1",
    "now",
    "true",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "",
    "bytes=0-1",
];

#[derive(Clone, Debug)]
struct Asked {
    what: Index,
    /// Damaged or not; what has no header of a name it needs gets a good one.
    headers: Vec<(&'static str, String)>,
    position: String,
    has_host: bool,
    has_type: bool,
    upgrades: bool,
}

fn requests() -> impl Strategy<Value = Asked> {
    let value =
        (prop::sample::select(VALUES), damages(2)).prop_map(|(value, damages)| damaged(value, &damages));
    let header = (prop::sample::select(NAMES), prop_oneof![9 => value, 1 => positions::texts()]);
    let most = prop::bool::weighted(0.9);
    (any::<Index>(), prop::collection::vec(header, 0..5), positions::texts(), most, most, any::<bool>())
        .prop_map(|(what, headers, position, has_host, has_type, upgrades)| Asked {
            what,
            headers,
            position,
            has_host,
            has_type,
            upgrades,
        })
}

/// Everything but letters and digits, percent-encoded.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The request; `None` if a value can stand in no header.
fn request(asked: &Asked) -> Option<(Request<Body>, &'static str)> {
    let (method, path, body) = asked.what.get(ASKED);
    let uri = path.replace("{}", &encoded(&asked.position));
    let mut request = Request::builder().method(method).uri(uri).body(Body::from(*body)).unwrap();
    let headers = request.headers_mut();
    for (name, value) in &asked.headers {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    let mut or_else = |name: &'static str, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    if asked.has_host {
        or_else("host", "localhost");
    }
    if asked.has_type && !body.is_empty() {
        or_else("content-type", if path.starts_with("/v1") { "text/plain" } else { "application/json" });
    }
    if asked.upgrades && *path == "/ws" {
        or_else("connection", "upgrade");
        or_else("upgrade", "websocket");
        or_else("sec-websocket-version", "13");
        or_else("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
    Some((request, path))
}

/// The one value of a header, if there is just one and it is text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// Whether a `Host` is one of this server's: the loopback under its own names, or a name that was allowed; with a port or without.
fn is_own_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => match number(port, u64::from(u16::MAX)) {
            Some(_) => name,
            None => return false,
        },
        _ => host,
    };
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    [ALLOWED_HOST, "localhost"].contains(&&*name.to_ascii_lowercase())
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// The scheme by which the proxy in front was asked, as it says last: all requests here come from one that is trusted.
fn said_scheme(headers: &HeaderMap) -> Option<&'static str> {
    let values = headers.get_all("x-forwarded-proto").iter().map(|value| value.to_str().unwrap_or_default());
    let said = values.flat_map(|value| value.split(',')).last()?.trim();
    ["http", "https"].into_iter().find(|scheme| scheme.eq_ignore_ascii_case(said))
}

/// Whether a page of that origin may ask a server that it calls `host`. Where the scheme is not known, either counts.
fn is_own_origin(origin: &str, host: &str, scheme: Option<&str>) -> bool {
    let origin = origin.to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    let mut schemes =
        ["http", "https"].into_iter().filter(|known| scheme.is_none_or(|scheme| scheme == *known));
    origin == ALLOWED_ORIGIN || schemes.any(|scheme| origin == format!("{scheme}://{host}"))
}

fn lists(headers: &HeaderMap, name: &str, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Checks what was answered against what the request was.
fn judge(
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    position: &str,
    answer: &Answer,
) -> Result<Verdict, TestCaseError> {
    let (status, code) = (answer.status.as_u16(), answer.code());
    prop_assert!(status < 500, "{:?}", answer);
    if status >= 400 && method != Method::HEAD {
        prop_assert!(code.is_some(), "{:?}", answer);
    }
    for name in ["content-security-policy", "x-content-type-options", "referrer-policy"] {
        prop_assert!(answer.headers.contains_key(name) || status == 101, "{} {:?}", name, answer);
    }
    if let Some(shown) = answer.headers.get("access-control-allow-origin") {
        prop_assert!(
            shown.to_str().is_ok_and(|shown| shown.eq_ignore_ascii_case(ALLOWED_ORIGIN)),
            "{:?}",
            answer
        );
    }
    let host = only(headers, "host");
    let may_ask = host.is_some_and(is_own_host)
        && (!headers.contains_key("origin")
            || only(headers, "origin")
                .is_some_and(|origin| is_own_origin(origin, host.unwrap_or_default(), said_scheme(headers))));
    if !may_ask {
        prop_assert!([400, 403].contains(&status), "let in: {:?}", answer);
        return Ok(Verdict::Refused);
    }
    prop_assert!(
        !["invalid_host", "host_not_allowed"].contains(&code.as_deref().unwrap_or_default()),
        "{:?}",
        answer
    );
    if code.as_deref() == Some("origin_not_allowed") {
        // What a page of another site embeds has no origin, and its browser says so.
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let is_embedded = matches!(site, Some(b"cross-site" | b"same-site"));
        prop_assert!(is_embedded && !headers.contains_key("origin"), "{:?}", answer);
        return Ok(Verdict::Refused);
    }
    let is_preflight = method == Method::OPTIONS;
    if *method == Method::POST && !path.starts_with("/v1") && !is_preflight {
        let media = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next());
        let is_json = media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"));
        prop_assert!(is_json || status == 415 || status == 403, "{:?}", answer);
    }
    let last = only(headers, "last-event-id").filter(|last| !last.is_empty());
    let is_repeated = headers.get_all("last-event-id").iter().count() > 1;
    let is_position = |text: &str| positions::read(text).is_some();
    let legal = match path {
        "/executions/e/events" | "/executions/e/events?from={}" => {
            let asked = if path.contains('?') { Some(position) } else { None };
            let is_word = |text: &str| ["start", "now"].contains(&text);
            match (headers.contains_key("last-event-id"), last) {
                (true, Some(last)) => Some(is_position(last)),
                (true, None) if is_repeated || headers["last-event-id"].to_str().is_err() => Some(false),
                _ => Some(asked.is_none_or(|asked| is_word(asked) || is_position(asked))),
            }
        }
        "/v1/stream/s?offset={}" => Some(["-1", "now"].contains(&position) || is_position(position)),
        _ => None,
    };
    if let Some(legal) = legal {
        // Where two things are wrong either may be told.
        prop_assert!(legal || status >= 400, "taken as a position: {:?} {:?}", position, answer);
        let blamed = ["invalid_position", "invalid_offset"].contains(&code.as_deref().unwrap_or_default());
        prop_assert!(!(legal && blamed), "refused as a position: {:?} {:?}", position, answer);
    }
    if path == "/ws" {
        let key = headers.get("sec-websocket-key").and_then(|key| key.to_str().ok());
        let is_handshake = lists(headers, "connection", "upgrade")
            && lists(headers, "upgrade", "websocket")
            && headers.get("sec-websocket-version").is_some_and(|version| version == "13")
            && key.is_some_and(|key| key.len() == 24);
        prop_assert!(status != 101 || is_handshake, "{:?}", answer);
    }
    if (path, method) == ("/v1/stream/s", &Method::POST) && (200..300).contains(&status) {
        let sent = ["producer-id", "producer-epoch", "producer-seq"].map(|name| only(headers, name));
        let is_number = |text: Option<&str>| text.is_some_and(|text| number(text, (1 << 53) - 1).is_some());
        let is_producer =
            sent[0].is_some_and(|id| !id.is_empty()) && is_number(sent[1]) && is_number(sent[2]);
        prop_assert!(sent == [None; 3] || is_producer, "{:?}", answer);
    }
    Ok(Verdict::of(status < 400))
}

#[test]
fn whatever_stands_in_its_headers_a_request_is_understood_or_refused_in_the_form_of_all_errors() {
    let options = GatewayOptions::default()
        .with_allowed_hosts(vec![ALLOWED_HOST.into()])
        .with_allowed_origins(vec![ALLOWED_ORIGIN.into()])
        .with_trusted_proxies(vec!["127.0.0.0/8".into()]);
    let program = Program::new(options);
    for (path, media) in [("/v1/stream/s", "text/plain"), ("/v1/stream/executions/e", "application/json")] {
        let made = Request::put(path).header("host", "localhost").header("content-type", media);
        assert_eq!(program.ask(made.body(Body::empty()).unwrap()).status, 201, "{path}");
    }
    fuzz("requests", 2_000, &requests(), |asked| {
        let Some((request, path)) = request(&asked) else { return Ok(Verdict::Refused) };
        let (headers, method) = (request.headers().clone(), request.method().clone());
        let answer = program.ask(request);
        judge(&headers, &method, path, &asked.position, &answer)
    });
}
