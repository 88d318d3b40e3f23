//! However a run ends, it ends with one terminal entry, the last one.

use std::time::Duration;

use serde_json::{Value, json};
use streamnest::{Streamnest, core::ExecutionId};
use streamnest_tests::{http, server::Server, socket::Socket, workflows::Steps};

async fn server() -> Server {
    Server::start(Streamnest::builder().workflow(Steps::default())).await
}

/// Starts `steps` with this input on `socket`, and follows it.
async fn start(socket: &mut Socket, id: &str, input: Value) {
    socket.send("start_execution", json!({"workflow": "steps", "executionId": id, "input": input})).await;
    let started = socket.expect("execution_started").await;
    assert_eq!(started["payload"]["executionId"], id);
    socket.subscribe(id, json!({})).await;
}

/// Checks that exactly the last of `entries` is a terminal status, and that the log is sealed after it; returns it.
fn ending(server: &Server, id: &str, entries: &[Value]) -> Value {
    let terminal = |entry: &&Value| entry["type"] == "status" && entry["payload"]["status"] != "running";
    assert_eq!(entries.iter().filter(terminal).count(), 1, "one terminal entry");
    let last = entries.last().unwrap();
    assert!(terminal(&last), "{last}");
    let head = server.app.logs().get(&id.parse::<ExecutionId>().unwrap()).unwrap().head();
    assert!(head.sealed);
    assert_eq!(last["sequence"], head.last.get());
    last["payload"].clone()
}

#[tokio::test]
async fn a_run_that_completes_says_so_last_and_each_node_ran_once() {
    let server = server().await;
    let mut socket = Socket::connect(server.address).await;
    // A colon in the id is nothing special.
    start(&mut socket, "tenant:run:1", json!({"tokens": 3})).await;
    let entries = socket.entries().await;
    let payload = ending(&server, "tenant:run:1", &entries);
    assert_eq!(payload["status"], "completed");
    assert_eq!(payload["result"]["text"], "t0 t1 t2 ");
    let started: Vec<_> = entries
        .iter()
        .filter(|entry| entry["payload"]["type"] == "node_start")
        .map(|entry| (entry["nodeId"].as_str().unwrap(), entry["payload"]["data"]["visit"].as_u64().unwrap()))
        .collect();
    assert_eq!(started, [("stream", 1), ("confirm", 1)]);
    let text: String = entries.iter().filter_map(|entry| entry["payload"]["content"].as_str()).collect();
    assert_eq!(text, "t0 t1 t2 ");
}

