//! Executions as streams.

use std::time::Duration;

use serde_json::{Value, json};
use streamnest_core::{EventType, payload::StatusUpdate};
use tokio::time::{sleep, timeout};

use super::{CLOSED, JSON, TEXT, next};
use crate::{
    engine::say,
    server::{PATIENCE, Server},
    socket::Socket,
};

const RUN: &str = "/v1/stream/executions/run";

fn by(epoch: &'static str, seq: &'static str) -> [(&'static str, &'static str); 4] {
    [JSON, ("producer-id", "worker"), ("producer-epoch", epoch), ("producer-seq", seq)]
}

fn token(content: &str) -> String {
    json!({"type": "token", "nodeId": "write", "payload": {"content": content}}).to_string()
}

/// The frames of an execution, as the native protocol's event stream has them.
async fn frames(server: &Server, id: &str) -> Vec<String> {
    let body = server.get(&format!("/executions/{id}/events")).await.body;
    body.lines().filter_map(|line| line.strip_prefix("data: ")).map(Into::into).collect()
}

#[tokio::test]
async fn every_execution_is_a_stream_of_its_frames() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 5).await;
    let path = "/v1/stream/executions/a";
    let open = server.get(path).await;
    assert_eq!((open.header("content-type"), open.header("stream-closed")), (Some("application/json"), None));
    let offset = next(&open);
    writer.finish(StatusUpdate::completed(json!(1))).await.unwrap();
    let rest = server.read(path, &format!("offset={offset}")).await;
    assert_eq!(rest.header("stream-closed"), Some("true"));
    let whole = server.get(path).await;
    assert_eq!(whole.body, format!("[{}]", frames(&server, "a").await.join(",")));
    let (first, last): (Vec<Value>, Vec<Value>) =
        (serde_json::from_str(&open.body).unwrap(), serde_json::from_str(&rest.body).unwrap());
    assert_eq!([first, last].concat(), serde_json::from_str::<Vec<Value>>(&whole.body).unwrap());
    let head = server.ask("HEAD", path, &[], "").await;
    assert_eq!((head.header("stream-closed"), next(&head)), (Some("true"), next(&whole)));
    // A position of the one protocol is one of the other.
    assert_eq!(
        serde_json::from_str::<Value>(frames(&server, "a").await.last().unwrap()).unwrap()["position"],
        next(&whole)
    );
}

#[tokio::test]
async fn a_program_outside_speaks_and_native_readers_hear_it() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server).await;
    socket
        .send(json!({"type": "subscribe_execution", "payload": {"executionId": "run", "wait": true}}))
        .await;
    let made = server.put(RUN, &[JSON], "").await;
    assert_eq!(made.status, 201);
    assert_eq!(server.append(RUN, &by("0", "0"), &token("Hello")).await.status, 200);
    // The answer was lost, so it asks again.
    assert_eq!(server.append(RUN, &by("0", "0"), &token("Hello")).await.status, 204);
    let more = format!(
        r#"[{},{{"type":"progress","nodeId":"write","payload":{{"progress":50}}}},{{"type":"event","payload":{{"type":"chapter","data":[1]}}}}]"#,
        token(" you")
    );
    assert_eq!(server.append(RUN, &by("0", "1"), &more).await.status, 200);
    let closed = server.append(RUN, &[CLOSED], "").await;
    assert_eq!((closed.status, closed.header("stream-closed")), (204, Some("true")));
    assert_eq!(server.append(RUN, &[CLOSED], "").await.status, 204);
    server.append(RUN, &by("0", "2"), &token("late")).await.error(409, "stream_closed");
    let mut heard = Vec::new();
    while heard.last().is_none_or(|frame: &Value| frame["payload"]["status"] != "completed") {
        let frame = timeout(PATIENCE, socket.next()).await.unwrap();
        if frame.get("sequence").is_some() {
            heard.push(frame);
        }
    }
    let kinds: Vec<_> = heard.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["status", "token", "token", "progress", "event", "status"]);
    let text: String = heard.iter().filter_map(|frame| frame["payload"]["content"].as_str()).collect();
    assert_eq!(text, "Hello you");
    let stream: Vec<Value> = serde_json::from_str(&server.get(RUN).await.body).unwrap();
    assert_eq!(stream.len(), heard.len());
}

