//! HTTP requests, and event streams read event by event.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::AbortHandle};

/// Sends a request with these headers beside `Host`, and a JSON body if there is one.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> (hyper::Response<Incoming>, AbortHandle) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    let mut request = Request::builder().method(method).uri(path).header("host", address.to_string());
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map(ToString::to_string).unwrap_or_default();
    let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    (response, task)
}

/// Sends a request and reads the answer as JSON; `null` if it has no body.
pub async fn json(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> (StatusCode, Value) {
    let (response, _) = request(address, method, path, headers, body).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
}

/// The value of a line of `/metrics`, as soon as that is shown: connections that were closed may still count as too many. `None` if
/// there is no such line.
pub async fn metric(address: SocketAddr, headers: &[(&str, &str)], name: &str) -> Option<u64> {
    let response = loop {
        let (response, _) = request(address, "GET", "/metrics", headers, None).await;
        match response.status() {
            StatusCode::OK => break response,
            StatusCode::TOO_MANY_REQUESTS => {}
            status => panic!("{status}"),
        }
    };
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

/// An event stream, read by the rules of the HTML standard, as far as `id` and `data` go.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    connection: AbortHandle,
    text: Vec<u8>,
}

impl EventStream {
    /// Follows an execution; after `last_event_id`, if one is given. `None` when there is nothing to come (204).
    pub async fn open(address: SocketAddr, execution: &str, last_event_id: Option<&str>) -> Option<Self> {
        Self::open_at(address, &format!("/executions/{execution}/events"), last_event_id).await
    }

    /// As [`open`](Self::open), for an event stream that is served at `path`.
    pub async fn open_at(address: SocketAddr, path: &str, last_event_id: Option<&str>) -> Option<Self> {
        let headers: Vec<_> = last_event_id.iter().map(|id| ("last-event-id", *id)).collect();
        let (response, connection) = request(address, "GET", path, &headers, None).await;
        match response.status() {
            StatusCode::NO_CONTENT => return None,
            status => assert_eq!(status, StatusCode::OK),
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Some(Self { body: response.into_body(), connection, text: Vec::new() })
    }

    /// The next event: its id and its data. `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                let block = String::from_utf8(block).unwrap();
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(String::from))
                };
                if let (Some(id), Some(data)) = (field("id"), field("data")) {
                    return Some((id, serde_json::from_str(&data).unwrap()));
                }
            }
            let frame = self.body.frame().await?.ok()?;
            self.text.extend_from_slice(frame.data_ref()?);
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
