//! WebSockets.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::watch::Watch;
use crate::{
    rubbish::raw,
    server::{PATIENCE, Server},
    socket::Socket,
    token::{bearer, token, token_with},
};

/// Its name, headers, and what comes of it.
type Handshake<'a> = (&'a str, Vec<(&'static str, &'a str)>, &'a str);

/// A socket with little room for what it does not read.
pub(super) async fn narrow(server: &Server, authorization: &str) -> WebSocketStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let mut request = format!("ws://{}/ws", server.address).into_client_request().unwrap();
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    client_async(request, stream).await.unwrap().0
}

async fn open(watch: &Watch, subject: &str) -> Socket {
    Socket::open_with(&watch.server, &token_with(subject, json!({"scope": "admin"}))).await
}

/// The code with which a socket is closed after these messages.
async fn closed(watch: &Watch, messages: Vec<Message>) -> String {
    let mut socket = open(watch, "eve").await;
    for message in messages {
        if socket.stream.send(message).await.is_err() {
            break;
        }
    }
    format!("{:?}", socket.until_close().await.0)
}

fn frame(opcode: Data, payload: &'static str, last: bool) -> Message {
    Message::Frame(Frame::message(payload, OpCode::Data(opcode), last))
}

pub(crate) async fn run(watch: &mut Watch) {
    let mut socket = open(watch, "eve").await;
    let commands: [(&str, Value, &str); 12] = [
        (
            "following another's run",
            json!({"type": "subscribe_execution", "payload": {"executionId": "run-of-ada"}}),
            "unknown_execution",
        ),
        (
            "under a name",
            json!({"type": "subscribe_execution", "payload": {"executionId": "run-of-ada", "subscription": "s"}}),
            "unknown_execution",
        ),
        (
            "from a position of it",
            json!({"type": "subscribe_execution", "payload": {"executionId": "run-of-ada", "from": "0000000000000001_0000000000000001"}}),
            "unknown_execution",
        ),
        (
            "by its key",
            json!({"type": "subscribe_execution", "payload": {"executionId": "~ada/run-of-ada"}}),
            "invalid_execution_id",
        ),
        (
            "stopping another's run",
            json!({"type": "cancel_execution", "payload": {"executionId": "run-of-ada"}}),
            "unknown_execution",
        ),
        (
            "answering for another",
            json!({"type": "signal", "payload": {"executionId": "run-of-ada", "ask": "ask1", "answer": {"publish": true}}}),
            "unknown_execution",
        ),
        (
            "acknowledging for another",
            json!({"type": "ack", "payload": {"executionId": "run-of-ada", "subscription": "s", "sequence": 9}}),
            "unknown_execution",
        ),
        (
            "a number that JSON cannot hold",
            json!({"type": "ack", "payload": {"executionId": "x", "subscription": "s", "sequence": 1u64 << 60}}),
            "invalid_field",
        ),
        (
            "an event type with a line break",
            json!({"type": "subscribe_events", "payload": {"eventTypes": ["a\ndata: x"]}}),
            "invalid_event_type",
        ),
        (
            "a list without end",
            json!({"type": "subscribe_events", "payload": {"eventTypes": vec!["a"; 65]}}),
            "invalid_field",
        ),
        (
            "an id with NUL",
            json!({"type": "subscribe_execution", "payload": {"executionId": "a\u{0}"}}),
            "invalid_execution_id",
        ),
        ("a prototype", json!({"type": "ping", "payload": {"__proto__": {"admin": true}}}), "unknown_field"),
    ];
    for (name, command, expected) in commands {
        socket.send(command).await;
        let came = socket.next().await["payload"]["code"].as_str().unwrap_or_default().to_owned();
        watch.took(name, expected, came).await;
    }
    // Waiting for an id of another's waits for one's own.
    socket
        .send(json!({"type": "subscribe_execution", "payload": {"executionId": "run-of-ada", "wait": true}}))
        .await;
    let confirmed = socket.next().await["payload"]["state"].clone();
    watch.took("waiting for another's run", "\"waiting\"", confirmed).await;
    socket.send(json!({"type": "subscribe_events", "payload": {"eventTypes": ["token"]}})).await;
    let confirmed = socket.next().await["type"].as_str().unwrap_or_default().to_owned();
    watch.took("all events", "events_subscription_confirmed", confirmed).await;
    let silent = socket.is_silent().await;
    watch.took("events of another's run in a view of all", true, silent).await;
    let mut other = open(watch, "eve").await;
    other.send(json!({"type": "authentication", "payload": {"token": token("ada")}})).await;
    other.next().await;
    let came = format!("{:?}", other.until_close().await.0);
    watch.took("becoming another", "Some(4401)", came).await;

    let many = |message: fn() -> Message, count: usize| (0..count).map(|_| message()).collect::<Vec<_>>();
    let floods: Vec<(&str, Vec<Message>, &str)> = vec![
        ("bad frames", many(|| Message::text("{"), 10), "Some(4400)"),
        ("binary frames", many(|| Message::binary(vec![0; 9]), 10), "Some(4400)"),
        ("JSON without end", many(|| Message::text("[".repeat(60_000)), 10), "Some(4400)"),
        ("a message over the limit", vec![Message::text("x".repeat(65 << 10))], "Some(1009)"),
        (
            "fragments without end",
            std::iter::once(frame(Data::Text, "x", false))
                .chain((0..70_000).map(|_| frame(Data::Continue, "x", false)))
                .collect(),
            "Some(1009)",
        ),
        ("a fragment of nothing", vec![frame(Data::Continue, "x", true)], "Some(1002)"),
        (
            "text that is no UTF-8",
            vec![Message::Frame(Frame::message(vec![0xFF], OpCode::Data(Data::Text), true))],
            "Some(1007)",
        ),
    ];
    for (name, messages, expected) in floods {
        let came = closed(watch, messages).await;
        watch.took(name, expected, came).await;
    }
    // Fragments of nothing never come to the limit of a message, and the message is read when it ends.
    let mut empty = open(watch, "eve").await;
    empty.stream.feed(frame(Data::Text, "{", false)).await.unwrap();
    for _ in 0..50_000 {
        empty.stream.feed(frame(Data::Continue, "", false)).await.unwrap();
    }
    empty.stream.feed(frame(Data::Continue, "", true)).await.unwrap();
    empty.stream.flush().await.unwrap();
    let came = empty.next().await["payload"]["code"].clone();
    watch.took("fragments of nothing without end", "\"bad_frame\"", came).await;
    // Before anything of it has come: the longest that a header can say, and the longest that is none (RFC 6455 §5.2).
    for (name, length) in
        [("all memory", u64::MAX >> 1), ("more than can be said", u64::MAX), ("a gigabyte", 1 << 30)]
    {
        let mut stream = raw(&watch.server).await;
        let head = [&[0x82, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat();
        stream.write_all(&head).await.unwrap();
        let mut came = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut came)).await.is_ok();
        let is_told =
            [1009_u16, 1002].iter().any(|code| came.windows(2).any(|two| two == code.to_be_bytes()));
        watch.took(format!("a frame that announces {name}"), "true true", format!("{ended} {is_told}")).await;
    }
    // Each wants a pong, and none is read.
    let eve = bearer(&token_with("eve", json!({"scope": "admin"})));
    let mut unread = narrow(&watch.server, &eve).await;
    let flood = async {
        for _ in 0..100_000 {
            if unread.feed(Message::Ping(vec![0; 125].into())).await.is_err() {
                break;
            }
        }
    };
    // It may be let wait, but not for the memory of those who serve it.
    let _ = timeout(Duration::from_secs(2), flood).await;
    let others = open(watch, "eve").await;
    watch
        .took(
            "pings without end by one who reads no pong",
            true,
            watch.server.get("/healthz").await.status == 200,
        )
        .await;
    drop((unread, others));
    let mut pinging = open(watch, "eve").await;
    for _ in 0..1_000 {
        pinging.stream.feed(Message::Ping(vec![0; 125].into())).await.unwrap();
    }
    pinging.stream.flush().await.unwrap();
    pinging.send(json!({"type": "ping"})).await;
    let mut pongs = 0;
    let last = loop {
        match pinging.message().await {
            Ok(Message::Pong(_)) => pongs += 1,
            Ok(Message::Ping(_)) => {}
            Ok(Message::Text(text)) => break serde_json::from_str::<Value>(&text).unwrap()["type"].clone(),
            other => break Value::from(format!("{other:?}")),
        }
    };
    // One pong may answer several pings (RFC 6455 §5.5.3), and what came after them is answered too.
    let came = format!("{last} {}", (1..=1_000).contains(&pongs));
    watch.took("a thousand pings", "\"pong\" true", came).await;

    let good = token("ada");
    let forged = format!("streamnest.v1, bearer.{}x", good);
    let own = format!("http://{}", watch.server.address);
    let cookie = format!("session={good}");
    let handshakes: [Handshake<'_>; 8] = [
        ("a page of another origin", vec![("origin", "https://evil.example")], "403"),
        ("a forged subprotocol", vec![("sec-websocket-protocol", &forged)], "Some(4401)"),
        ("a cookie without an origin", vec![("cookie", "session=x")], "403"),
        ("a good cookie without an origin", vec![("cookie", &cookie)], "403"),
        (
            "a good cookie by a page of another origin",
            vec![("cookie", &cookie), ("origin", "https://evil.example")],
            "403",
        ),
        ("a good cookie by a page of no origin", vec![("cookie", &cookie), ("origin", "null")], "403"),
        (
            "a forged cookie by its own page",
            vec![("cookie", "session=x.y.z"), ("origin", &own)],
            "Some(4401)",
        ),
        ("a forged header", vec![("authorization", "Bearer x.y.z")], "401"),
    ];
    for (name, headers, expected) in handshakes {
        let came = match Socket::shake(&watch.server, "/ws", &headers).await {
            Ok((mut socket, _)) => format!("{:?}", socket.until_close().await.0),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                response.status().as_u16().to_string()
            }
            Err(error) => error.to_string(),
        };
        watch.took(name, expected, came).await;
    }
}
