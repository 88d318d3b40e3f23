//! A process that is told to stop by SIGTERM, from the first request after that to the next process on its data.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde_json::{Value, json};
use streamnest_tests::{
    follower::Http,
    http::{self, EventStream},
    program::Program,
    socket::Socket,
};
use tokio::time::{Instant, timeout};

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
/// What the program is told of its end.
const GRACE: Duration = Duration::from_secs(8);
const JITTER: Duration = Duration::from_millis(500);
const CLOSE: Duration = Duration::from_secs(2);
/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

async fn program(directory: &Path) -> Program {
    let options = directory.join("options.toml");
    let text = format!(
        "[gateway]\ndrain_grace = \"{GRACE:?}\"\ndrain_jitter = \"{JITTER:?}\"\nclose_timeout = \"{CLOSE:?}\"\n"
    );
    std::fs::write(&options, text).unwrap();
    Program::start_with(SERVER, &directory.join("data"), &["--config", options.to_str().unwrap()]).await
}

async fn start(server: SocketAddr, id: &str, input: Value) -> (u16, Value) {
    let body = json!({"executionId": id, "input": input});
    let (status, answer) = http::json(server, "POST", "/workflows/steps/executions", &[], Some(&body)).await;
    (status.as_u16(), answer)
}

/// Every entry that a subscriber still gets, and the code with which it is closed.
async fn to_the_end(mut socket: Socket) -> (Vec<Value>, Option<u16>, Instant) {
    let mut entries = Vec::new();
    loop {
        match socket.next_or_code().await {
            Ok(frame) if frame["sequence"].is_number() => entries.push(frame),
            Ok(_) => {}
            Err(code) => return (entries, code, Instant::now()),
        }
    }
}

