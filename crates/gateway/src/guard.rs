//! Who may ask: the checks that keep other web pages away from a server that needs no password.
//!
//! A page that a browser shows may send requests to any address, also to this machine's own. Its `Origin` tells that it
//! is not ours; where a name was pointed at this machine to hide that (DNS rebinding), the `Host` does. What changes
//! something has to be `application/json`, which a page can send elsewhere only after asking, and it is not allowed to.

pub(crate) mod allowed;

use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header,
    uri::{Authority, Scheme},
};

use streamnest_protocol::durable;

use crate::{
    GatewayOptions,
    access::Visitor,
    auth::{self, Admission},
    http::{Refusal, RefusedWith},
    limits::{ClientAddress, TrustedProxies, Who},
    serve::Watch,
    shared::Shared,
    upgrade,
};

/// What a page of an allowed origin may send.
const CORS_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
const CORS_HEADERS: [&str; 7] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "traceparent",
    "tracestate",
];
/// What it may read of an answer besides what every page may.
const CORS_EXPOSED: [&str; 6] =
    ["content-location", "etag", "last-event-id", "location", "retry-after", "www-authenticate"];
/// How long a browser remembers that, in seconds.
const CORS_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The address at which a request's connection was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalAddress(pub(crate) IpAddr);

/// Marks a request whose connection is encrypted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encrypted;

/// The scheme by which a client asks, where that is known: by whoever accepted its connection, or by the word of a proxy that is
/// trusted.
#[derive(Clone, Debug)]
pub(crate) struct OwnScheme(pub(crate) Scheme);

/// The hosts and origins that are allowed besides the server's own.
#[derive(Debug)]
pub(crate) struct Access {
    allowed: RwLock<Allowed>,
    /// Whether pages of allowed origins may send cookies along.
    credentials: bool,
    /// For how long browsers come by TLS only, once they did (RFC 6797); `None` leaves that to them.
    strict_transport: Option<HeaderValue>,
}

#[derive(Debug, Default)]
struct Allowed {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Access {
    pub(crate) fn new(options: &GatewayOptions) -> Self {
        let age = options.hsts_max_age.as_secs();
        let told = HeaderValue::from_str(&format!("max-age={age}")).ok();
        let access = Self {
            allowed: RwLock::default(),
            credentials: options.allow_credentials,
            strict_transport: told.filter(|_| age > 0),
        };
        access.allow(options);
        access
    }

    /// Whether any origin was named.
    pub(crate) fn allows_origins(&self) -> bool {
        !self.allowed.read().unwrap_or_else(PoisonError::into_inner).origins.is_empty()
    }

    /// Allows those that `options` name too, which are valid.
    pub(crate) fn allow(&self, options: &GatewayOptions) {
        let mut allowed = self.allowed.write().unwrap_or_else(PoisonError::into_inner);
        allowed.hosts.extend(options.allowed_hosts.iter().filter_map(|name| allowed::host(name).ok()));
        allowed.origins.extend(options.allowed_origins.iter().filter_map(|name| allowed::origin(name).ok()));
    }

    fn allowed(&self) -> RwLockReadGuard<'_, Allowed> {
        self.allowed.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are others' pages that may ask, so that an answer depends on whose page asked.
    fn has_origins(&self) -> bool {
        !self.allowed().origins.is_empty()
    }

    fn allows_host(&self, authority: &Authority, local: Option<IpAddr>) -> bool {
        let host = authority.host().to_ascii_lowercase();
        let is_local = address_of(&host).is_some_and(|address| Some(address.to_canonical()) == local);
        let own = is_loopback(authority) || is_local;
        own || self
            .allowed()
            .hosts
            .iter()
            .any(|allowed| *allowed == host || *allowed == authority.as_str().to_ascii_lowercase())
    }

