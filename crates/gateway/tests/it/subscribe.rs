//! Many subscriptions of one connection, and what each of them gets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamnest_core::{Event, EventType, NodeName, payload::StatusUpdate};
use streamnest_gateway::GatewayOptions;

use crate::{
    engine::{id, say, token},
    server::Server,
    socket::{Socket, contents, sequences},
};

fn named(node: &str, event_type: EventType) -> Event {
    Event::named(Some(NodeName::new(node).unwrap()), event_type, &Value::Null)
}

#[tokio::test]
async fn two_subscriptions_share_a_socket_and_neither_sees_the_others() {
    let server = Server::start().await;
    let (a, b) = (server.held("a").await, server.held("b").await);
    server.held("c").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    socket.expect("status").await;
    socket.subscribe(json!({"executionId": "b", "subscription": "second"})).await;
    socket.expect("status").await;
    tokio::join!(say(&a, 0, 500), say(&b, 1_000, 1_500));
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    while of_a.len() + of_b.len() < 1_000 {
        let entry = socket.expect("token").await;
        match entry["executionId"].as_str() {
            Some("a") => of_a.push(entry),
            Some("b") => of_b.push(entry),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sequences(&of_a), (2..502).collect::<Vec<_>>());
    assert_eq!(sequences(&of_b), (2..502).collect::<Vec<_>>());
    assert!(of_a.iter().all(|entry| entry.get("subscription").is_none()));
    assert!(of_b.iter().all(|entry| entry["subscription"] == "second"));
}

#[tokio::test]
async fn a_long_log_does_not_keep_a_short_one_waiting() {
    let options = GatewayOptions::default().with_max_write_bytes(16 << 10);
    let server = Server::with_options(options).await;
    let long = server.held("long").await;
    say(&long, 0, 20_000).await;
    let short = server.held("short").await;
    say(&short, 0, 3).await;
    let mut socket = Socket::open(&server).await;
    socket.send(json!({"type": "subscribe_execution", "payload": {"executionId": "long"}})).await;
    socket.send(json!({"type": "subscribe_execution", "payload": {"executionId": "short"}})).await;
    let mut before = 0;
    loop {
        let frame = socket.next().await;
        match (frame["type"].as_str(), frame["executionId"].as_str()) {
            (Some("token"), Some("short")) => break,
            (Some("token"), _) => before += 1,
            _ => {}
        }
    }
    assert!(before < 10_000, "{before} entries came before the other subscription had its turn");
}

#[tokio::test]
async fn filters_choose_by_class_type_and_node_and_the_end_always_comes() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let events = [
        named("draft", EventType::NODE_START),
        token("draft", "x"),
        named("review", EventType::NODE_START),
        token("review", "y"),
        named("review", EventType::new("scored").unwrap()),
    ];
    writer.append(events).await.unwrap();
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    for (filter, expected) in [
        (json!({}), vec![1, 2, 3, 4, 5, 6, 7]),
        (json!({"events": ["token"]}), vec![3, 5, 7]),
        (json!({"eventTypes": ["node:start", "scored"]}), vec![2, 4, 6, 7]),
        (json!({"nodes": ["review"]}), vec![4, 5, 6, 7]),
        (json!({"events": ["token", "status"], "nodes": ["draft"]}), vec![3, 7]),
        (json!({"events": ["progress"]}), vec![7]),
    ] {
        for name in [None, Some("s1")] {
            let mut payload = filter.clone();
            payload["executionId"] = "a".into();
            name.into_iter().for_each(|name| payload["subscription"] = name.into());
            let mut socket = Socket::open(&server).await;
            socket.subscribe(payload).await;
            assert_eq!(sequences(&socket.until_end().await), expected, "{filter}");
        }
    }
}

#[tokio::test]
async fn a_heartbeat_tells_how_far_a_filtered_subscription_is() {
    let options = GatewayOptions::default().with_heartbeat_interval(Duration::from_millis(60));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket
        .send(json!({"type": "subscribe_execution", "payload": {"executionId": "a", "events": ["progress"]}}))
        .await;
    say(&writer, 0, 10).await;
    let position = writer.log().position(writer.log().head().last).to_string();
    loop {
        let frame = socket.next().await;
        assert_ne!(frame["type"], "token");
        if frame["type"] == "heartbeat"
            && frame["payload"]["positions"] == json!([{"executionId": "a", "position": position}])
        {
            break;
        }
    }
}

