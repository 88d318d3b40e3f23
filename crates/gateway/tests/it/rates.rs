//! How often clients may do what they do: the right one is refused, and the next window lets it through.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::{GatewayOptions, RateLimitOptions};
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::{
    engine::say,
    server::{Answer, PATIENCE, Server},
    socket::{Socket, contents},
    token::{bearer, options, token},
};

/// Long enough that no test comes to its end by itself.
const LONG: Duration = Duration::from_secs(600);

fn limited(rate_limit: RateLimitOptions) -> GatewayOptions {
    GatewayOptions::default().with_rate_limit(Some(rate_limit))
}

fn unlimited(window: Duration) -> RateLimitOptions {
    RateLimitOptions::unlimited().with_window(window)
}

/// Checks that it was refused by a limit, and gives the time after which to come back.
fn refused(answer: &Answer, code: &str) -> Duration {
    let message = answer.error(429, code);
    assert!(message.contains("the limit of `rate_limit."), "{message}");
    assert_eq!(answer.json()["error"]["retryable"], true);
    Duration::from_secs(answer.header("retry-after").expect("it says when").parse().unwrap())
}

/// The error that comes next, and the time after which to come back.
async fn refused_frame(socket: &mut Socket, code: &str) -> Duration {
    let frame = socket.expect("error").await;
    assert_eq!((&frame["payload"]["code"], &frame["payload"]["retryable"]), (&json!(code), &json!(true)));
    Duration::from_millis(frame["payload"]["retryAfterMs"].as_u64().expect("it says when"))
}

async fn ping(socket: &mut Socket) -> Value {
    socket.send(json!({"type": "ping"})).await;
    socket.next().await
}

/// The most that a limit has let through since then: `burst` at once, and one more after each such part of its window. So it is
/// known how many they may be, however long it took to try them.
fn most(burst: u32, window: Duration, since: Instant) -> u32 {
    burst + u32::try_from(since.elapsed().as_nanos() / (window / burst).as_nanos()).unwrap()
}

/// Opens connections until one is refused: how many were let through, and what the refused one is told.
async fn open_until_refused(server: &Server) -> (u32, CloseFrame) {
    let mut opened = Vec::new();
    loop {
        let (mut socket, _) = Socket::shake(server, "/ws", &[]).await.unwrap();
        socket.expect("connected").await;
        socket.send(json!({"type": "ping"})).await;
        let close = loop {
            match socket.message().await.unwrap() {
                Message::Close(close) => break Some(close.unwrap()),
                Message::Text(_) => break None,
                other => assert!(other.is_ping(), "{other}"),
            }
        };
        match close {
            Some(close) => return (opened.len() as u32, close),
            None => opened.push(socket),
        }
    }
}

/// The same of event streams.
async fn follow_until_refused(server: &Server) -> (u32, Answer) {
    let mut open = Vec::new();
    loop {
        let mut stream = server.send("GET", "/executions/a/events", &[], "").await;
        let mut answer = Vec::new();
        while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            stream.read_to_end(&mut answer).await.unwrap();
            return (open.len() as u32, Answer::parse(&answer));
        }
        open.push(stream);
    }
}

#[tokio::test]
async fn one_connection_too_many_within_the_window_is_told_when_to_come_back() {
    let window = Duration::from_millis(2_400);
    let server = Server::with_options(limited(unlimited(window).with_max_connections(Some(3)))).await;
    server.held("a").await;
    let since = Instant::now();
    for _ in 0..2 {
        Socket::open(&server).await;
    }
    // An event stream counts like a WebSocket, other requests do not.
    let first = server.send("GET", "/executions/a/events", &[], "").await.read_u8().await.unwrap();
    assert_eq!(first, b'H');
    assert_eq!(server.get("/executions").await.status, 200);
    let (more, close) = open_until_refused(&server).await;
    assert!(3 + more <= most(3, window, since), "{more} more than three");
    assert_eq!(u16::from(close.code), 4429);
    let reason: Value = serde_json::from_str(&close.reason).unwrap();
    let after = Duration::from_millis(reason["retryAfterMs"].as_u64().unwrap());
    assert!(after > Duration::ZERO && after <= window / 3, "{after:?}");
    let (streams, answer) = follow_until_refused(&server).await;
    assert!(3 + more + streams <= most(3, window, since), "{more} and {streams} more than three");
    refused(&answer, "too_many_new_connections");
    // The next window lets all of them through, and not one more.
    tokio::time::sleep(window).await;
    let since = Instant::now();
    let (opened, _) = open_until_refused(&server).await;
    assert!((3..=most(3, window, since)).contains(&opened), "{opened}");
    let (streams, answer) = follow_until_refused(&server).await;
    assert!(opened + streams <= most(3, window, since), "{opened} and {streams}");
    refused(&answer, "too_many_new_connections");
}

