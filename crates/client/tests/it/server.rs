//! A server that does what a test tells it, connection by connection.

use std::{
    future::Future,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use serde_json::json;
use streamnest_client::{
    Client, ClientEntry, ClientOptions, EventType, ExecutionId, Item, NodeName, Position, Seq, StartAt,
    Subscribe, Subscription, SubscriptionState, payload::StatusUpdate,
};
use streamnest_core::{Entry, Epoch, Event, LogIdentity, Timestamp, WireFormat};
use streamnest_protocol::native::{
    ClientCommand, Connected, Request, SUBPROTOCOL, ServerFrame, SubscribeExecution, SubscriptionConfirmed,
    WebSocketFrame, websocket,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request as Upgrade, Response},
        http::HeaderValue,
    },
};

/// The run that every test follows.
pub(crate) const RUN: &str = "tenant:run-1";
/// The last entry of the run, its terminal status.
pub(crate) const LAST: u64 = 8;
/// A heartbeat interval that no test lives to see.
pub(crate) const SELDOM: u64 = 60_000;

pub(crate) struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
    // Ends with the server.
    _task: JoinSet<()>,
}

impl Server {
    /// Listens on a port of its own and plays `script` on every connection, which it gets with its number, from 1.
    pub(crate) async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, Talk) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, script, mut task) = (connections.clone(), Arc::new(script), JoinSet::new());
        task.spawn(async move {
            let mut scripts = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                stream.set_nodelay(true).unwrap();
                let script = script.clone();
                scripts.spawn(async move {
                    let mut authorization = None;
                    // The shape of the callback is tungstenite's.
                    #[expect(clippy::result_large_err, reason = "the shape of the callback is tungstenite's")]
                    let answer = |upgrade: &Upgrade, response| {
                        let header = upgrade.headers().get("authorization");
                        authorization = header.map(|value| value.to_str().unwrap().to_owned());
                        answer_upgrade(upgrade, response)
                    };
                    let Ok(socket) = accept_hdr_async(stream, answer).await else { return };
                    script(number, Talk { socket, authorization }).await;
                });
            }
        });
        Self { url, connections, _task: task }
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A client that comes back fast.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url).unwrap().with_options(fast())
    }

    pub(crate) fn subscribe(&self) -> Subscribe {
        self.client().subscribe(run())
    }

    pub(crate) async fn connect(&self) -> Subscription {
        self.subscribe().connect().await.unwrap()
    }
}

pub(crate) fn fast() -> ClientOptions {
    ClientOptions::default()
        .with_backoff(Duration::from_millis(1))
        .with_max_backoff(Duration::from_millis(5))
        .with_max_attempts(5)
        .with_connect_timeout(Duration::from_secs(5))
}

