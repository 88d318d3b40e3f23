//! The Durable Streams protocol, version 1.0, at `/v1/stream/{path}`.
//!
//! Which bytes mean what is the business of `streamnest_protocol::durable`, what becomes of them that of
//! `streamnest_log::durable`; here they meet HTTP. "§" is a section of the protocol's `PROTOCOL.md`.

mod append;
mod create;
mod execution;
mod headers;
mod live;
mod pieces;
mod query;
mod read;
mod refusal;
mod subject;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{OriginalUri, Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use streamnest_core::LogName;
use streamnest_log::durable::Streams;
use streamnest_protocol::durable::{ROOT, Target};

use self::headers::Headers;
pub(crate) use self::pieces::Pieces;
use crate::{
    access::{Action, Visitor},
    guard::OwnScheme,
    http::Refusal,
    limits::Who,
    shared::Shared,
};

/// The route of every stream.
pub(crate) const ROUTE: &str = "/v1/stream/{*path}";

/// What may be asked of a stream.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, POST, DELETE, OPTIONS");

/// A request for a stream, its body apart.
struct Asked {
    visitor: Visitor,
    /// The stream, of the tenant of whoever asks.
    target: Target,
    headers: HeaderMap,
    parts: Parts,
    /// The URL's path, as the client wrote it.
    path: String,
}

impl Asked {
    fn headers(&self) -> Headers<'_> {
        Headers::new(&self.headers)
    }

    /// For whom limits count.
    fn who(&self) -> Option<Who> {
        Who::of(&self.visitor, self.parts.extensions.get().copied())
    }

    /// The stream's URL, as the client sees it.
    fn url(&self) -> String {
        let host = self.parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host =
            self.parts.uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or("localhost");
        let scheme = self.parts.extensions.get::<OwnScheme>().map_or("http", |own| own.0.as_str());
        format!("{scheme}://{host}{}", self.path)
    }
}

/// Any request for a stream.
pub(crate) async fn serve(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    OriginalUri(original): OriginalUri,
    request: Request,
) -> Response {
    let (is_known, tenant) = (matches!(visitor, Visitor::Known(_)), visitor.tenant().cloned());
    let answered = answer(&shared, visitor, original.path().to_owned(), request).await;
    let mut response = answered.unwrap_or_else(|refusal| {
        let kept_below = [Streams::PREFIX, LogName::EXECUTIONS].map(|root| match &tenant {
            Some(tenant) => format!("{root}{tenant}/"),
            None => root.into(),
        });
        refusal.without(&kept_below).into_response()
    });
    guard(response.headers_mut());
    if is_known {
        // What a browser keeps of a stream is for those credentials only: one URL is another stream for another tenant.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("authorization, cookie"));
    }
    response
}

async fn answer(
    shared: &Arc<Shared>,
    visitor: Visitor,
    path: String,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let target = Target::new(parts.uri.path().strip_prefix(ROOT).unwrap_or_default())?;
    let target = own(shared, &visitor, action(&parts.method, &target), target)?;
    let asked = Asked { visitor, target, headers: parts.headers.clone(), parts, path };
    match asked.parts.method {
        Method::GET => read::get(shared, &asked).await,
        Method::HEAD => read::head(shared, &asked).await,
        Method::PUT => create::create(shared, &asked, body).await,
        Method::POST => append::append(shared, &asked, body).await,
        Method::DELETE => create::delete(shared, &asked).await,
        Method::OPTIONS => Ok((StatusCode::NO_CONTENT, [(header::ALLOW, METHODS)]).into_response()),
        ref method => {
            let mut response = Refusal::method(method).into_response();
            response.headers_mut().insert(header::ALLOW, METHODS);
            Ok(response)
        }
    }
}

/// What a method does with a stream. An execution is forgotten by whoever may do so at `/executions` too.
fn action(method: &Method, target: &Target) -> Action {
    match (method, target) {
        (&Method::GET | &Method::HEAD | &Method::OPTIONS, _) => Action::Read,
        (&Method::DELETE, Target::Execution(_)) => Action::Delete,
        _ => Action::Produce,
    }
}

/// The stream that whoever asks means by an address, if they may do that with it. What they may not see does not exist.
fn own(shared: &Shared, visitor: &Visitor, action: Action, target: Target) -> Result<Target, Refusal> {
    let path = match target {
        Target::Execution(id) => return Ok(Target::Execution(visitor.execution(shared, action, &id)?)),
        Target::Stream(path) => path,
    };
    let may = |action| visitor.may_use_stream(shared, action, path.as_str());
    let (allowed, seen) = (may(action), may(Action::Read));
    let path = visitor.tenant().map_or_else(|| path.clone(), |tenant| path.within(tenant));
    match (allowed, seen) {
        (true, _) => Ok(Target::Stream(path)),
        (false, true) => Err(Refusal::forbidden_stream(action.verb())),
        (false, false) => {
            Err(refusal::refuse(streamnest_log::Error::UnknownStream { name: Streams::name(path.as_str())? }))
        }
    }
}

/// What keeps a browser from running what a stranger has stored (§12.7): a page of it would be in a sandbox of its own,
/// and no other page embeds it.
fn guard(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    let bytes = HeaderValue::from_static("application/octet-stream");
    if headers.get(header::CONTENT_TYPE) == Some(&bytes) {
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Puts a header whose value is ours.
fn put(response: &mut Response, name: &'static str, value: impl ToString) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