#[tokio::test]
async fn a_flush_window_gathers_what_comes_within_it() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a", "flushWindowMs": 2_000, "from": "now"})).await;
    let since = Instant::now();
    say(&writer, 0, 1).await;
    let early = tokio::time::timeout(Duration::from_millis(100), socket.next()).await;
    assert!(early.is_err(), "sent after {:?}", since.elapsed());
    say(&writer, 1, 5).await;
    let mut entries = Vec::new();
    while entries.len() < 5 {
        entries.push(socket.expect("token").await);
    }
    assert!(since.elapsed() >= Duration::from_millis(1_990), "{:?}", since.elapsed());
    assert_eq!(contents(&entries), ["0", "1", "2", "3", "4"]);
    // The end waits no longer than anything else, and nothing is left behind.
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    assert_eq!(socket.until_end().await.len(), 1);
}

#[tokio::test]
async fn the_gateways_own_flush_window_is_the_default() {
    // Longer than a machine that has much to do takes for what does not wait.
    let long = Duration::from_secs(10);
    for (default, window, waits) in [(Duration::from_millis(300), None, true), (long, Some(0), false)] {
        let server = Server::with_options(GatewayOptions::default().with_flush_window(default)).await;
        let writer = server.held("a").await;
        let mut payload = json!({"executionId": "a", "from": "now"});
        window.into_iter().for_each(|window| payload["flushWindowMs"] = window.into());
        let mut socket = Socket::open(&server).await;
        socket.subscribe(payload).await;
        let since = Instant::now();
        say(&writer, 0, 1).await;
        socket.expect("token").await;
        assert_eq!(since.elapsed() >= default - Duration::from_millis(10), waits, "{window:?}");
    }
}

#[tokio::test]
async fn subscriptions_are_bounded_and_what_has_ended_makes_room() {
    let server = Server::with_options(GatewayOptions::default().with_max_subscriptions(2)).await;
    let a = server.held("a").await;
    for name in ["b", "c"] {
        server.held(name).await;
    }
    let subscribe =
        |execution: &str| json!({"type": "subscribe_execution", "payload": {"executionId": execution}});
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a", "from": "now"})).await;
    socket.send(subscribe("a")).await;
    socket.expect_error("already_subscribed").await;
    socket.subscribe(json!({"executionId": "b", "from": "now"})).await;
    socket.send(subscribe("c")).await;
    assert!(socket.expect_error("too_many_subscriptions").await.contains("max_subscriptions"));
    socket.send(json!({"type": "subscribe_events", "payload": {"eventTypes": ["token"]}})).await;
    socket.expect_error("too_many_subscriptions").await;
    a.finish(StatusUpdate::completed(1.into())).await.unwrap();
    socket.expect("status").await;
    socket.subscribe(json!({"executionId": "c", "from": "now"})).await;
    assert_eq!(server.logs.get(&id("c")).unwrap().subscribers(), 1);
}

#[tokio::test]
async fn a_connection_that_closes_follows_nothing_any_more() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    assert_eq!(writer.log().subscribers(), 1);
    drop(socket);
    let gone = writer.log().subscribers_become(|count| count == 0);
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the cursor is dropped");
}

#[tokio::test]
async fn how_far_each_named_subscription_lags_can_be_asked_whether_it_is_connected_or_not() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let path = "/executions/a/subscriptions";
    assert_eq!(server.get(path).await.json()["subscriptions"], json!([]));
    say(&writer, 0, 9).await;
    let at = |seq: u64| writer.log().position(seq.try_into().unwrap()).to_string();
    let mut socket = Socket::open(&server).await;
    for (name, sequence) in [("billing", 4), ("audit", 10)] {
        let ack = json!({"executionId": "a", "subscription": name, "sequence": sequence});
        socket.send(json!({"type": "ack", "payload": ack})).await;
    }
    // What is delivered at most once counts as acknowledged when it is sent.
    let once = json!({"executionId": "a", "subscription": "screen", "delivery": "at-most-once"});
    socket.subscribe(once).await;
    for _ in 0..10 {
        socket.next().await;
    }
    drop(socket);
    writer.log().subscribers_become(|count| count == 0).await;
    say(&writer, 9, 11).await;
    let told = server.get(path).await.json();
    let named = |name: &str, acknowledged: u64, lag: u64| json!({"subscription": name, "acknowledged": acknowledged, "position": at(acknowledged), "lag": lag});
    let wanted = json!({
        "executionId": "a",
        "last": at(12),
        "subscriptions": [named("audit", 10, 2), named("billing", 4, 8), named("screen", 10, 2)],
    });
    assert_eq!(told, wanted);
    server.get("/executions/none/subscriptions").await.error(404, "unknown_execution");
    server
        .ask("POST", path, &[("content-type", "application/json")], "{}")
        .await
        .error(405, "method_not_allowed");
}