#[tokio::test]
async fn connections_of_one_address_are_bounded_and_make_room_when_they_end() {
    let options = GatewayOptions::default().with_max_connections_per_address(Some(2));
    let server = Server::with_options(options).await;
    let (first, second) = (Socket::open(&server).await, Socket::open(&server).await);
    let answer = server.get("/healthz").await;
    let message = answer.error(429, "too_many_connections_of_address");
    assert!(message.contains("`GatewayOptions::max_connections_per_address`"), "{message}");
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop((first, second));
    let since = Instant::now();
    while server.get("/healthz").await.status != 200 {
        assert!(since.elapsed() < Duration::from_secs(10), "they are gone");
    }
}

#[tokio::test]
async fn a_proxy_speaks_for_its_clients_only_if_it_is_trusted() {
    let limits = unlimited(LONG).with_max_requests_per_user(Some(2));
    let get = async |server: &Server, client: &str| {
        server.ask("GET", "/executions", &[("x-forwarded-for", client)], "").await.status
    };
    let trusting =
        Server::with_options(limited(limits.clone()).with_trusted_proxies(vec!["127.0.0.0/8".into()])).await;
    for client in ["192.0.2.1", "192.0.2.2"] {
        for expected in [200, 200, 429] {
            assert_eq!(get(&trusting, client).await, expected, "{client}");
        }
    }
    let wary = Server::with_options(limited(limits)).await;
    for (client, expected) in [("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.3", 429)] {
        assert_eq!(get(&wary, client).await, expected, "{client}");
    }
}

/// Pings until one is refused: how many were answered, and after what time to come back.
async fn ping_until_refused(socket: &mut Socket) -> (u32, Duration) {
    let mut answered = 0;
    loop {
        socket.send(json!({"type": "ping"})).await;
        let frame = socket.next().await;
        if frame["type"] == "error" {
            assert_eq!(frame["payload"]["code"], "too_many_messages");
            assert_eq!(frame["payload"]["retryable"], true);
            return (answered, Duration::from_millis(frame["payload"]["retryAfterMs"].as_u64().unwrap()));
        }
        assert_eq!(frame["type"], "pong");
        answered += 1;
    }
}

#[tokio::test]
async fn a_message_too_many_is_refused_and_the_next_window_takes_it() {
    let window = Duration::from_millis(900);
    let server =
        Server::with_options(limited(unlimited(window).with_max_requests_per_connection(Some(3)))).await;
    let (mut socket, mut other) = (Socket::open(&server).await, Socket::open(&server).await);
    for _ in 0..2 {
        let since = Instant::now();
        let (answered, after) = ping_until_refused(&mut socket).await;
        assert!((3..=most(3, window, since)).contains(&answered), "{answered}");
        assert!(after <= window / 3, "{after:?}");
        assert_eq!(ping(&mut other).await["type"], "pong", "another connection has its own");
        tokio::time::sleep(window).await;
    }
}

#[tokio::test]
async fn a_message_too_many_is_told_so_by_its_id() {
    let limits = unlimited(LONG).with_max_requests_per_connection(Some(1));
    let server = Server::with_options(limited(limits)).await;
    let mut socket = Socket::open(&server).await;
    assert_eq!(ping(&mut socket).await["type"], "pong");
    for (request, told) in [
        (json!({"type": "ping", "id": "p1"}), json!("p1")),
        (json!({"type": "nonsense", "id": "p2"}), json!("p2")),
        (json!({"type": "ping"}), Value::Null),
    ] {
        socket.send(request).await;
        let frame = socket.expect("error").await;
        assert_eq!((&frame["payload"]["code"], &frame["replyTo"]), (&json!("too_many_messages"), &told));
    }
}

#[tokio::test]
async fn who_goes_on_though_it_is_refused_is_closed_and_told_when_to_come_back() {
    let limits = unlimited(LONG).with_max_requests_per_connection(Some(1));
    let server = Server::with_options(limited(limits).with_max_bad_frames(3)).await;
    let mut socket = Socket::open(&server).await;
    for _ in 0..4 {
        socket.send(json!({"type": "ping"})).await;
    }
    let (code, frames) = socket.until_close().await;
    let types: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!((code, types), (Some(4429), vec!["pong", "error", "error", "error"]));
    // Pings are messages too.
    let mut socket = Socket::open(&server).await;
    for _ in 0..4 {
        socket.send_raw(Message::Ping("x".into())).await;
    }
    assert_eq!(socket.until_close().await.0, Some(4429));
}

