//! From a node to a client: when it arrives, and from where.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;
use streamnest::{Streamnest, core::ExecutionId};
use streamnest_client::{Client, Item};
use streamnest_tests::{http, server::Server, socket::Socket, workflows::Steps};
use tokio::sync::Semaphore;

#[tokio::test]
async fn the_first_token_reaches_a_client_while_the_node_is_held_open() {
    let permits = Arc::new(Semaphore::new(1));
    let server = Server::start(Streamnest::builder().workflow(Steps { permits: permits.clone() })).await;
    let mut socket = Socket::connect(server.address).await;
    let start = json!({"workflow": "steps", "executionId": "held", "input": {"tokens": 2}});
    socket.send("start_execution", start).await;
    socket.subscribe("held", json!({"events": ["token", "node_complete"]})).await;
    let token = socket.expect("token").await;
    assert_eq!(token["payload"]["content"], "t0 ");
    // The node waits for its second permit, so it cannot have ended.
    assert!(!server.app.logs().get(&"held".parse::<ExecutionId>().unwrap()).unwrap().head().sealed);
    permits.add_permits(1);
    assert_eq!(socket.expect("token").await["payload"]["content"], "t1 ");
    assert_eq!(socket.expect("event").await["payload"]["type"], "node_complete");
}

#[tokio::test]
async fn a_client_resumes_at_every_position_over_both_ways_with_the_same_entries() {
    let server = Server::start(Streamnest::builder().workflow(Steps::default())).await;
    let run = server.app.start("steps", json!({"tokens": 20})).await.unwrap();
    run.result().await.unwrap();
    let id = run.execution_id().as_str();
    let mut socket = Socket::connect(server.address).await;
    socket.subscribe(id, json!({})).await;
    let all = socket.entries().await;
    assert_eq!(all.len() as u64, run.log().head().last.get());
    for (index, entry) in all.iter().enumerate() {
        let position = entry["position"].as_str().unwrap();
        let rest = &all[index + 1..];
        let mut events = Vec::new();
        if let Some(mut stream) = http::EventStream::open(server.address, id, Some(position)).await {
            while let Some((_, frame)) = stream.next().await {
                events.push(frame);
            }
        }
        assert_eq!(events, rest, "after {position}");
        if !rest.is_empty() {
            let mut socket = Socket::connect(server.address).await;
            socket.subscribe(id, json!({"from": position})).await;
            assert_eq!(socket.entries().await, rest, "after {position}");
        }
    }
}

#[tokio::test]
async fn trimming_behind_a_client_is_told_as_one_gap_of_the_right_range() {
    let server = Server::start(Streamnest::builder().workflow(Steps::default())).await;
    let run = server.app.start("steps", json!({"tokens": 50})).await.unwrap();
    run.result().await.unwrap();
    run.log().trim(streamnest::core::Seq::try_from(30).unwrap()).unwrap();
    let mut socket = Socket::connect(server.address).await;
    let from = run.log().position(streamnest::core::Seq::try_from(10).unwrap()).to_string();
    socket.subscribe(run.execution_id(), json!({"from": from})).await;
    let mut gaps = Vec::new();
    let mut sequences = BTreeSet::new();
    while sequences.last() != Some(&run.log().head().last.get()) {
        let frame = socket.next().await.unwrap();
        if frame["type"] == "gap" {
            gaps.push((frame["payload"]["from"].as_u64().unwrap(), frame["payload"]["to"].as_u64().unwrap()));
            assert_eq!(frame["payload"]["reason"], "trimmed");
        }
        sequences.extend(frame["sequence"].as_u64());
    }
    assert_eq!(gaps, [(11, 30)]);
    assert_eq!(sequences.first(), Some(&31));
}

#[tokio::test]
async fn the_rust_client_follows_a_run_to_its_end() {
    let server = Server::start(Streamnest::builder().workflow(Steps::default())).await;
    let client = Client::new(&format!("http://{}", server.address)).unwrap();
    let started = client.start("steps", json!({"tokens": 5, "pause_ms": 5})).await.unwrap();
    let id: ExecutionId = started.execution_id.clone();
    let mut subscription = client.subscribe(id).connect().await.unwrap();
    let mut text = String::new();
    let mut last = 0;
    while let Some(item) = subscription.next().await {
        let Item::Entry(entry) = item.unwrap() else { panic!("nothing was trimmed") };
        assert_eq!(entry.sequence.get(), last + 1);
        last += 1;
        let payload: serde_json::Value = serde_json::from_str(entry.payload.get()).unwrap();
        if let Some(content) = payload["content"].as_str() {
            text.push_str(content);
        }
    }
    assert_eq!(text, "t0 t1 t2 t3 t4 ");
}

#[tokio::test]
async fn a_broadcast_is_an_entry_that_can_be_replayed() {
    let permits = Arc::new(Semaphore::new(0));
    let server = Server::start(Streamnest::builder().workflow(Steps { permits: permits.clone() })).await;
    let run = server.app.start("steps", json!({"tokens": 1})).await.unwrap();
    let sockets = server.app.sockets();
    sockets.broadcast_to_execution(run.execution_id(), "workflow_update", json!({"step": 1})).await.unwrap();
    permits.add_permits(1);
    run.result().await.unwrap();
    let mut socket = Socket::connect(server.address).await;
    socket.subscribe(run.execution_id(), json!({"events": ["workflow_update"]})).await;
    assert_eq!(
        socket.expect("event").await["payload"],
        json!({"type": "workflow_update", "data": {"step": 1}})
    );
}
