//! Limits by a file of options: each refuses the right one, by its own code, says when to come back, and is counted.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamnest_tests::{http, program::Program, socket::Socket};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::sleep,
};

use super::{ask, bearer, folder, program, token};

const WINDOW: Duration = Duration::from_secs(4);

/// The most that a limit has let through since then: `burst` at once, and one more after each such part of its window. So it is
/// known how many they may be, however long it took to try them.
fn most(burst: u32, since: Instant) -> u32 {
    burst + u32::try_from(since.elapsed().as_nanos() / (WINDOW / burst).as_nanos()).unwrap()
}

/// A program by these lines of its file.
async fn by(lines: &str) -> (tempfile::TempDir, Program) {
    let folder = folder();
    let program = program(&folder, lines, &[]).await;
    (folder, program)
}

/// How often that was refused, as `/metrics` says.
async fn refusals(program: &Program, headers: &[(&str, &str)], code: &str) -> u64 {
    let name = format!("streamnest_refusals_total{{code=\"{code}\"}}");
    http::metric(program.address, headers, &name).await.unwrap_or_default()
}

/// Checks that a request is refused by that limit, and gives the seconds after which to come back.
async fn refused(
    program: &Program,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    expected: (u16, &str),
) -> u64 {
    let body = (method == "POST").then(|| json!({"input": {"tokens": 1}}));
    let (status, told, code) = ask(program.address, method, path, headers, body.as_ref()).await;
    assert_eq!((status, code.as_str()), expected, "{method} {path}");
    let after = told.get("retry-after").unwrap_or_else(|| panic!("{code} says when to come back"));
    after.to_str().unwrap().parse().unwrap()
}

/// After what time to come back, as the error says.
fn retry_after(frame: &Value, code: &str) -> Duration {
    assert_eq!((&frame["type"], &frame["payload"]["code"]), (&json!("error"), &json!(code)), "{frame}");
    Duration::from_millis(frame["payload"]["retryAfterMs"].as_u64().unwrap_or_else(|| panic!("{frame}")))
}

async fn ping(socket: &mut Socket) -> Value {
    socket.send("ping", json!({})).await;
    socket.next().await.unwrap()
}

/// Opens connections until one is refused: how many were let through, and the reason that the refused one is told.
async fn open_until_refused(program: &Program) -> (u32, u16, Value) {
    let mut opened = Vec::new();
    loop {
        let mut socket = Socket::connect(program.address).await;
        socket.send("ping", json!({})).await;
        let Some((close, reason)) = socket.closed_before_pong().await else {
            opened.push(socket);
            continue;
        };
        return (opened.len() as u32, close, serde_json::from_str(&reason).unwrap());
    }
}

/// Asks until it is refused: how often it was answered, the code, and the seconds after which to come back.
async fn ask_until_refused(
    program: &Program,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    taken: u16,
) -> (u32, String, u64) {
    let body = (method == "POST").then(|| json!({"input": {"tokens": 1}}));
    for answered in 0.. {
        let (status, told, code) = ask(program.address, method, path, headers, body.as_ref()).await;
        if status != taken {
            assert_eq!(status, 429, "{method} {path}: {code}");
            return (answered, code, told["retry-after"].to_str().unwrap().parse().unwrap());
        }
    }
    unreachable!("no limit lets so many through")
}

/// Makes an execution that an outside program speaks for, with so many kibibytes in it.
async fn produced(program: &Program, id: &str, kibibytes: usize) {
    let path = format!("/v1/stream/executions/{id}");
    let entry = json!([{"type": "token", "nodeId": "a", "payload": {"content": "x".repeat(1000)}}]);
    let (response, _) =
        http::request(program.address, "PUT", &path, &[("content-type", "application/json")], None).await;
    assert_eq!(response.status(), 201);
    for _ in 0..kibibytes {
        let (status, _, code) = ask(program.address, "POST", &path, &[], Some(&entry)).await;
        assert!(status < 300, "{status} {code}");
    }
}