    fn allows_origin(&self, origin: &str, own: &Authority, scheme: Option<&Scheme>) -> bool {
        is_own_origin(origin, own, scheme) || self.allowed().origins.contains(&origin.to_ascii_lowercase())
    }
}

/// Whether an origin is the server's own: a page that came without encryption may have been written by anybody on the way, so it is
/// none of a server that encrypts. Where another program accepted the connection, the scheme is not known, and either counts.
fn is_own_origin(origin: &str, own: &Authority, scheme: Option<&Scheme>) -> bool {
    split_origin(origin).is_some_and(|(from, authority)| {
        authority.as_str().eq_ignore_ascii_case(own.as_str()) && scheme.is_none_or(|scheme| *scheme == from)
    })
}

/// The scheme by which a client asks.
fn own_scheme(request: &Request, trusted: &TrustedProxies) -> Option<Scheme> {
    let extensions = request.extensions();
    // The page came by the connection to the proxy, if there is one, whatever the one behind it is.
    trusted.scheme(request).or_else(|| match extensions.get::<Encrypted>() {
        Some(Encrypted) => Some(Scheme::HTTPS),
        None => extensions.get::<LocalAddress>().map(|_| Scheme::HTTP),
    })
}

/// The address that a host is, if it is no name: one of IPv6 stands in brackets (RFC 3986 §3.2.2).
fn address_of(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse().map(IpAddr::V6).ok(),
        None => host.parse().map(IpAddr::V4).ok(),
    }
}

/// Whether a host is followed by a port or by nothing. The type lets more pass: anything behind an address of IPv6, a sign before
/// a port, and a name before the host.
fn is_plain(authority: &Authority) -> bool {
    match authority.as_str().strip_prefix(authority.host()) {
        _ if authority.host().is_empty() => false,
        Some("") => true,
        Some(rest) => rest.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        }),
        None => false,
    }
}

/// Whether a host is this machine, under its own name for itself.
pub(crate) fn is_loopback(authority: &Authority) -> bool {
    match address_of(authority.host()) {
        Some(address) => address.is_loopback(),
        None => authority.host().eq_ignore_ascii_case("localhost"),
    }
}

/// The scheme and authority of an origin as a browser writes it; `None` if it is none, also for `null`.
pub(crate) fn split_origin(origin: &str) -> Option<(Scheme, Authority)> {
    let (scheme, authority) = origin.split_once("://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::HTTP,
        "https" => Scheme::HTTPS,
        _ => return None,
    };
    let authority = authority.parse::<Authority>().ok()?;
    is_plain(&authority).then_some((scheme, authority))
}

/// The layer around every route: checks, then answers to browsers that ask for an allowed page, and counts what is refused.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let is_encrypted = request.extensions().get::<Encrypted>().is_some();
    // It counts for every port of a name (RFC 6797 §8.3): said of this machine's own, it would lock out whatever else runs here.
    let secures = is_encrypted && authority_of(&request).is_ok_and(|host| !is_loopback(&host));
    let mut response = guarded(shared.clone(), request, next).await;
    if let (true, Some(value)) = (secures, &shared.access.strict_transport) {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
    }
    if let Some(RefusedWith(code)) = response.extensions_mut().remove() {
        shared.metrics.refused(&code);
    }
    response
}

async fn guarded(shared: Arc<Shared>, mut request: Request, next: Next) -> Response {
    let address = ClientAddress::of(&request, &shared.trusted_proxies);
    match address {
        Some(address) => drop(request.extensions_mut().insert(address)),
        None => shared.misses_address(),
    }
    if let Some(scheme) = own_scheme(&request, &shared.trusted_proxies) {
        request.extensions_mut().insert(OwnScheme(scheme));
    }
    let asker = match check(&shared.access, &request) {
        Ok(asker) => asker,
        Err(refusal) => {
            let host = request.headers().get(header::HOST).map(tracing::field::debug);
            let origin = request.headers().get(header::ORIGIN).map(tracing::field::debug);
            tracing::debug!(code = refusal.code(), host, origin, "request refused");
            // It does not count among its user's requests: a page elsewhere would use up what our own has, and to count it is as
            // much work as this.
            return finish(&shared.access, refusal.into_response(), None);
        }
    };
    if asker.is_some() && is_preflight(&request) {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, CORS_METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, list(&CORS_HEADERS, durable::header::SENT));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, CORS_MAX_AGE);
        return finish(&shared.access, response, asker);
    }
    let is_always_answered = is_always_answered(request.uri().path());
    let admitted = match is_always_answered {
        // Nobody needs a name for that, so what is shown as one is not looked at.
        true => Ok(Admission::Pending),
        false => auth::admit(&shared, &mut request).await,
    };
    // Who is not known is counted by its address, whatever it has shown.
    let counted = match &admitted {
        _ if is_always_answered => Ok(()),
        Ok(Admission::Admitted(visitor)) => shared.limits.request(|| Who::of(visitor, address)),
        _ => shared.limits.request(|| address.map(Who::Address)),
    };
    let admission = match counted.map_err(Refusal::from).and(admitted) {
        Ok(admission) => admission,
        Err(refusal) => return finish(&shared.access, refusal.into_response(), asker),
    };
    request.extensions_mut().insert(admission.clone());
    // As the manual's client does, a WebSocket may be opened at `/` too, where otherwise the console is.
    if request.uri().path() == "/" && upgrade::is_asked_for(request.headers()) {
        let response = upgrade::upgrade(State(shared.clone()), request).await;
        return finish(&shared.access, response, None);
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let reads = matches!(method, Method::GET | Method::HEAD);
    let watch = request.extensions().get::<Arc<Watch>>().cloned();
    let mut response = next.run(request).await;
    if let (Some(auth), Admission::Admitted(Visitor::Known(principal))) = (shared.auth(), &admission) {
        let leashed = auth::leash(&shared, auth, principal, watch, reads, response);
        response = leashed.unwrap_or_else(Refusal::into_response);
    }
    let response = finish(&shared.access, response, asker);
    tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
    response
}

