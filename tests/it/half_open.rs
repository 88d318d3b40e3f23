//! Readers whose packets vanish: neither side hears of the other any more, and nobody says goodbye.

use std::time::Duration;

use serde_json::json;
use streamnest::{Streamnest, gateway::GatewayOptions, runtime::Run};
use streamnest_tests::{awake::Awake, server::Server, socket::Socket, unplugged::unplug, workflows::Steps};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// How much less the system of an event stream is given, for it counts from its first repetition on.
const ROUNDED: Duration = Duration::from_millis(500);
/// How much later it may be seen on a machine that has much to do, of the time that it does give.
const SLACK: Duration = Duration::from_secs(3);
/// How long anything may take at all.
const PATIENCE: Duration = Duration::from_secs(30);

async fn server() -> Server {
    let gateway = GatewayOptions::default()
        .with_heartbeat_interval(INTERVAL)
        .with_pong_timeout(TIMEOUT)
        // What finds them is not that they read nothing of much.
        .with_slow_reader_limit(Duration::from_secs(600))
        .with_close_timeout(TIMEOUT);
    Server::start(Streamnest::builder().workflow(Steps::default()).gateway_options(gateway)).await
}

/// A run that says two tokens and then nothing for long, and that nobody follows.
async fn silent(server: &Server) -> Run {
    server.app.start("steps", json!({"tokens": 2, "then": "hang"})).await.unwrap()
}

/// An event stream of which nothing was read yet.
async fn unread(server: &Server, run: &Run) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let (id, host) = (run.execution_id(), server.address);
    let head = format!("GET /executions/{id}/events HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// An event stream that was read up to the second token.
async fn event_stream(server: &Server, run: &Run) -> TcpStream {
    let mut stream = unread(server, run).await;
    let mut read = Vec::new();
    while !read.windows(3).any(|text| text == b"t1 ") {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
    }
    stream
}

/// Checks that nobody follows `run` any more after the time for that.
async fn is_found(what: &str, run: &Run) {
    let (since, awake) = (Instant::now(), Awake::begin());
    let gone = run.log().subscribers_become(|count| count == 0);
    timeout(PATIENCE, gone).await.expect("who vanished is found");
    let (found, bound) = (since.elapsed(), INTERVAL + TIMEOUT);
    println!("half_open {what} found_ms={} interval_and_timeout_ms={}", found.as_millis(), bound.as_millis());
    assert!(found >= TIMEOUT - ROUNDED, "{what} had not its time: {found:?}");
    let found = awake.elapsed();
    assert!(found < bound + SLACK, "{what}: {found:?} of its own time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_whose_packets_vanish_is_found_within_interval_and_timeout() {
    let server = server().await;
    let run = silent(&server).await;
    let id = run.execution_id().to_string();
    let mut socket = Socket::connect(server.address).await;
    socket.subscribe(&id, json!({})).await;
    while socket.expect("token").await["payload"]["content"] != "t1 " {}
    socket.unplug();
    is_found("transport=websocket", &run).await;
    // Its close frame cannot be answered either.
    let sockets = server.app.sockets();
    let gone = async {
        while sockets.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("its place is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_whose_packets_vanish_is_found_within_interval_and_timeout() {
    let server = server().await;
    let run = silent(&server).await;
    let stream = event_stream(&server, &run).await;
    // One that is there all the time is left alone, and so is one that answers nothing but reads.
    let other = silent(&server).await;
    let mut reader = event_stream(&server, &other).await;
    unplug(&stream);
    is_found("transport=sse", &run).await;
    assert_eq!(other.log().subscribers(), 1);
    other.cancel("enough").await;
    let mut rest = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut rest)).await.expect("its stream ends").unwrap();
    assert!(String::from_utf8(rest).unwrap().contains(r#""status":"cancelled""#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_that_has_no_room_is_left_its_limit_for_slow_readers() {
    let server = server().await;
    let run = server.app.start("steps", json!({"tokens": 30_000, "then": "hang"})).await.unwrap();
    let mut stream = unread(&server, &run).await;
    timeout(PATIENCE, run.log().subscribers_become(|count| count == 1)).await.unwrap();
    // The system of this reader says that there is no room, twice as long as it may be silent.
    tokio::time::sleep(2 * (INTERVAL + TIMEOUT)).await;
    assert_eq!(run.log().subscribers(), 1, "it is slow, and not gone");
    run.cancel("enough").await;
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("its stream ends").unwrap();
    assert!(String::from_utf8_lossy(&rest).contains(r#""status":"cancelled""#));
}