#[tokio::test]
async fn connections_within_a_window() {
    let lines = format!("[gateway.rate_limit]\nwindow = \"{WINDOW:?}\"\nmax_connections = 2");
    let (_folder, program) = by(&lines).await;
    let code = "too_many_new_connections";
    produced(&program, "a", 1).await;
    let since = Instant::now();
    let (opened, close, reason) = open_until_refused(&program).await;
    assert!((2..=most(2, since)).contains(&opened), "{opened}");
    let after = Duration::from_millis(reason["retryAfterMs"].as_u64().unwrap());
    assert_eq!(close, 4429);
    assert!(after > Duration::ZERO && after <= WINDOW / 2, "{after:?}");
    let (streams, told, seconds) =
        ask_until_refused(&program, ("GET", "/executions/a/events"), &[], 200).await;
    assert!(opened + streams <= most(2, since), "{opened} and {streams}");
    assert_eq!(told, code);
    assert!((1..=2).contains(&seconds), "{seconds}");
    // What opens nothing is not counted, and both refusals are.
    assert_eq!(ask(program.address, "GET", "/executions", &[], None).await.0, 200);
    assert_eq!(refusals(&program, &[], code).await, 2);
    sleep(Duration::from_secs(seconds)).await;
    let (again, close, _) = open_until_refused(&program).await;
    assert!(again >= 1, "it was told the truth");
    assert!(opened + streams + again <= most(2, since), "no more than have come back");
    assert_eq!(close, 4429);
    println!("code={code} close=4429 retry_after_ms={} retry_after_s={seconds}", after.as_millis());
}

#[tokio::test]
async fn messages_of_a_connection_and_requests_of_a_user() {
    let lines = format!(
        r#"
        [gateway]
        trusted_proxies = ["127.0.0.0/8"]
        [gateway.rate_limit]
        window = "{WINDOW:?}"
        max_requests_per_connection = 3
        max_requests_per_user = 20
    "#
    );
    let (_folder, program) = by(&lines).await;
    // Each case is another client of a trusted proxy.
    let from = |client: &'static str| [("x-forwarded-for", client)];
    let operator = from("192.0.2.99");
    let mut socket = Socket::open(program.address, "/ws", &from("192.0.2.1")).await.unwrap();
    socket.expect("connected").await;
    let since = Instant::now();
    let mut answered = 0;
    let refused = loop {
        match ping(&mut socket).await {
            frame if frame["type"] == "pong" => answered += 1,
            frame => break frame,
        }
    };
    assert!((3..=most(3, since)).contains(&answered), "{answered}");
    let after = retry_after(&refused, "too_many_messages");
    assert!(after <= WINDOW / 3, "{after:?}");
    sleep(after).await;
    assert_eq!(ping(&mut socket).await["type"], "pong", "the next part of the window takes it");
    assert_eq!(refusals(&program, &operator, "too_many_messages").await, 1);

    let client = from("192.0.2.2");
    let (taken, code, after) = ask_until_refused(&program, ("GET", "/executions"), &client, 200).await;
    assert_eq!((code.as_str(), after), ("too_many_requests", 1));
    assert!(taken >= 20, "{taken}");
    assert_eq!(ask(program.address, "GET", "/executions", &from("192.0.2.3"), None).await.0, 200);
    assert_eq!(ask(program.address, "GET", "/healthz", &client, None).await.0, 200);
    assert_eq!(refusals(&program, &operator, "too_many_requests").await, 1);
}

#[tokio::test]
async fn executions_of_a_user_behind_a_trusted_proxy() {
    let lines = format!(
        r#"
        [gateway]
        trusted_proxies = ["127.0.0.0/8"]
        [gateway.rate_limit]
        window = "{WINDOW:?}"
        max_executions_per_user = 1
    "#
    );
    let (_folder, program) = by(&lines).await;
    let from = |client: &'static str| [("x-forwarded-for", client)];
    let client = from("192.0.2.4");
    let start = ("POST", "/workflows/steps/executions");
    let since = Instant::now();
    let (started, code, after) = ask_until_refused(&program, start, &client, 202).await;
    assert!((1..=most(1, since)).contains(&started), "{started}");
    assert_eq!(code, "too_many_starts");
    assert!((1..=4).contains(&after), "{after}");
    let body = json!({"input": {"tokens": 1}});
    assert_eq!(ask(program.address, start.0, start.1, &from("192.0.2.5"), Some(&body)).await.0, 202);
    sleep(Duration::from_secs(after)).await;
    assert_eq!(
        ask(program.address, start.0, start.1, &client, Some(&body)).await.0,
        202,
        "it was told the truth"
    );
    assert_eq!(refusals(&program, &[], "too_many_starts").await, 1);
}

#[tokio::test]
async fn without_trusted_proxies_nobody_speaks_for_another() {
    let (_folder, program) = by("[gateway.rate_limit]\nwindow = \"600s\"\nmax_executions_per_user = 1").await;
    let body = json!({"input": {"tokens": 1}});
    for (client, expected) in [("192.0.2.1", 202), ("192.0.2.2", 429)] {
        let headers = [("x-forwarded-for", client)];
        let path = "/workflows/steps/executions";
        assert_eq!(ask(program.address, "POST", path, &headers, Some(&body)).await.0, expected);
    }
}

