//! Clients of every kind that come back by the means of their protocol until they have an execution whole.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use streamnest_client::{Client, ClientOptions, Item, Replay, Subscription};
use tokio::{
    net::TcpStream,
    task::{AbortHandle, JoinHandle},
};
use tokio_tungstenite::{client_async, tungstenite::Message};

/// How a client follows an execution.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Follower {
    /// The Rust client, over WebSocket.
    Client,
    /// A WebSocket by hand, that resumes with `from`.
    WebSocket,
    /// Native Server-Sent Events, resumed with `Last-Event-ID`.
    Events,
    /// Reads of the execution's stream at `/v1/stream`, one offset after the other.
    CatchUp,
    /// The same, waiting at the end for more.
    LongPoll,
    /// The event stream of the execution's stream.
    StreamEvents,
}

impl Follower {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Client, Self::WebSocket, Self::Events, Self::CatchUp, Self::LongPoll, Self::StreamEvents];

    /// The entries that it gets, from the first to the terminal one: the frames as they came over the wire, and for the Rust
    /// client what it made of them. It comes back at once, and as often as it takes.
    pub async fn follow(self, address: SocketAddr, execution: &str) -> Vec<String> {
        match self {
            Self::Client => client(address, execution).await,
            Self::WebSocket => websocket(address, execution).await,
            Self::Events => events(address, execution).await,
            Self::CatchUp => reads(address, execution, "").await,
            Self::LongPoll => reads(address, execution, "&live=long-poll").await,
            Self::StreamEvents => stream_events(address, execution).await,
        }
    }
}

/// Whether a frame is the last one of its log.
pub fn is_terminal(frame: &str) -> bool {
    let frame: Value = serde_json::from_str(frame).unwrap();
    frame["type"] == "status" && frame["payload"]["status"] != "running"
}

/// The position after a frame.
fn position(frame: &str) -> String {
    let frame: Value = serde_json::from_str(frame).unwrap();
    frame["position"].as_str().unwrap().to_owned()
}

/// The text of an execution and how often it ended, for a late reader to which what it missed is sent in one piece.
pub async fn late_text(address: SocketAddr, execution: &str) -> (String, usize) {
    let mut subscription = subscribe(address, execution, Replay::Compact).await;
    let (mut text, mut ends) = (String::new(), 0);
    while let Some(item) = subscription.next().await {
        match item.expect("what breaks is mended by the client") {
            Item::Snapshot(snapshot) => {
                let messages = snapshot.nodes.iter().flat_map(|node| &node.messages);
                messages.for_each(|message| text.push_str(&message.content));
            }
            Item::Entry(entry) => {
                text.extend(entry.token().unwrap().map(|token| token.content));
                ends +=
                    usize::from(entry.status().unwrap().is_some_and(|update| update.status.is_terminal()));
            }
            other => panic!("nothing is missing: {other:?}"),
        }
    }
    (text, ends)
}

/// The Rust client, that tries again at once, also the first time.
async fn subscribe(address: SocketAddr, execution: &str, replay: Replay) -> Subscription {
    let options = ClientOptions::default()
        .with_backoff(Duration::from_millis(1))
        .with_max_backoff(Duration::from_millis(2))
        .with_max_attempts(u32::MAX);
    let client = Client::new(&format!("http://{address}")).unwrap().with_options(options);
    loop {
        match client.subscribe(execution.parse().unwrap()).replay(replay).connect().await {
            Ok(subscription) => return subscription,
            // A first connection that breaks is told to the caller, who knows whether to try again.
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

async fn client(address: SocketAddr, execution: &str) -> Vec<String> {
    let mut subscription = subscribe(address, execution, Replay::Full).await;
    let mut got = Vec::new();
    while let Some(item) = subscription.next().await {
        match item.expect("what breaks is mended by the client") {
            Item::Entry(entry) => got.push(format!("{entry:?}")),
            other => panic!("nothing is missing: {other:?}"),
        }
    }
    got
}

async fn websocket(address: SocketAddr, execution: &str) -> Vec<String> {
    let mut got: Vec<String> = Vec::new();
    while !got.last().is_some_and(|last| is_terminal(last)) {
        let Ok(stream) = TcpStream::connect(address).await else { continue };
        let Ok((mut socket, _)) = client_async(format!("ws://{address}/ws"), stream).await else { continue };
        let from = got.last().map_or_else(|| "start".into(), |last| position(last));
        let payload = json!({"executionId": execution, "from": from, "wait": true});
        let subscribe = json!({"type": "subscribe_execution", "payload": payload}).to_string();
        if socket.send(Message::text(subscribe)).await.is_err() {
            continue;
        }
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            assert!(!["gap", "error"].contains(&frame["type"].as_str().unwrap()), "{frame}");
            if frame.get("sequence").is_some() {
                got.push(text.to_string());
                if is_terminal(&text) {
                    break;
                }
            }
        }
    }
    got
}

/// Events of a text, as far as it is whole, and what is left of it.
fn whole_events(text: &mut Vec<u8>) -> Vec<String> {
    let end = text.windows(2).rposition(|two| two == b"\n\n").map_or(0, |at| at + 2);
    let whole: Vec<u8> = text.drain(..end).collect();
    String::from_utf8(whole).unwrap().split_terminator("\n\n").map(String::from).collect()
}

/// A field of an event.
fn field<'a>(event: &'a str, name: &str) -> Option<&'a str> {
    let value = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.strip_prefix(' ').unwrap_or(value))
}