#[tokio::test]
async fn requests_of_one_user_count_together_whatever_they_come_by() {
    let limits = unlimited(LONG).with_max_requests_per_user(Some(3));
    let server = Server::with_options(options().with_rate_limit(Some(limits))).await;
    let (ada, eve) = (bearer(&token("ada")), bearer(&token("eve")));
    let get = async |who: &str| server.ask("GET", "/executions", &[("authorization", who)], "").await;
    let (mut socket, _) = Socket::shake(&server, "/ws", &[("authorization", &ada)]).await.unwrap();
    socket.expect("connected").await;
    assert_eq!(get(&ada).await.status, 200);
    assert_eq!(ping(&mut socket).await["type"], "pong");
    socket.send(json!({"type": "ping"})).await;
    refused_frame(&mut socket, "too_many_requests").await;
    let after = refused(&get(&ada).await, "too_many_requests");
    assert!(after > LONG / 4 && after <= LONG / 3, "{after:?}");
    assert_eq!(get(&eve).await.status, 200);
    // Who shows no good token counts by the address, and that of others does not suffer.
    for expected in [401, 401, 401, 429] {
        assert_eq!(get("Bearer x.y.z").await.status, expected);
    }
    assert_eq!(get(&eve).await.status, 200);
    assert_eq!(server.get("/healthz").await.status, 200, "a supervisor is always answered");
}