#[tokio::test]
async fn bytes_that_are_read_again_within_a_second() {
    let lines = "[gateway]\nmax_write_bytes = 65536\n[gateway.rate_limit]\nreplay_bytes_per_second = 65536";
    let (_folder, program) = by(lines).await;
    produced(&program, "a", 200).await;
    let path = "/v1/stream/executions/a";
    // Each takes all that there is, which a slow machine may have got back meanwhile.
    let (_, code, after) = ask_until_refused(&program, ("GET", path), &[], 200).await;
    assert_eq!(code, "replay_too_fast");
    assert_eq!(refusals(&program, &[], "replay_too_fast").await, 1);
    sleep(Duration::from_secs(after)).await;
    assert_eq!(ask(program.address, "GET", path, &[], None).await.0, 200, "it was told the truth");
    // 200 KiB at 64 KiB a second, of which 64 KiB may have come back.
    let began = Instant::now();
    let mut socket = Socket::connect(program.address).await;
    socket.subscribe("a", json!({"events": ["token"]})).await;
    for n in 0..200 {
        let frame = socket.expect("token").await;
        assert_eq!(frame["payload"]["content"].as_str().unwrap().len(), 1000, "{n}");
    }
    let took = began.elapsed();
    println!("replayed_bytes=200000 bytes_per_second=65536 took_ms={}", took.as_millis());
    assert!(took > Duration::from_millis(1_500), "{took:?}");
}