#[expect(clippy::result_large_err, reason = "the shape of the callback is tungstenite's")]
fn answer_upgrade(
    upgrade: &Upgrade,
    mut response: Response,
) -> Result<Response, tokio_tungstenite::tungstenite::http::Response<Option<String>>> {
    assert_eq!(upgrade.uri().path(), "/ws");
    let offered = upgrade.headers().get("Sec-WebSocket-Protocol").unwrap();
    assert_eq!(offered, SUBPROTOCOL);
    response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

/// One connection, seen from the server.
pub(crate) struct Talk {
    socket: WebSocketStream<TcpStream>,
    /// The header of the upgrade.
    pub(crate) authorization: Option<String>,
}

impl Talk {
    /// Greets, hears a subscription, confirms it, and gives it back with where it begins.
    pub(crate) async fn subscribed(&mut self) -> (SubscribeExecution, u64) {
        self.subscribed_with(SELDOM, SubscriptionState::Running).await
    }

    pub(crate) async fn subscribed_with(
        &mut self,
        heartbeat_ms: u64,
        state: SubscriptionState,
    ) -> (SubscribeExecution, u64) {
        self.greet(heartbeat_ms).await;
        let (request, subscribe) = self.subscription().await;
        let from = match subscribe.from {
            None | Some(StartAt::Start) => 0,
            Some(StartAt::Now) => LAST,
            Some(StartAt::After(position)) => position.seq().get(),
        };
        self.confirm(&request, &subscribe, position(from), state).await;
        (subscribe, from)
    }

    pub(crate) async fn greet(&mut self, heartbeat_ms: u64) {
        self.send(&ServerFrame::Connected(Connected { connection_id: "c1".into(), heartbeat_ms }), None)
            .await;
    }

    pub(crate) async fn subscription(&mut self) -> (Request, SubscribeExecution) {
        let request = self.request().await;
        let ClientCommand::SubscribeExecution(subscribe) = request.command.clone() else {
            panic!("expected a subscription, got {request:?}");
        };
        (request, subscribe)
    }

    pub(crate) async fn confirm(
        &mut self,
        request: &Request,
        subscribe: &SubscribeExecution,
        position: Position,
        state: SubscriptionState,
    ) {
        let confirmed = SubscriptionConfirmed {
            execution_id: subscribe.execution_id.clone(),
            subscription: subscribe.subscription.clone(),
            position,
            state,
        };
        self.send(&ServerFrame::SubscriptionConfirmed(confirmed), request.id.as_deref()).await;
    }

    /// The next request of the client.
    pub(crate) async fn request(&mut self) -> Request {
        self.heard().await.expect("the client sends a request")
    }

    /// The next request, or `None` if the client said goodbye or is gone.
    pub(crate) async fn heard(&mut self) -> Option<Request> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(Request::parse(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: &ServerFrame, reply_to: Option<&str>) {
        let mut bytes = Vec::new();
        frame.encode_websocket(reply_to, &mut bytes);
        self.raw(&bytes).await;
    }

    /// Sends entries of the run.
    pub(crate) async fn entries(&mut self, range: RangeInclusive<u64>) {
        self.raw(&frames(range)).await;
    }

    /// Sends bytes as they are; the client may be gone.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.socket.get_mut().write_all(bytes).await;
    }

    /// Closes with a close frame, and waits until the client is gone.
    pub(crate) async fn close(&mut self, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        self.raw(&[&[0x88, u8::try_from(payload.len()).unwrap()][..], &payload].concat()).await;
        self.gone().await;
    }

    /// Waits until the client is gone.
    pub(crate) async fn gone(&mut self) {
        while self.heard().await.is_some() {}
    }
}

pub(crate) fn run() -> ExecutionId {
    ExecutionId::new(RUN).unwrap()
}

pub(crate) fn log() -> LogIdentity {
    LogIdentity::new(&run(), Epoch::new(7))
}

pub(crate) fn position(seq: u64) -> Position {
    if seq == 0 { Position::BEFORE_FIRST } else { log().position(Seq::try_from(seq).unwrap()) }
}

/// Entry `seq` of the run: a running status, node events, and a terminal status.
pub(crate) fn entry(seq: u64) -> Entry {
    let event = match seq {
        1 => Event::status(&StatusUpdate::running()),
        LAST => Event::status(&StatusUpdate::completed(json!({"answer": 42}))),
        _ => Event::named(Some(NodeName::new("n").unwrap()), EventType::CUSTOM, &json!({"n": seq})),
    };
    Entry::new(Seq::try_from(seq).unwrap(), Timestamp::from_micros(seq), event)
}

/// The bytes of entries of the run, end to end.
pub(crate) fn frames(range: RangeInclusive<u64>) -> Vec<u8> {
    frames_of(&log(), range)
}

pub(crate) fn frames_of(log: &LogIdentity, range: RangeInclusive<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for seq in range {
        WebSocketFrame::encode(log, &entry(seq), &mut bytes);
    }
    bytes
}

/// A text frame of any JSON.
pub(crate) fn text(json: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    websocket::text(json, &mut bytes);
    bytes
}

/// The next item, which has to be an entry.
#[track_caller]
pub(crate) fn an_entry(item: Option<Result<Item, streamnest_client::Error>>) -> ClientEntry {
    match item {
        Some(Ok(Item::Entry(entry))) => entry,
        other => panic!("expected an entry, got {other:?}"),
    }
}

/// Everything to the end: the sequence numbers, which have to be all that comes.
pub(crate) async fn sequences(subscription: &mut Subscription) -> Vec<u64> {
    let mut sequences = Vec::new();
    while let Some(item) = subscription.next().await {
        sequences.push(an_entry(Some(item)).sequence.get());
    }
    sequences
}