#[tokio::test]
async fn executions_of_one_user_are_bounded_by_every_way_to_start_one() {
    let limits = unlimited(LONG).with_max_executions_per_user(Some(3));
    let server = Server::with_options(options().with_rate_limit(Some(limits))).await;
    let ada = bearer(&crate::token::token_with("ada", json!({"scope": "admin"})));
    let headers = [("content-type", "application/json"), ("authorization", &*ada)];
    let start = || server.ask("POST", "/workflows/held/executions", &headers, r#"{"input":{}}"#);
    assert_eq!(start().await.status, 202);
    assert_eq!(server.ask("PUT", "/v1/stream/executions/mine", &headers, "").await.status, 201);
    let (mut socket, _) = Socket::shake(&server, "/ws", &[("authorization", &ada)]).await.unwrap();
    socket.expect("connected").await;
    let request = json!({"type": "start_execution", "payload": {"workflow": "held", "input": {}}});
    socket.send(request.clone()).await;
    socket.expect("execution_started").await;
    socket.send(request).await;
    let after = refused_frame(&mut socket, "too_many_starts").await;
    assert!(after > LONG / 4 && after <= LONG / 3, "{after:?}");
    refused(&start().await, "too_many_starts");
    let made = server.ask("PUT", "/v1/stream/executions/other", &headers, "").await;
    refused(&made, "too_many_starts");
}

#[tokio::test]
async fn reading_again_is_slowed_down_to_the_limit_and_loses_nothing() {
    let limits = unlimited(LONG).with_replay_bytes_per_second(Some(400 << 10));
    let server = Server::with_options(limited(limits).with_max_write_bytes(64 << 10)).await;
    let writer = server.held("a").await;
    let text = "x".repeat(1 << 10);
    for n in 0..800 {
        writer.append([crate::engine::token("generate", &format!("{n} {text}"))]).await.unwrap();
    }
    say(&writer, 800, 801).await;
    // About a megabyte at 400 KiB a second, of which 400 KiB may come at once.
    let since = Instant::now();
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a", "events": ["token"]})).await;
    let mut entries = Vec::new();
    while entries.len() < 801 {
        let frame = socket.next().await;
        if frame["type"] == "token" {
            entries.push(frame);
        }
    }
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(1_200), "{took:?}");
    assert!(
        contents(&entries)
            .iter()
            .enumerate()
            .all(|(n, text)| text.split(' ').next() == Some(&*n.to_string()))
    );
    // Reading it as a stream at once is refused until that too fits in.
    let mut answer = server.get("/v1/stream/executions/a").await;
    while answer.status == 429 {
        refused(&answer, "replay_too_fast");
        assert!(since.elapsed() < took + Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = server.get("/v1/stream/executions/a").await;
    }
    assert_eq!(answer.status, 200);
    // 800 KiB and another 400 KiB at once, of which 400 KiB were there in the beginning, but for what one write may owe.
    assert!(since.elapsed() >= Duration::from_millis(1_800), "{:?}", since.elapsed());
    // What comes live is not held up.
    say(&writer, 801, 802).await;
    let frame = socket.expect("token").await;
    assert_eq!(frame["payload"]["content"], "801");
}

#[tokio::test]
async fn what_is_read_again_counts_however_little_of_it_is_sent() {
    let limits = unlimited(LONG).with_replay_bytes_per_second(Some(1 << 20));
    let server = Server::with_options(limited(limits).with_max_write_bytes(128 << 10)).await;
    let (writer, text) = (server.held("a").await, "x".repeat(1 << 10));
    for _ in 0..1_500 {
        writer.append([crate::engine::token("generate", &text)]).await.unwrap();
    }
    writer.finish(StatusUpdate::completed(Value::Null)).await.unwrap();
    let since = Instant::now();
    for more in [json!({"nodes": ["other"]}), json!({"replay": "compact", "nodes": ["other"]})] {
        let mut request = json!({"executionId": "a"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut socket = Socket::open(&server).await;
        socket.subscribe(request).await;
        while !socket.next().await["payload"]["status"].is_string() {}
    }
    let answer = server.get("/executions/a/events?nodes=other").await;
    assert!(answer.body.contains("completed") && answer.body.len() < 1_000, "{}", answer.body);
    // Three times a megabyte and a half, of which one may come at once.
    assert!(since.elapsed() >= Duration::from_secs(3), "{:?}", since.elapsed());
}

/// Reads an answer to its end, or until as much was read, and adds that up. One that is refused takes a while.
async fn read(server: &Server, path: &str, most: usize, all: &Cell<usize>) {
    let mut stream = server.send("GET", path, &[], "").await;
    let (mut bytes, mut piece) = (0, vec![0; 64 << 10]);
    while bytes < most {
        match stream.read(&mut piece).await.unwrap() {
            0 => break,
            _ if bytes == 0 && piece.starts_with(b"HTTP/1.1 429 ") => {
                return tokio::time::sleep(Duration::from_millis(100)).await;
            }
            read => {
                bytes += read;
                all.set(all.get() + read);
            }
        }
    }
}

#[tokio::test]
async fn whatever_is_read_again_by_every_door_is_no_more_than_the_limit_and_a_burst() {
    const RATE: u32 = 200 << 10;
    const READ: usize = 64 << 10;
    let limits = unlimited(LONG).with_replay_bytes_per_second(Some(RATE));
    let options = limited(limits).with_max_write_bytes(READ).with_max_stream_read_bytes(READ);
    let server = Server::with_options(options).await;
    let (writer, text) = (server.held("a").await, "x".repeat(1 << 10));
    for _ in 0..1_000 {
        writer.append([crate::engine::token("generate", &text)]).await.unwrap();
    }
    let (server, since) = (&server, Instant::now());
    let counts: [Cell<usize>; 5] = Default::default();
    // Each reads as fast as it may, and begins anew when it has all, or enough.
    let again = async |door: &str, most, all| {
        loop {
            read(server, door, most, all).await;
        }
    };
    let socket = async {
        loop {
            let mut socket = Socket::open(server).await;
            socket.subscribe(json!({"executionId": "a"})).await;
            // Who leaves after a first read owes it all the same.
            for _ in 0..40 {
                counts[4].set(counts[4].get() + socket.next().await.to_string().len());
            }
        }
    };
    let doors = async {
        tokio::join!(
            again("/executions/a/events", READ / 2, &counts[0]),
            again("/v1/stream/executions/a?offset=-1&live=sse", READ / 2, &counts[1]),
            again("/v1/stream/executions/a?offset=-1&live=sse", usize::MAX, &counts[2]),
            again("/v1/stream/executions/a?offset=-1&live=long-poll", usize::MAX, &counts[3]),
            socket
        )
    };
    let read = || counts.iter().map(Cell::get).sum::<usize>();
    let enough = async {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        while read() <= 2 * READ {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        _ = doors => {}
        enough = tokio::time::timeout(PATIENCE, enough) => enough.expect("something is read"),
    }
    let (bytes, took) = (read(), since.elapsed().as_secs_f64());
    // And the heads of answers.
    let most = took * f64::from(RATE) + f64::from(RATE) + READ as f64;
    println!("read_again_bytes={bytes} most={most:.0} seconds={took:.2} by_door={counts:?}");
    assert!((bytes as f64) <= most, "{counts:?} bytes in {took} s");
}

#[test]
fn limits_that_are_none_are_refused_by_name() {
    let refused = |options: GatewayOptions| options.validate().unwrap_err().to_string();
    for (options, name) in [
        (limited(unlimited(Duration::ZERO)), "rate_limit.window"),
        (limited(unlimited(LONG).with_max_connections(Some(0))), "rate_limit.max_connections"),
        (
            limited(unlimited(LONG).with_replay_bytes_per_second(Some(1))),
            "rate_limit.replay_bytes_per_second",
        ),
        (limited(unlimited(LONG).with_max_keys(0)), "rate_limit.max_keys"),
        (GatewayOptions::default().with_trusted_proxies(vec!["10.0.0.0/64".into()]), "trusted_proxies"),
        (GatewayOptions::default().with_forwarded_header("not a header".into()), "forwarded_header"),
        (GatewayOptions::default().with_forwarded_header("forwarded".into()), "forwarded_header"),
        (GatewayOptions::default().with_max_connections_per_address(Some(0)), "max_connections_per_address"),
    ] {
        assert!(refused(options).contains(&format!("`{name}`")), "{name}");
    }
}