#[tokio::test]
async fn an_entry_with_a_key_is_taken_once() {
    let server = Server::start().await;
    let paid = |key: &str| {
        format!(r#"{{"type":"event","once":"{key}","payload":{{"type":"paid","data":"{key}"}}}}"#)
    };
    server.put(RUN, &[JSON], &paid("a")).await.error(400, "invalid_entry");
    server.put(RUN, &[JSON], "").await;
    for _ in 0..2 {
        let both = format!("[{},{},{}]", paid("a"), token("x"), paid("b"));
        assert_eq!(server.append(RUN, &[JSON], &both).await.status, 204);
    }
    assert_eq!(server.append(RUN, &[JSON], &paid("b")).await.status, 204);
    server.append(RUN, &[JSON], &paid(&"k".repeat(1_020))).await.error(400, "invalid_entry");
    let stream: Vec<Value> = serde_json::from_str(&server.get(RUN).await.body).unwrap();
    let said: Vec<_> = stream.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(said, ["status", "event", "token", "event", "token"]);
}

#[tokio::test]
async fn how_an_execution_stands_is_not_for_its_producer_to_say() {
    let server = Server::start().await;
    server.put(RUN, &[], "").await;
    let event = |known: &EventType| {
        let data =
            json!({"ask": "ask1", "nodeId": "a", "visit": 1, "attempt": 1, "question": "?", "schema": {}});
        json!({"type": "event", "nodeId": "a", "payload": {"type": known, "data": data}})
    };
    let status = json!({"type": "status", "payload": {"status": "completed"}});
    for entry in EventType::FRAMEWORK.iter().map(event).chain([status]) {
        let good = json!({"type": "event", "payload": {"type": "a", "data": 1}});
        let refused = server.append(RUN, &[JSON], &json!([good, entry]).to_string()).await;
        assert!(refused.error(400, "lifecycle_entry").contains("entry 1"));
    }
    server.append(RUN, &[JSON], r#"{"type":"token"}"#).await.error(400, "invalid_entry");
    server.append(RUN, &[TEXT], "x").await.error(409, "content_type_mismatch");
    let read: Vec<Value> = serde_json::from_str(&server.get(RUN).await.body).unwrap();
    assert_eq!(read.len(), 1, "only the server's own: {read:?}");
}

#[tokio::test]
async fn a_running_execution_is_neither_deleted_nor_forked_nor_taken_over() {
    let server = Server::start().await;
    server.put(RUN, &[], "").await;
    server.ask("DELETE", RUN, &[], "").await.error(409, "still_running");
    let from = |path: &'static str| [("stream-forked-from", path)];
    server.put("/v1/stream/fork", &from(RUN), "").await.error(409, "not_forked");
    server.put("/v1/stream/a", &[TEXT], "").await;
    server.put("/v1/stream/executions/fork", &from("/v1/stream/a"), "").await.error(409, "not_forked");
    assert_eq!(server.put(RUN, &[JSON], "").await.status, 200, "it is there already");
    let writer = server.held("held").await;
    let held = "/v1/stream/executions/held";
    server.put(held, &[JSON], "").await.error(409, "stream_exists");
    server.append(held, &[JSON], &token("x")).await.error(405, "not_its_producer");
    server.append(held, &[CLOSED], "").await.error(405, "not_its_producer");
    server.ask("DELETE", held, &[], "").await.error(409, "still_running");
    assert!(!writer.log().head().sealed);
    server.append("/v1/stream/executions/none", &[JSON], &token("x")).await.error(404, "unknown_execution");
    server.append(RUN, &[CLOSED], "").await;
    assert_eq!(server.ask("DELETE", RUN, &[], "").await.status, 204);
    server.get(RUN).await.error(404, "unknown_execution");
}

#[tokio::test]
async fn an_execution_can_be_made_and_ended_in_one_piece() {
    let server = Server::start().await;
    let made = server.put(RUN, &[JSON, CLOSED], &format!("[{}]", token("all"))).await;
    assert_eq!((made.status, made.header("stream-closed")), (201, Some("true")));
    let read: Vec<Value> = serde_json::from_str(&server.get(RUN).await.body).unwrap();
    let states: Vec<_> = read.iter().map(|frame| frame["payload"]["status"].as_str()).collect();
    assert_eq!(states, [Some("running"), None, Some("completed")]);
}

#[tokio::test]
async fn an_execution_whose_producer_is_silent_fails_by_itself() {
    let server = Server::start().await;
    server.put(RUN, &[JSON, ("stream-ttl", "1")], "").await;
    let log = server.logs.get(&crate::engine::id("run")).unwrap();
    let ended = async {
        while !log.head().sealed {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, ended).await.unwrap();
    let last: Value = serde_json::from_str(frames(&server, "run").await.last().unwrap()).unwrap();
    assert_eq!(
        (&last["payload"]["status"], &last["payload"]["error"]["code"]),
        (&json!("failed"), &json!("expired"))
    );
}

#[tokio::test]
async fn a_live_reader_of_a_stream_counts_as_a_subscriber() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let poll = server.send("GET", "/v1/stream/executions/a?offset=now&live=sse", &[], "").await;
    timeout(PATIENCE, writer.log().subscribers_become(|count| count == 1)).await.unwrap();
    drop(poll);
    timeout(PATIENCE, writer.log().subscribers_become(|count| count == 0)).await.unwrap();
}