#[tokio::test]
async fn a_panic_a_failure_and_a_timeout_each_end_the_run_and_keep_what_was_said() {
    let server = server().await;
    for (then, code) in [("panic", "node_panicked"), ("fail", "node_failed")] {
        let mut socket = Socket::connect(server.address).await;
        start(&mut socket, then, json!({"tokens": 2, "then": then})).await;
        let entries = socket.entries().await;
        let payload = ending(&server, then, &entries);
        assert_eq!(payload["status"], "failed");
        assert_eq!(payload["error"]["code"], code);
        assert_eq!(payload["error"]["nodeId"], "stream");
        let told = entries.iter().map(Value::to_string).collect::<String>();
        assert!(!told.contains("hunter2"), "an internal text reached a client");
        let text: String = entries.iter().filter_map(|entry| entry["payload"]["content"].as_str()).collect();
        assert_eq!(text, "t0 t1 ");
        let progress = entries.iter().rfind(|entry| entry["type"] == "progress").unwrap();
        assert_eq!(progress["payload"]["outcome"], "failed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_ended_by_its_timeout() {
    let app = Streamnest::builder().workflow(Steps::default()).build().await.unwrap();
    let run = app.start("steps", json!({"tokens": 1, "then": "hang"})).await.unwrap();
    let began = tokio::time::Instant::now();
    let error = run.result().await.unwrap_err();
    assert_eq!(error.code(), "node_timeout");
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test]
async fn after_a_cancel_is_accepted_no_token_follows() {
    let server = server().await;
    let mut socket = Socket::connect(server.address).await;
    // As fast as it goes, so that much is owed when the cancel comes.
    start(&mut socket, "cancelled", json!({"tokens": 10_000_000})).await;
    for _ in 0..20 {
        socket.expect("token").await;
    }
    socket.send("cancel_execution", json!({"executionId": "cancelled", "reason": "enough"})).await;
    let mut accepted = false;
    let mut ended = None;
    while !(accepted && ended.is_some()) {
        let frame = socket.next().await.unwrap();
        match frame["type"].as_str().unwrap() {
            "cancel_accepted" => accepted = true,
            "token" => assert!(!accepted, "a token after the cancel was accepted: {frame}"),
            "status" if frame["payload"]["status"] != "running" => ended = Some(frame),
            _ => {}
        }
    }
    let payload = &ended.unwrap()["payload"];
    assert_eq!(payload["status"], "cancelled");
    assert_eq!(payload["reason"], "enough");
    // Again is the same.
    let cancel = Some(json!({}));
    let (status, _) =
        http::json(server.address, "POST", "/executions/cancelled/cancel", &[], cancel.as_ref()).await;
    assert_eq!(status, 202);
}

#[tokio::test]
async fn two_runs_never_see_each_other() {
    let server = server().await;
    let mut one = Socket::connect(server.address).await;
    let mut other = Socket::connect(server.address).await;
    start(&mut one, "one", json!({"tokens": 30, "pause_ms": 2})).await;
    start(&mut other, "other", json!({"tokens": 30, "pause_ms": 2})).await;
    for (socket, id) in [(&mut one, "one"), (&mut other, "other")] {
        let entries = socket.entries().await;
        assert!(entries.len() > 30);
        assert!(entries.iter().all(|entry| entry["executionId"] == id));
    }
}

#[tokio::test]
async fn a_client_that_is_gone_does_not_end_the_run() {
    let server = server().await;
    let mut socket = Socket::connect(server.address).await;
    start(&mut socket, "left", json!({"tokens": 50, "pause_ms": 2})).await;
    socket.expect("token").await;
    drop(socket);
    let log = server.app.logs().get(&"left".parse::<ExecutionId>().unwrap()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        while !log.head().sealed {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let mut late = Socket::connect(server.address).await;
    late.subscribe("left", json!({})).await;
    let entries = late.entries().await;
    assert_eq!(ending(&server, "left", &entries)["status"], "completed");
    assert_eq!(entries[0]["sequence"], 1);
}

#[tokio::test]
async fn a_list_goes_on_after_an_execution_that_is_there_and_after_no_other() {
    let server = server().await;
    for id in ["a", "b", "c"] {
        let mut socket = Socket::connect(server.address).await;
        start(&mut socket, id, json!({"tokens": 1})).await;
        socket.entries().await;
    }
    let page = |path: &'static str| http::json(server.address, "GET", path, &[], None);
    let (_, first) = page("/executions?limit=2").await;
    let ids = |page: &Value| -> Vec<String> {
        let executions = page["executions"].as_array().unwrap();
        executions.iter().map(|execution| execution["executionId"].as_str().unwrap().into()).collect()
    };
    assert_eq!(ids(&first), ["c", "b"]);
    assert_eq!(first["next"], "b");
    let (_, second) = page("/executions?limit=2&after=b").await;
    assert_eq!(ids(&second), ["a"]);
    assert!(second.get("next").is_none());
    let (status, refused) = page("/executions?after=gone").await;
    assert_eq!((status.as_u16(), &refused["error"]["code"]), (404, &json!("unknown_execution")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_the_terminal_entry_may_delete_the_execution_at_once() {
    let directory = tempfile::tempdir().unwrap();
    // With a disk there is a moment between the entry that is read and the end of the run's own task.
    let builder = Streamnest::builder().workflow(Steps::default()).data_dir(directory.path());
    let server = Server::start(builder).await;
    let mut socket = Socket::connect(server.address).await;
    let json = [("content-type", "application/json")];
    for number in 0..100 {
        let id = format!("short-{number}");
        start(&mut socket, &id, json!({"tokens": 1})).await;
        assert_eq!(socket.entries().await.last().unwrap()["payload"]["status"], "completed");
        let path = format!("/executions/{id}");
        let (status, body) = http::json(server.address, "DELETE", &path, &json, None).await;
        assert_eq!(status, 202, "{id}: {body}");
        assert_eq!(http::json(server.address, "GET", &path, &[], None).await.0, 404);
    }
}