async fn events(address: SocketAddr, execution: &str) -> Vec<String> {
    let (mut got, mut http) = (Vec::<String>::new(), Http::new(address));
    loop {
        let last = got.last().map(|last| position(last));
        let headers: Vec<_> = last.iter().map(|last| ("last-event-id", last.as_str())).collect();
        let Some(mut response) = http.get(&format!("/executions/{execution}/events"), &headers).await else {
            continue;
        };
        if response.status() == 204 {
            return got;
        }
        assert_eq!(response.status(), 200);
        let mut text = Vec::new();
        while let Some(Ok(frame)) = response.frame().await {
            text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            for event in whole_events(&mut text) {
                // An event that the end of the connection cuts off is not one (WHATWG HTML §9.2.6).
                if let (Some(id), Some(data)) = (field(&event, "id"), field(&event, "data")) {
                    assert_eq!(id, position(data));
                    got.push(data.to_owned());
                }
            }
        }
        http.leave();
        if got.last().is_some_and(|last| is_terminal(last)) {
            return got;
        }
    }
}

/// The frames of an array of them, byte for byte.
fn frames(array: &str) -> Vec<String> {
    let frames: Vec<&serde_json::value::RawValue> = serde_json::from_str(array).unwrap();
    frames.iter().map(|frame| frame.get().to_owned()).collect()
}

async fn reads(address: SocketAddr, execution: &str, live: &str) -> Vec<String> {
    let (mut got, mut offset, mut http) = (Vec::new(), String::from("-1"), Http::new(address));
    loop {
        let path = format!("/v1/stream/executions/{execution}?offset={offset}{live}");
        let Some(response) = http.get(&path, &[]).await else { continue };
        assert!([200, 204].contains(&response.status().as_u16()), "{response:?}");
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (next, closed) = (header("stream-next-offset").unwrap(), header("stream-closed").is_some());
        // A body that is cut off is none, and is read again from the same offset.
        let Ok(body) = response.into_body().collect().await else {
            http.leave();
            continue;
        };
        let body = body.to_bytes();
        if !body.is_empty() {
            got.extend(frames(std::str::from_utf8(&body).unwrap()));
        }
        offset = next;
        if closed {
            return got;
        }
    }
}

async fn stream_events(address: SocketAddr, execution: &str) -> Vec<String> {
    let (mut got, mut offset, mut http) = (Vec::new(), String::from("-1"), Http::new(address));
    loop {
        let path = format!("/v1/stream/executions/{execution}?offset={offset}&live=sse");
        let Some(mut response) = http.get(&path, &[]).await else { continue };
        assert_eq!(response.status(), 200);
        let (mut text, mut waiting) = (Vec::new(), Vec::new());
        while let Some(Ok(frame)) = response.frame().await {
            text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            for event in whole_events(&mut text) {
                let data = field(&event, "data").unwrap();
                if field(&event, "event") == Some("data") {
                    waiting.extend(frames(data));
                    continue;
                }
                // Only by the control event after them does a reader know where to go on.
                let control: Value = serde_json::from_str(data).unwrap();
                got.append(&mut waiting);
                control["streamNextOffset"].as_str().unwrap().clone_into(&mut offset);
                if control["streamClosed"] == true {
                    return got;
                }
            }
        }
        http.leave();
    }
}

/// One connection after the other to a server, each used as long as it holds.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    sender: Option<(SendRequest<Full<Bytes>>, AbortHandle)>,
}

impl Http {
    /// Not connected yet.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, sender: None }
    }

    /// Leaves the connection.
    pub fn leave(&mut self) {
        if let Some((_, task)) = self.sender.take() {
            task.abort();
        }
    }

    /// Gets what is there; `None` if the connection is lost before the answer.
    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Option<Response<Incoming>> {
        self.send("GET", path, headers, String::new()).await
    }

    /// Asks; `None` if the connection is lost before the answer has begun.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Option<Response<Incoming>> {
        if self.sender.as_ref().is_none_or(|(sender, _)| sender.is_closed()) {
            self.leave();
            let stream = TcpStream::connect(self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            let task: JoinHandle<()> = tokio::spawn(async move { drop(connection.await) });
            self.sender = Some((sender, task.abort_handle()));
        }
        let (sender, _) = self.sender.as_mut()?;
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answered = match sender.ready().await {
            Ok(()) => sender.send_request(request).await.ok(),
            Err(_) => None,
        };
        if answered.is_none() {
            self.leave();
        }
        answered
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.leave();
    }
}
