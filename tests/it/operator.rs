//! What whoever runs a program sees of it: numbers that move when what they count happens, and a log that machines read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    net::SocketAddr,
    time::Duration,
};

use serde_json::{Value, json};
use streamnest_tests::{
    http::{self, EventStream},
    program::Program,
    socket::Socket,
};
use tokio::time::{sleep, timeout};

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
const PATIENCE: Duration = Duration::from_secs(20);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Every sample, by its name with its labels.
async fn samples(server: SocketAddr) -> BTreeMap<String, f64> {
    let (response, _) = http::request(server, "GET", "/metrics", &[], None).await;
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

async fn start(server: SocketAddr, id: &str, input: Value) -> Value {
    let body = json!({"executionId": id, "input": input});
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("traceparent", traceparent.as_str())];
    http::json(server, "POST", "/workflows/steps/executions", &headers, Some(&body)).await.1
}

/// Visits the server once in every way that is counted.
async fn visit(server: SocketAddr, name: &str) {
    start(server, name, json!({"tokens": 5, "pause_ms": 10})).await;
    let mut socket = Socket::connect(server).await;
    socket.subscribe(name, json!({})).await;
    let entries = socket.entries().await;
    let mut events = EventStream::open(server, name, None).await.unwrap();
    while events.next().await.is_some() {}
    // Each comes back in the middle, as one that lost its connection does.
    let middle = entries[entries.len() / 2]["position"].as_str().unwrap();
    let mut back = Socket::connect(server).await;
    back.subscribe(name, json!({"from": middle})).await;
    back.entries().await;
    let mut events = EventStream::open(server, name, Some(middle)).await.unwrap();
    while events.next().await.is_some() {}
    assert_eq!(http::json(server, "GET", "/executions/nobody", &[], None).await.0, 404);
    // A position of another incarnation is a gap, and the tenth bad frame closes.
    let mut stranger = Socket::connect(server).await;
    stranger.subscribe(name, json!({"from": "0000000000000001_0000000000000001"})).await;
    stranger.expect("gap").await;
    for _ in 0..10 {
        stranger.send_text("no frame".into()).await;
    }
    while stranger.next().await.is_some() {}
    start(server, &format!("{name}-fails"), json!({"tokens": 1, "then": "fail"})).await;
    let mut socket = Socket::connect(server).await;
    socket.subscribe(&format!("{name}-fails"), json!({})).await;
    socket.entries().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_number_of_a_running_program_moves_by_what_it_counts_and_labels_do_not_grow() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(SERVER, directory.path()).await;
    let server = program.address;
    let all_gone = || async {
        loop {
            let now = samples(server).await;
            let open = ["websocket", "sse"]
                .map(|kind| now[&format!("streamnest_connections{{transport=\"{kind}\"}}")]);
            if open == [0.0, 0.0] && now["streamnest_runs"] == 0.0 {
                break now;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let at_start = samples(server).await;
    visit(server, "first").await;
    let once = timeout(PATIENCE, all_gone()).await.expect("all have left");
    visit(server, "second").await;
    let twice = timeout(PATIENCE, all_gone()).await.expect("all have left");
    for (name, by_one_visit) in [
        ("streamnest_connected_total{transport=\"websocket\"}", Some(4.0)),
        ("streamnest_connected_total{transport=\"sse\"}", Some(2.0)),
        ("streamnest_sent_bytes_total{transport=\"websocket\"}", None),
        ("streamnest_sent_bytes_total{transport=\"sse\"}", None),
        ("streamnest_writes_total{transport=\"websocket\"}", None),
        ("streamnest_writes_total{transport=\"sse\"}", None),
        ("streamnest_reconnects_total{transport=\"websocket\"}", Some(2.0)),
        ("streamnest_reconnects_total{transport=\"sse\"}", Some(1.0)),
        ("streamnest_resumes_total{transport=\"websocket\"}", Some(2.0)),
        ("streamnest_resumes_total{transport=\"sse\"}", Some(1.0)),
        ("streamnest_gaps_total{reason=\"epoch\"}", Some(1.0)),
        ("streamnest_refusals_total{code=\"unknown_execution\"}", Some(1.0)),
        ("streamnest_refusals_total{code=\"bad_frame\"}", Some(10.0)),
        ("streamnest_closes_total{code=\"4400\"}", Some(1.0)),
        ("streamnest_run_duration_seconds_count{status=\"completed\"}", Some(1.0)),
        ("streamnest_run_duration_seconds_count{status=\"failed\"}", Some(1.0)),
        ("streamnest_first_token_seconds_count", Some(2.0)),
        ("streamnest_token_gap_seconds_count", Some(1.0)),
        ("streamnest_token_entries_total", Some(6.0)),
        ("streamnest_logs", Some(2.0)),
        ("streamnest_log_bytes", None),
    ] {
        let before = at_start.get(name).copied().unwrap_or_default();
        let (first, second) = (once[name] - before, twice[name] - once[name]);
        match by_one_visit {
            Some(count) => assert_eq!((first, second), (count, count), "{name}"),
            None => assert!(first > 0.0 && second > 0.0, "{name}: {first}, {second}"),
        }
    }
    // Another visitor with other names brings no label that was not there, so their number is bounded by what can happen.
    let names = |samples: &BTreeMap<String, f64>| samples.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&twice), names(&once));
    for name in once.keys() {
        assert!(!name.contains("first") || name.starts_with("streamnest_first_token_seconds"), "{name}");
    }
    // What goes on now is counted while it does.
    start(server, "held", json!({"tokens": 1, "then": "hang"})).await;
    let mut socket = Socket::connect(server).await;
    socket.subscribe("held", json!({})).await;
    socket.expect("token").await;
    let now = samples(server).await;
    assert_eq!((now["streamnest_runs"], now["streamnest_subscriptions"]), (1.0, 1.0));
    assert!(now["streamnest_tasks"] > at_start["streamnest_tasks"]);
    let (status, statistics) = http::json(server, "GET", "/admin/statistics", &[], None).await;
    assert_eq!(status, 200);
    assert_eq!((&statistics["runs"], &statistics["subscriptions"]), (&json!(1), &json!(1)));
    assert_eq!(statistics["connections"], json!({"webSocket": 1, "eventStream": 0}));
    program.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_logs_one_json_object_a_line_with_execution_workflow_and_trace() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let (data, file) = (directory.path().join("data"), File::create(&log).unwrap());
    let program = Program::start_logging(SERVER, &data, &["--log-format", "json"], file).await;
    start(program.address, "a", json!({"tokens": 1, "then": "fail"})).await;
    let mut socket = Socket::connect(program.address).await;
    socket.subscribe("a", json!({})).await;
    socket.entries().await;
    program.terminate();
    timeout(PATIENCE, program.ended()).await.expect("it stops");
    let text = fs::read_to_string(&log).unwrap();
    let read = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let lines: Vec<_> = text.lines().map(read).collect();
    let has = |line: &Value, key: &str| line[key].is_string();
    for line in &lines {
        assert!(["timestamp", "level", "target"].iter().all(|key| has(line, key)), "{line}");
    }
    let said = |text: &str| {
        let found = lines.iter().find(|line| line["fields"]["message"] == text);
        &found.unwrap_or_else(|| panic!("`{text}` stands nowhere in the log"))["fields"]
    };
    let started = said("execution started");
    assert_eq!((&started["execution"], &started["workflow"]), (&json!("a"), &json!("steps")));
    assert_eq!(started["trace"], TRACE, "it belongs to the trace of whoever started it");
    assert_eq!(said("execution ended")["status"], "failed");
    said("server drains");
}