#[tokio::test]
async fn connections_that_are_open_at_once() {
    // Of one address, told before a request is read; behind a proxy, of the address that it tells.
    let (_folder, program) = by("[gateway]\nmax_connections_per_address = 2").await;
    let mut open = vec![Socket::connect(program.address).await, Socket::connect(program.address).await];
    let code = "too_many_connections_of_address";
    assert_eq!(refused(&program, "GET", "/healthz", &[], (429, code)).await, 1);
    open.pop();
    while ask(program.address, "GET", "/healthz", &[], None).await.0 != 200 {}
    assert!(refusals(&program, &[], code).await > 0);

    let lines = "[gateway]\ntrusted_proxies = [\"127.0.0.1\"]\nmax_connections_per_address = 1";
    let (_folder, program) = by(lines).await;
    let (first, other) = ([("x-forwarded-for", "192.0.2.1")], [("x-forwarded-for", "192.0.2.2")]);
    let mut kept = Socket::open(program.address, "/ws", &first).await.unwrap();
    let mut second = Socket::open(program.address, "/ws", &first).await.unwrap();
    assert_eq!(second.closed().await.unwrap().0, 4429);
    let mut others = Socket::open(program.address, "/ws", &other).await.unwrap();
    for socket in [&mut kept, &mut others] {
        socket.expect("connected").await;
        assert_eq!(ping(socket).await["type"], "pong");
    }
    assert_eq!(refusals(&program, &[], code).await, 1);

    // Of all.
    let (_folder, program) = by("[gateway]\nmax_connections = 1").await;
    produced(&program, "a", 1).await;
    let _open = Socket::connect(program.address).await;
    let (close, reason) = Socket::connect(program.address).await.closed().await.unwrap();
    assert_eq!((close, reason.as_str()), (4429, r#"{"retryAfterMs":1000}"#));
    let code = "too_many_connections";
    assert_eq!(refused(&program, "GET", "/executions/a/events", &[], (503, code)).await, 1);
    assert_eq!(refusals(&program, &[], code).await, 2);
}

#[tokio::test]
async fn what_one_user_has_open() {
    let lines = r#"
        [gateway]
        max_connections_per_user = 2
        max_event_streams_per_user = 1
        max_subscriptions = 1
        [gateway.authentication]
        secret_key_file = "FOLDER/secret"
        max_tickets = 1
        max_unauthenticated_message_bytes = 1000
    "#;
    let (_folder, program) = by(lines).await;
    let address = program.address;
    let (ada, eve) = (bearer("ada"), bearer("eve"));
    let root = format!("Bearer {}", token("root", 3600, &json!({"scope": "admin operate"})));
    let (ada, eve, root) =
        ([("authorization", &*ada)], [("authorization", &*eve)], [("authorization", &*root)]);
    let body = json!({"executionId": "a", "input": {"tokens": 1000, "pause_ms": 20}});
    assert_eq!(ask(address, "POST", "/workflows/steps/executions", &ada, Some(&body)).await.0, 202);
    let mut sockets = Vec::new();
    for headers in [&ada, &eve, &ada, &ada] {
        let mut socket = Socket::open(address, "/ws", headers).await.unwrap();
        socket.expect("connected").await;
        sockets.push(socket);
    }
    // The oldest of the same user is replaced and told, and nobody else.
    assert_eq!(sockets[0].closed().await.unwrap().0, 4409);
    for socket in &mut sockets[1..] {
        assert_eq!(ping(socket).await["type"], "pong");
    }
    assert_eq!(http::metric(address, &root, "streamnest_closes_total{code=\"4409\"}").await, Some(1));

    sockets[3].subscribe("a", json!({"events": ["status"]})).await;
    sockets[3].send("subscribe_execution", json!({"executionId": "a", "subscription": "b"})).await;
    let told = loop {
        let frame = sockets[3].next().await.unwrap();
        if frame["type"] == "error" {
            break frame;
        }
    };
    assert_eq!(told["payload"]["code"], "too_many_subscriptions");
    assert_eq!(refusals(&program, &root, "too_many_subscriptions").await, 1);

    let events = "/executions/a/events";
    let (stream, _task) = http::request(address, "GET", events, &ada, None).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(refused(&program, "GET", events, &ada, (429, "too_many_event_streams")).await, 1);
    assert_eq!(refusals(&program, &root, "too_many_event_streams").await, 1);

    assert_eq!(ask(address, "POST", "/tickets", &ada, Some(&json!({}))).await.0, 201);
    // One more replaces the oldest of whoever has most.
    assert_eq!(ask(address, "POST", "/tickets", &eve, Some(&json!({}))).await.0, 201);

    let mut unknown = Socket::connect(address).await;
    unknown.send_text("x".repeat(1_001)).await;
    assert_eq!(unknown.closed().await.unwrap().0, 1009);
}

#[tokio::test]
async fn sizes_times_and_bad_frames() {
    let lines = r#"
        [gateway]
        max_message_bytes = 1000
        max_body_bytes = 1000
        max_bad_frames = 2
        max_stream_readers = 1
        max_event_subscriptions = 1
        max_waiting_subscriptions = 1
    "#;
    let (_folder, program) = by(lines).await;
    let address = program.address;
    let mut large = Socket::connect(address).await;
    large.send_text("x".repeat(1_001)).await;
    assert_eq!(large.closed().await.unwrap().0, 1009);
    let mut bad = Socket::connect(address).await;
    for _ in 0..2 {
        bad.send_text("{".into()).await;
    }
    assert_eq!(bad.closed().await.unwrap().0, 4400);
    for close in ["1009", "4400"] {
        let name = format!("streamnest_closes_total{{code=\"{close}\"}}");
        assert_eq!(http::metric(address, &[], &name).await, Some(1), "{close}");
    }

    let body = json!({"input": {"tokens": 1}, "executionId": "x".repeat(1_000)});
    let path = "/workflows/steps/executions";
    let (status, _, code) = ask(address, "POST", path, &[], Some(&body)).await;
    assert_eq!((status, code.as_str()), (413, "body_too_large"));
    assert_eq!(refusals(&program, &[], "body_too_large").await, 1);

    produced(&program, "a", 0).await;
    let path = "/v1/stream/executions/a?offset=now&live=sse";
    let (waiting, _task) = http::request(address, "GET", path, &[], None).await;
    assert_eq!(waiting.status(), 200);
    assert_eq!(refused(&program, "GET", path, &[], (429, "too_many_readers")).await, 1);
    assert_eq!(refusals(&program, &[], "too_many_readers").await, 1);

    let (mut one, mut two) = (Socket::connect(address).await, Socket::connect(address).await);
    one.send("subscribe_events", json!({"eventTypes": ["token"]})).await;
    one.expect("events_subscription_confirmed").await;
    two.send("subscribe_events", json!({"eventTypes": ["token"]})).await;
    assert_eq!(two.next().await.unwrap()["payload"]["code"], "too_many_event_views");
    two.subscribe_waiting("later").await;
    two.send("subscribe_execution", json!({"executionId": "latest", "wait": true})).await;
    assert_eq!(two.next().await.unwrap()["payload"]["code"], "too_many_waiting_subscriptions");
    assert_eq!(refusals(&program, &[], "too_many_waiting_subscriptions").await, 1);
}

#[tokio::test]
async fn the_time_for_a_request() {
    // Long enough for those that are whole, on a machine that has much to do.
    let (_folder, program) = by("[gateway]\nrequest_timeout = \"5s\"").await;
    let told = async |request: &str| {
        let mut stream = tokio::net::TcpStream::connect(program.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    };
    // A head that never ends, and a body that never comes.
    tokio::join!(
        told("GET /executions HTTP/1.1\r\nhost: localhost\r\n"),
        told(
            "POST /workflows/steps/executions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: 9\r\nconnection: close\r\n\r\n"
        ),
    );
    assert_eq!(refusals(&program, &[], "request_timeout").await, 2, "both are counted");
}