async fn events_to_the_end(mut events: EventStream) -> Vec<Value> {
    let mut entries = Vec::new();
    while let Some((_, entry)) = events.next().await {
        entries.push(entry);
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_to_stop_is_unready_first_and_each_run_ends_or_is_handed_on() {
    let directory = tempfile::tempdir().unwrap();
    let first = program(directory.path()).await;
    let address = first.address;
    let mut probe = Http::new(address);
    assert_eq!(probe.get("/readyz", &[]).await.unwrap().status(), 200);
    // One that does not come to its end in time, one that a program outside speaks for, and one that does, after half the grace:
    // it goes on when the process is told, and has ended when the grace is over, whatever else the machine has to do meanwhile.
    assert_eq!(start(address, "hangs", json!({"tokens": 1, "then": "hang"})).await.0, 202);
    let token = json!([{"type": "token", "nodeId": "write", "payload": {"content": "Hello"}}]);
    let made = http::json(address, "PUT", "/v1/stream/executions/outside", &[], Some(&token)).await;
    assert_eq!(made.0, 201, "{}", made.1);
    assert_eq!(start(address, "ends", json!({"tokens": 80, "pause_ms": 50})).await.0, 202);
    let mut following = Vec::new();
    for id in ["ends", "hangs", "outside"] {
        let mut socket = Socket::connect(address).await;
        socket.subscribe(id, json!({})).await;
        let events = EventStream::open(address, id, None).await.unwrap();
        following.push((tokio::spawn(to_the_end(socket)), tokio::spawn(events_to_the_end(events))));
    }
    let idle = tokio::spawn(to_the_end(Socket::connect(address).await));

    let told = Instant::now();
    first.terminate();
    // It still answers, and says that it takes nothing new, before anybody who follows something is told.
    let unready =
        async { while probe.get("/readyz", &[]).await.is_none_or(|answer| answer.status() != 503) {} };
    timeout(PATIENCE, unready).await.expect("readiness is false");
    let unready_after = told.elapsed();
    let (status, answer) = start(address, "late", json!({"tokens": 1})).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("draining")));
    assert_eq!(http::json(address, "GET", "/healthz", &[], None).await.0, 200);
    assert!(following.iter().all(|(socket, events)| !socket.is_finished() && !events.is_finished()));
    let (_, code, idle_told) = timeout(PATIENCE, idle).await.unwrap().unwrap();
    assert_eq!(code, Some(1001), "who follows nothing is let go first");

    timeout(PATIENCE, first.ended()).await.expect("it stops by itself");
    let stopped = told.elapsed();
    let mut ends = Vec::new();
    for (socket, events) in following {
        let (entries, code, told_at) = socket.await.unwrap();
        let events = events.await.unwrap();
        assert_eq!(code, Some(1001));
        assert_eq!(entries, events, "both have read the same");
        assert!(told_at > idle_told);
        ends.push((entries.last().unwrap().clone(), told_at.duration_since(told)));
    }
    let told_last = ends.iter().map(|(_, told)| *told).max().unwrap();
    println!(
        "unready_ms={} idle_told_ms={} last_told_ms={} stopped_ms={} grace_ms={}",
        unready_after.as_millis(),
        idle_told.duration_since(told).as_millis(),
        told_last.as_millis(),
        stopped.as_millis(),
        GRACE.as_millis()
    );
    let payloads: Vec<_> = ends.iter().map(|(last, _)| &last["payload"]).collect();
    assert_eq!(payloads[0]["status"], "completed");
    assert_eq!(*payloads[1], json!({"status": "cancelled", "reason": "server is shutting down"}));
    assert_eq!(payloads[2]["content"], "Hello", "who speaks for it has not ended it");
    assert!(stopped >= GRACE, "what hangs had its grace: {stopped:?}");
    assert!(stopped < GRACE + JITTER + CLOSE + Duration::from_secs(5), "{stopped:?}");

    // The next process has it all; what was handed on goes on where it was.
    let second = program(directory.path()).await;
    let address = second.address;
    for (id, status) in [("ends", "completed"), ("hangs", "cancelled"), ("outside", "running")] {
        let (_, shown) = http::json(address, "GET", &format!("/executions/{id}"), &[], None).await;
        assert_eq!(shown["status"], status, "{shown}");
    }
    assert_eq!(http::json(address, "GET", "/executions/late", &[], None).await.0, 404);
    for (last, _) in &ends[..2] {
        let id = last["executionId"].as_str().unwrap();
        assert!(EventStream::open(address, id, last["position"].as_str()).await.is_none(), "{id} has ended");
    }
    let mut events = EventStream::open(address, "outside", ends[2].0["position"].as_str()).await.unwrap();
    let close = [("stream-closed", "true")];
    assert_eq!(
        http::json(address, "POST", "/v1/stream/executions/outside", &close, Some(&token)).await.0,
        204
    );
    let mut rest = Vec::new();
    while let Some((_, entry)) = events.next().await {
        rest.push(entry["payload"].clone());
    }
    assert_eq!((&rest[0]["content"], &rest[1]), (&json!("Hello"), &json!({"status": "completed"})));
    assert_eq!(rest.len(), 2);
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_twice_stops_at_once_and_the_next_one_ends_what_it_left() {
    let directory = tempfile::tempdir().unwrap();
    let first = program(directory.path()).await;
    let address = first.address;
    assert_eq!(start(address, "hangs", json!({"tokens": 1, "then": "hang"})).await.0, 202);
    let mut probe = Http::new(address);
    first.terminate();
    let unready =
        async { while probe.get("/readyz", &[]).await.is_none_or(|answer| answer.status() != 503) {} };
    timeout(PATIENCE, unready).await.expect("readiness is false");
    let again = Instant::now();
    first.terminate();
    timeout(PATIENCE, first.ended()).await.expect("it stops");
    assert!(
        again.elapsed() < GRACE - Duration::from_secs(1),
        "at once, not after the grace: {:?}",
        again.elapsed()
    );
    let second = program(directory.path()).await;
    let (_, shown) = http::json(second.address, "GET", "/executions/hangs", &[], None).await;
    assert_eq!(shown["status"], "failed");
    let mut socket = Socket::connect(second.address).await;
    socket.subscribe("hangs", json!({})).await;
    assert_eq!(socket.entries().await.last().unwrap()["payload"]["error"]["code"], "interrupted");
    second.kill().await;
}
