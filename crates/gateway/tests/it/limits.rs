//! Bounds and times that are set, each to another value than its default.

use std::time::{Duration, Instant};

use serde_json::json;
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::{Gateway, GatewayOptions};
use streamnest_log::LogOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    engine::{Engine, token},
    server::{Answer, PATIENCE, Server, registry},
    socket::Socket,
};

#[tokio::test]
async fn who_does_not_end_its_request_is_let_go() {
    let options = GatewayOptions::default().with_request_timeout(Duration::from_secs(1));
    let server = Server::with_options(options).await;
    // A head that never ends, and a body that never comes.
    let mut head = TcpStream::connect(server.address).await.unwrap();
    head.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    let mut body = TcpStream::connect(server.address).await.unwrap();
    let request = "POST /workflows/echo/executions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                   content-type: application/json\r\ncontent-length: 10\r\n\r\n";
    body.write_all(request.as_bytes()).await.unwrap();
    let (mut of_head, mut of_body) = (Vec::new(), Vec::new());
    let both = async {
        tokio::try_join!(head.read_to_end(&mut of_head), body.read_to_end(&mut of_body)).unwrap();
    };
    timeout(PATIENCE, both).await.expect("both are let go");
    for (answer, what) in [(of_head, "head"), (of_body, "body")] {
        let message = Answer::parse(&answer).error(408, "request_timeout");
        assert!(message.contains(what) && message.contains("request_timeout"), "{message}");
    }
}

#[tokio::test]
async fn a_gateway_with_a_bad_option_is_not_made() {
    let logs = registry(LogOptions::default());
    let engine = std::sync::Arc::new(Engine::new(logs.clone()));
    let error = Gateway::new(engine, logs, GatewayOptions::default().with_max_message_bytes(0)).unwrap_err();
    assert_eq!(error.code(), "invalid_option");
    assert!(error.to_string().contains("`max_message_bytes`"));
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(br#"{"status":"ok"}"#) {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        }
    }
}

#[tokio::test]
async fn the_bad_frame_that_is_one_too_many_closes() {
    let server = Server::with_options(GatewayOptions::default().with_max_bad_frames(2)).await;
    let mut socket = Socket::open(&server).await;
    socket.send(json!({"type": "nonsense"})).await;
    socket.expect_error("unknown_type").await;
    socket.send(json!({"type": "nonsense"})).await;
    let (code, told) = socket.until_close().await;
    assert_eq!((code, told.len()), (Some(4400), 1));
}

#[tokio::test]
async fn a_message_longer_than_the_read_buffer_is_read() {
    let server = Server::with_options(GatewayOptions::default().with_read_buffer_bytes(16)).await;
    let mut socket = Socket::open(&server).await;
    for length in [1, 16, 17, 100] {
        let id = "x".repeat(length);
        socket.send(json!({"type": "ping", "id": id})).await;
        assert_eq!(socket.expect("pong").await["replyTo"], id);
    }
}

/// What the kernel held for a client that does not read, until it was closed.
async fn held_for_a_stalled_reader(send_buffer_bytes: usize) -> usize {
    let options = GatewayOptions::default()
        .with_send_buffer_bytes(Some(send_buffer_bytes))
        .with_slow_reader_limit(Duration::from_millis(300))
        // It is told when it reads at last.
        .with_close_timeout(Duration::from_secs(600));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    let filler = "x".repeat(1_000);
    for _ in 0..10_000 {
        writer.append([token("generate", &filler)]).await.unwrap();
    }
    tokio::time::timeout(PATIENCE, writer.log().subscribers_become(|count| count == 0)).await.unwrap();
    let (code, frames) = socket.until_close().await;
    assert_eq!(code, Some(4441));
    frames.len() * filler.len()
}

#[tokio::test]
async fn the_kernel_holds_no_more_than_the_send_buffer_for_one_connection() {
    let (small, large) =
        (held_for_a_stalled_reader(8 << 10).await, held_for_a_stalled_reader(160 << 10).await);
    // What the client's own side holds is the same in both.
    assert!(small + (80 << 10) < large, "{small} and {large} bytes");
}

#[tokio::test]
async fn an_event_stream_says_when_to_come_back() {
    let options = GatewayOptions::default().with_sse_retry(Duration::from_millis(250));
    let server = Server::with_options(options).await;
    server.held("a").await.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let answer = server.get("/executions/a/events").await;
    assert!(answer.body.contains("\nretry: 250\n"), "{answer:?}");
}

/// Starts under a key; the execution's id.
async fn start_with_key(server: &Server, key: &str) -> String {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    let answer = server.ask("POST", "/workflows/held/executions", &headers, r#"{"input":{}}"#).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["executionId"].as_str().unwrap().into()
}

#[tokio::test]
async fn the_oldest_idempotency_key_over_the_limit_is_forgotten() {
    let server = Server::with_options(GatewayOptions::default().with_max_idempotency_keys(2)).await;
    let first = start_with_key(&server, "1").await;
    let second = start_with_key(&server, "2").await;
    assert_eq!(start_with_key(&server, "1").await, first);
    start_with_key(&server, "3").await;
    assert_eq!(start_with_key(&server, "2").await, second);
    assert_ne!(start_with_key(&server, "1").await, first);
}

#[tokio::test]
async fn an_idempotency_key_is_forgotten_in_time() {
    let ttl = Duration::from_secs(1);
    let server = Server::with_options(GatewayOptions::default().with_idempotency_ttl(ttl)).await;
    let since = Instant::now();
    let first = start_with_key(&server, "1").await;
    let mut known = 0;
    while start_with_key(&server, "1").await == first {
        known += 1;
        assert!(since.elapsed() < ttl + PATIENCE, "it is known for good");
        tokio::time::sleep(ttl / 10).await;
    }
    assert!(since.elapsed() >= ttl, "forgotten after {:?}", since.elapsed());
    println!("asked_again={known}");
}
