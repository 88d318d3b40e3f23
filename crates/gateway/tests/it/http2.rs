//! Connections of HTTP/2, and what their clients leave undone.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use socket2::SockRef;
use streamnest_core::{Event, ExecutionControl as _, ExecutionId, StartExecution, Tenant};
use streamnest_gateway::{GatewayOptions, Revocation};
use streamnest_log::Writer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    awake::Awake,
    engine::{say, token as said},
    server::{Answer, PATIENCE, Server},
    tls::{FIRST, connect, files},
    token::{self, bearer, token_with},
    unplugged::unplug,
};

/// Long enough that no test comes to its end by itself.
const LONG: Duration = Duration::from_secs(600);
/// What a client takes of one answer before it says that it takes more.
const WINDOW: u32 = 1 << 10;
/// The preface and settings of a client (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A head of which more is to come: `HEADERS` without `END_HEADERS`, that says `:method: GET`.
const HALF_A_HEAD: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x82";

type Connection = AbortOnDropHandle<hyper::Result<()>>;

/// A client that takes no more of an answer than [`WINDOW`], unless it is read.
async fn client(server: &Server) -> (SendRequest<Empty<Bytes>>, Connection) {
    client_on(connect(server, FIRST.0, "h2").await.unwrap()).await
}

async fn client_on(stream: TlsStream<TcpStream>) -> (SendRequest<Empty<Bytes>>, Connection) {
    let mut client = http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(WINDOW);
    let (sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
    (sender, AbortOnDropHandle::new(tokio::spawn(connection)))
}

/// Follows an execution.
async fn follow(sender: &SendRequest<Empty<Bytes>>, server: &Server, authorization: &str) -> Incoming {
    let uri = format!("https://localhost:{}/executions/a/events", server.address.port());
    let request = Request::get(uri).header("authorization", authorization).body(Empty::new()).unwrap();
    let response = sender.clone().send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// All that still comes.
async fn rest(mut body: Incoming) -> String {
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend(frame.into_data().unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// An execution of ada's, and its name.
async fn held_by_ada(server: &Server) -> (Writer, ExecutionId) {
    let own = crate::engine::id("a").within(&Tenant::of_subject("ada").unwrap());
    let request = StartExecution {
        workflow: "held".into(),
        input: json!({}),
        execution_id: Some(own.clone()),
        on_disconnect: None,
        trace: None,
    };
    server.engine.start(request).await.unwrap();
    (server.logs.writer(&own).unwrap(), own)
}

fn ada(expires: i64) -> String {
    bearer(&token_with("ada", json!({"iat": token::seconds(-10), "exp": token::seconds(expires)})))
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn who_never_asks_is_left_and_who_follows_is_not() {
    let (_folder, options) = files(FIRST);
    let options = GatewayOptions::default()
        .with_tls(Some(options))
        .with_request_timeout(Duration::from_secs(2))
        .with_close_timeout(Duration::from_millis(200));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let (sender, _driving) = client(&server).await;
    let mut followed = follow(&sender, &server, "").await;
    let half = [PREFACE, HALF_A_HEAD].concat();
    let silences = [(&b""[..], "nothing"), (PREFACE, "settings"), (&half, "half a head")];
    join_all(silences.map(async |(told, what)| {
        let mut silent = connect(&server, FIRST.0, "h2").await.unwrap();
        silent.write_all(told).await.unwrap();
        let mut heard = Vec::new();
        let left = timeout(PATIENCE, silent.read_to_end(&mut heard)).await;
        let _ = left.unwrap_or_else(|_| panic!("who says {what} keeps its place"));
    }))
    .await;
    let counted = server.metrics().await;
    assert!(counted.contains("streamnest_refusals_total{code=\"request_timeout\"} 3\n"), "{counted}");
    // Who asked, and has nothing open any more, is told so before.
    let (once, driving) = client(&server).await;
    let request = Request::get(format!("https://localhost:{}/healthz", server.address.port()));
    let answer = once.clone().send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    timeout(PATIENCE, driving).await.expect("an idle connection is left").unwrap().unwrap();
    // All the while an event stream went on.
    say(&writer, 0, 1).await;
    let mut text = String::new();
    while !text.contains(r#""content":"0""#) {
        let frame = timeout(PATIENCE, followed.frame()).await.expect("it goes on").unwrap().unwrap();
        text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_streams_whose_packets_vanish_are_found_within_interval_and_timeout() {
    let (interval, pong) = (Duration::from_millis(500), Duration::from_millis(1_500));
    let (_folder, tls) = files(FIRST);
    let options = GatewayOptions::default()
        .with_tls(Some(tls))
        .with_heartbeat_interval(interval)
        .with_pong_timeout(pong)
        // What finds them is nothing else.
        .with_slow_reader_limit(LONG)
        .with_request_timeout(LONG)
        .with_close_timeout(LONG);
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let encrypted = connect(&server, FIRST.0, "h2").await.unwrap();
    let cable = SockRef::from(encrypted.get_ref().0).try_clone().unwrap();
    let (vanishing, _driving) = client_on(encrypted).await;
    let (staying, _driving_too) = client(&server).await;
    let mut followed = Vec::new();
    for sender in [&vanishing, &vanishing, &staying] {
        followed.push(follow(sender, &server, "").await);
    }
    let follow_it =
        |wanted: usize| timeout(PATIENCE, writer.log().subscribers_become(move |count| count == wanted));
    follow_it(3).await.expect("all follow");
    let (since, awake) = (Instant::now(), Awake::begin());
    unplug(&cable);
    follow_it(1).await.expect("who vanished is found");
    let (found, bound) = (since.elapsed(), interval + pong);
    println!(
        "half_open transport=sse_http2 found_ms={} interval_and_timeout_ms={}",
        found.as_millis(),
        bound.as_millis()
    );
    // The system counts from when it repeats what it sent, for which it is given so much less.
    assert!(found >= pong - Duration::from_millis(500), "it had not its time: {found:?}");
    let found = awake.elapsed();
    assert!(found < bound + Duration::from_secs(3), "{found:?} of its own time");
    // One that is there all the time is left alone.
    say(&writer, 0, 1).await;
    let mut text = String::new();
    while !text.contains(r#""content":"0""#) {
        let frame = timeout(PATIENCE, followed[2].frame()).await.expect("it goes on").unwrap().unwrap();
        text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_loses_its_connection() {
    let (_folder, options) = files(FIRST);
    let options = GatewayOptions::default()
        .with_tls(Some(options))
        .with_heartbeats(false)
        .with_slow_reader_limit(Duration::from_secs(1));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    // One entry that is more than a window: nothing but its own end waits behind it.
    writer.append([said("draft", &"x".repeat(8 << 10))]).await.unwrap();
    let (sender, driving) = client(&server).await;
    let body = follow(&sender, &server, "").await;
    let _ = timeout(PATIENCE, driving).await.expect("its connection ends").unwrap();
    assert!(rest(body).await.len() <= WINDOW as usize);
    until("its place is free", async || {
        server.metrics().await.contains("streamnest_closes_total{code=\"4441\"} 1\n")
    })
    .await;
}

#[tokio::test]
async fn who_takes_all_of_an_answer_gets_it_whole_through_a_small_window() {
    let (_folder, options) = files(FIRST);
    let server = Server::with_options(GatewayOptions::default().with_tls(Some(options))).await;
    let writer = server.held("a").await;
    let long = "x".repeat(100 << 10);
    let tokens: Vec<Event> = (0..3).map(|n| said("draft", &format!("{n}{long}"))).collect();
    writer.append(tokens).await.unwrap();
    writer.finish(streamnest_core::payload::StatusUpdate::completed(1.into())).await.unwrap();
    let (sender, _driving) = client(&server).await;
    let text = timeout(PATIENCE, rest(follow(&sender, &server, "").await)).await.expect("it ends");
    for n in 0..3 {
        assert!(text.contains(&format!("\"content\":\"{n}{long}\"")), "{n}");
    }
    assert!(text.contains(r#""status":"completed""#));
}

#[tokio::test]
async fn nothing_is_given_after_a_token_is_over_to_who_had_taken_nothing() {
    for ends in ["revoked", "expired"] {
        let (_folder, tls) = files(FIRST);
        let options = token::options().with_tls(Some(tls)).with_slow_reader_limit(LONG);
        let server = Server::with_options(options).await;
        let (writer, own) = held_by_ada(&server).await;
        for n in 0..20 {
            writer.append([said("draft", &format!("{n}{}", "x".repeat(4 << 10)))]).await.unwrap();
        }
        let authorization = ada(if ends == "expired" { 8 } else { 3600 });
        let (sender, driving) = client(&server).await;
        let mut bodies = Vec::new();
        for _ in 0..5 {
            bodies.push(follow(&sender, &server, &authorization).await);
        }
        if ends == "revoked" {
            server.gateway.revoke(&Revocation::subject("ada")).unwrap();
        }
        let _ = timeout(PATIENCE, driving).await.unwrap_or_else(|_| panic!("{ends}: goes on")).unwrap();
        for body in bodies {
            let text = rest(body).await;
            assert!(text.len() <= WINDOW as usize, "{ends}: {} bytes", text.len());
        }
        until("nobody follows", async || server.gateway.sockets().followers(&own).unwrap() == 0).await;
    }
}

#[tokio::test]
async fn a_revoked_reader_that_takes_nothing_goes_without_http_2_too() {
    let options = token::options().with_slow_reader_limit(LONG).with_send_buffer_bytes(Some(4 << 10));
    let server = Server::with_options(options).await;
    let (writer, own) = held_by_ada(&server).await;
    for n in 0..200 {
        writer.append([said("draft", &format!("{n}{}", "x".repeat(64 << 10)))]).await.unwrap();
    }
    let authorization = ada(3600);
    let path = "/executions/a/events";
    let mut stream = server.send("GET", path, &[("authorization", &authorization)], "").await;
    assert_eq!(stream.read_u8().await.unwrap(), b'H');
    // It takes no more than its system does by itself.
    let mut taken = vec![0; 1 << 20];
    let mut before = 0;
    until("the socket is full", async || {
        let now = stream.peek(&mut taken).await.unwrap();
        std::mem::replace(&mut before, now) == now && now >= 32 << 10
    })
    .await;
    let followers = || server.gateway.sockets().followers(&own).unwrap();
    assert_eq!(followers(), 1);
    server.gateway.revoke(&Revocation::subject("ada")).unwrap();
    until("it is gone", async || followers() == 0).await;
    let mut text = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("its connection ends");
    assert!(text.len() < 100 * (64 << 10), "{}", text.len());
}

#[tokio::test]
async fn one_connection_of_an_address_too_many_is_told_so_in_what_it_speaks() {
    let (_folder, options) = files(FIRST);
    let options = GatewayOptions::default().with_tls(Some(options)).with_max_connections_per_address(Some(1));
    let server = Server::with_options(options).await;
    let (_first, _driving) = client(&server).await;
    let mut second = connect(&server, FIRST.0, "http/1.1").await.unwrap();
    second.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, second.read_to_end(&mut answer)).await.expect("it is told");
    Answer::parse(&answer).error(429, "too_many_connections_of_address");
    let mut third = connect(&server, FIRST.0, "h2").await.unwrap();
    third.write_all(PREFACE).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, third.read_to_end(&mut answer)).await.expect("it is told");
    // The last frame is `GOAWAY`, whose error is `ENHANCE_YOUR_CALM`.
    let goaway = answer.get(9..).unwrap();
    assert_eq!((goaway.get(3), goaway.last(), goaway.len()), (Some(&7), Some(&11), 17), "{answer:?}");
}

#[tokio::test]
async fn event_streams_on_one_connection_count_each_whatever_they_tell() {
    for path in ["executions/a/events", "v1/stream/executions/a?offset=-1&live=sse"] {
        let (_folder, options) = files(FIRST);
        let options = GatewayOptions::default().with_tls(Some(options));
        let server = Server::with_options(options.with_max_connections_per_address(Some(3))).await;
        let _running = server.held("a").await;
        let (sender, _driving) = client(&server).await;
        let (mut held, mut came) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let uri = format!("https://localhost:{}/{path}", server.address.port());
            let request = Request::get(uri).body(Empty::new()).unwrap();
            let response = sender.clone().send_request(request).await.unwrap();
            came.push(response.status().as_u16());
            held.push(response.into_body());
        }
        // The connection itself is one of them, and one stream counts with it.
        assert_eq!(came, [200, 200, 200, 429, 429], "{path}");
    }
}

#[tokio::test]
async fn who_does_not_finish_tls_or_a_head_or_takes_nothing_is_counted() {
    let short = || GatewayOptions::default().with_request_timeout(Duration::from_secs(1));
    let (_folder, tls) = files(FIRST);
    let encrypted = Server::with_options(short().with_tls(Some(tls))).await;
    let mut silent = TcpStream::connect(encrypted.address).await.unwrap();
    assert_eq!(timeout(PATIENCE, silent.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
    let refused = "streamnest_refusals_total{code=\"request_timeout\"} 1\n";
    until("TLS is counted", async || encrypted.metrics().await.contains(refused)).await;
    let options = short().with_slow_reader_limit(Duration::from_secs(1));
    let server = Server::with_options(options.with_send_buffer_bytes(Some(4 << 10))).await;
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(b"GET / HT").await.unwrap();
    let _ = timeout(PATIENCE, half.read_to_end(&mut Vec::new())).await.expect("half a head is left");
    until("a head is counted", async || server.metrics().await.contains(refused)).await;
    let writer = server.held("a").await;
    for n in 0..200 {
        writer.append([said("draft", &format!("{n}{}", "x".repeat(64 << 10)))]).await.unwrap();
    }
    let _stalled = server.send("GET", "/executions/a/events", &[], "").await;
    let closed = "streamnest_closes_total{code=\"4441\"} 1\n";
    until("a stall is counted", async || server.metrics().await.contains(closed)).await;
}