/// What a proxy or a supervisor asks of a server, however much everybody else does.
fn is_always_answered(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Checks a request. Gives the origin of a page that is not the server's own, but allowed.
fn check(access: &Access, request: &Request) -> Result<Option<HeaderValue>, Refusal> {
    let headers = request.headers();
    let host = authority_of(request)?;
    let local = request.extensions().get::<LocalAddress>().map(|local| local.0.to_canonical());
    if !access.allows_host(&host, local) {
        return Err(Refusal::host(host.host()));
    }
    let mut asker = None;
    if let Some(origin) = single(headers, &header::ORIGIN)? {
        let text = origin.to_str().unwrap_or_default();
        let scheme = request.extensions().get::<OwnScheme>().map(|own| &own.0);
        if !access.allows_origin(text, &host, scheme) {
            return Err(Refusal::origin(text, scheme.is_some() && is_own_origin(text, &host, None)));
        }
        asker = (!is_own_origin(text, &host, scheme)).then(|| origin.clone());
    }
    if asker.is_none() && !headers.contains_key(header::ORIGIN) && is_embedded_elsewhere(headers) {
        return Err(Refusal::embedded());
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    // A stream takes any content. What a page may do to it depends on its origin alone, which a browser sends along with
    // every request that changes something.
    if changes && !request.uri().path().starts_with(durable::ROOT) && !is_json(headers) {
        return Err(Refusal::content_type());
    }
    Ok(asker)
}

/// Whether a browser says that a page of another origin embeds or fetches this, without an `Origin` because that page
/// could not read it anyway (Fetch Metadata, W3C). It would still be a reader that counts. Following a link is fine.
fn is_embedded_elsewhere(headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    matches!(value("sec-fetch-site"), Some(b"cross-site" | b"same-site"))
        && (value("sec-fetch-mode") != Some(b"navigate") || value("sec-fetch-dest") != Some(b"document"))
}

/// The name under which the server is asked.
fn authority_of(request: &Request) -> Result<Authority, Refusal> {
    let host = single(request.headers(), &header::HOST)?.and_then(|host| host.to_str().ok());
    // Who asks by a whole URL says in it what the host is (RFC 9112 §3.2.2).
    let authority = match request.uri().authority() {
        Some(authority) => Some(authority.clone()),
        None => host.and_then(|host| host.parse().ok()),
    };
    authority.filter(is_plain).ok_or_else(Refusal::no_host)
}

/// A header that may stand once at most: two of them could mean one thing here and another elsewhere.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(Refusal::repeated(name)),
        None => Ok(first),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// A list of names, of ours and of the protocol of streams.
fn list(ours: &[&str], streams: &[&str]) -> HeaderValue {
    let names = [ours, streams].concat().join(", ");
    HeaderValue::from_str(&names).expect("names of headers are legal in a header")
}

/// Headers that no answer goes without; the page and what strangers stored have stricter ones of their own.
const SECURE: [(HeaderName, HeaderValue); 4] = [
    // What is no page shows nothing and stands in no frame.
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // Addresses hold ids of executions.
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

fn finish(access: &Access, mut response: Response, asker: Option<HeaderValue>) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURE {
        headers.entry(name).or_insert(value);
    }
    if let Some(origin) = asker {
        if access.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, list(&CORS_EXPOSED, durable::header::READ));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if access.has_origins() {
        // A cache would give a page of another origin what was read by one of our own, which it may not read.
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

#[cfg(test)]
mod tests;
