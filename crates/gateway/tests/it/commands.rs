//! Each request over WebSocket, and how it is refused.

use std::time::Duration;

use serde_json::{Value, json};
use streamnest_core::{OnDisconnect, payload::StatusUpdate};
use streamnest_gateway::GatewayOptions;
use streamnest_log::Writer;

use crate::{
    engine::{id, say},
    server::{PATIENCE, Server},
    socket::{Socket, contents, sequences},
};

fn request(command: &str, payload: Value) -> Value {
    json!({"type": command, "id": "1", "payload": payload})
}

#[tokio::test]
async fn a_connection_is_greeted_with_its_name_and_the_heartbeat() {
    let server = Server::start().await;
    for path in ["/ws", "/"] {
        let (mut socket, _) = Socket::shake(&server, path, &[]).await.unwrap();
        let connected = socket.expect("connected").await;
        assert_eq!(connected["payload"]["heartbeatMs"], 30_000);
        assert_eq!(connected["payload"]["connectionId"].as_str().unwrap().len(), 36);
    }
}

#[tokio::test]
async fn the_subprotocol_is_answered_if_it_is_offered() {
    let server = Server::start().await;
    let offer = [("sec-websocket-protocol", "bearer.x, streamnest.v1")];
    let (_, response) = Socket::shake(&server, "/ws", &offer).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "streamnest.v1");
    let (_, response) = Socket::shake(&server, "/ws", &[]).await.unwrap();
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
}

#[tokio::test]
async fn an_execution_is_started_followed_and_attached_to() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server).await;
    let start = json!({"workflow": "echo", "input": {"tokens": 5}, "executionId": "tenant:run-1", "onDisconnect": "cancel"});
    socket.send(request("start_execution", start.clone())).await;
    let started = socket.expect("execution_started").await;
    assert_eq!(started["replyTo"], "1");
    assert_eq!(started["payload"]["executionId"], "tenant:run-1");
    assert_eq!(started["payload"]["attached"], false);
    assert_eq!(server.engine.on_disconnect(&id("tenant:run-1")), Some(OnDisconnect::Cancel));

    let confirmed = socket.subscribe(json!({"executionId": "tenant:run-1"})).await;
    assert_eq!(confirmed["position"], started["payload"]["position"]);
    let entries = socket.until_end().await;
    assert_eq!(sequences(&entries), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(contents(&entries), ["0", "1", "2", "3", "4"]);

    socket.send(request("start_execution", start)).await;
    assert_eq!(socket.expect("execution_started").await["payload"]["attached"], true);
    socket
        .send(request(
            "start_execution",
            json!({"workflow": "held", "input": {}, "executionId": "tenant:run-1"}),
        ))
        .await;
    socket.expect_error("conflict").await;
}

#[tokio::test]
async fn a_start_that_takes_long_holds_up_only_the_requests_after_it() {
    let options = GatewayOptions::default()
        .with_heartbeat_interval(Duration::from_millis(50))
        .with_pong_timeout(Duration::from_secs(1));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a", "from": "now"})).await;
    socket.send(request("start_execution", json!({"workflow": "echo", "input": {"slow": true}}))).await;
    socket.send(json!({"type": "ping", "id": "2"})).await;
    let mut types = Vec::new();
    // Longer than a pong may take: it lies unread behind the start, and is not held against the client.
    for n in 0..5 {
        say(&writer, n, n + 1).await;
        let until = tokio::time::Instant::now() + Duration::from_millis(300);
        while let Ok(frame) = tokio::time::timeout_at(until, socket.next()).await {
            types.push(frame["type"].as_str().unwrap().to_owned());
        }
    }
    while types.iter().filter(|frame| *frame == "token").count() < 5 {
        types.push(socket.next().await["type"].as_str().unwrap().to_owned());
    }
    assert!(!types.contains(&"pong".into()));
    server.engine.go.notify_one();
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let frame = socket.next().await;
        if frame["type"] != "heartbeat" {
            answers.push(frame["replyTo"].clone());
        }
    }
    assert_eq!(answers, ["1", "2"]);
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server).await;
    socket.send(request("start_execution", json!({"workflow": "none", "input": {}}))).await;
    assert!(socket.expect_error("unknown_workflow").await.contains("echo, held"));
    socket.send(request("start_execution", json!({"workflow": "echo", "input": 1}))).await;
    socket.expect_error("invalid_input").await;
    socket.send(request("start_execution", json!({"workflow": "echo"}))).await;
    assert!(socket.expect_error("missing_field").await.contains("input"));
    socket
        .send(request("start_execution", json!({"workflow": "echo", "input": {}, "executionId": "a/b"})))
        .await;
    socket.expect_error("invalid_execution_id").await;
}

#[tokio::test]
async fn a_cancel_is_accepted_and_the_log_ends_with_it() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    say(&writer, 0, 2).await;
    socket.send(request("cancel_execution", json!({"executionId": "a", "reason": "enough"}))).await;
    let mut frames = Vec::new();
    while frames.len() < 5 {
        frames.push(socket.next().await);
    }
    assert_eq!(frames.iter().filter(|frame| frame["type"] == "cancel_accepted").count(), 1);
    let last = frames.iter().rfind(|frame| frame["type"] == "status").unwrap();
    assert_eq!(last["payload"], json!({"status": "cancelled", "reason": "enough"}));
    assert!(socket.is_silent().await);

    socket.send(request("cancel_execution", json!({"executionId": "a"}))).await;
    socket.expect("cancel_accepted").await;
    socket.send(request("cancel_execution", json!({"executionId": "none"}))).await;
    socket.expect_error("unknown_execution").await;
}

#[tokio::test]
async fn a_signal_is_accepted_or_refused_with_the_reason() {
    let server = Server::start().await;
    server.post("/workflows/held/executions", r#"{"input":{},"executionId":"a"}"#).await;
    let mut socket = Socket::open(&server).await;
    let signal = |ask: &str, answer: Value| {
        request("signal", json!({"executionId": "a", "ask": ask, "answer": answer, "by": "Ada"}))
    };
    socket.send(signal("ask1", json!({"publish": true}))).await;
    let expected = json!({"type": "signal_accepted", "replyTo": "1", "payload": {"executionId": "a", "ask": "ask1", "repeated": false}});
    assert_eq!(socket.expect("signal_accepted").await, expected);
    socket.send(signal("ask1", json!({}))).await;
    assert!(socket.expect_error("invalid_answer").await.contains("`publish` is missing"));
    socket.send(signal("ask2", json!({}))).await;
    socket.expect_error("already_answered").await;
    socket.send(signal("first", json!({}))).await;
    socket.expect_error("invalid_ask_id").await;
    socket.send(request("signal", json!({"executionId": "none", "ask": "ask1", "answer": 1}))).await;
    socket.expect_error("unknown_execution").await;
}

#[tokio::test]
async fn ping_and_status_are_answered() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket.send(request("ping", json!({}))).await;
    assert_eq!(socket.expect("pong").await["replyTo"], "1");

    socket.subscribe(json!({"executionId": "a", "subscription": "s1"})).await;
    socket.expect("status").await;
    say(&writer, 0, 1).await;
    let token = socket.expect("token").await;
    socket.send(json!({"type": "get_status"})).await;
    let status = socket.expect("status_response").await;
    assert!(status.get("replyTo").is_none());
    let expected = json!([{"executionId": "a", "subscription": "s1", "position": token["position"], "lag": 0, "state": "running"}]);
    assert_eq!(status["payload"]["subscriptions"], expected);

    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    socket.expect("status").await;
    socket.send(json!({"type": "get_status"})).await;
    let status = socket.expect("status_response").await;
    assert_eq!(status["payload"]["subscriptions"][0]["state"], "completed");
    assert_eq!(server.logs.get(&id("a")).unwrap().subscribers(), 0, "who has read all follows no more");
}

#[tokio::test]
async fn what_this_version_does_not_have_is_refused_and_not_ignored() {
    let server = Server::start().await;
    server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket.send(request("authentication", json!({"token": "t"}))).await;
    socket.expect_error("not_supported").await;
    socket.send(request("subscribe_execution", json!({"executionId": "a", "form": "start"}))).await;
    assert!(socket.expect_error("unknown_field").await.contains("from"));
    socket.send(request("subscribe", json!({}))).await;
    assert!(socket.expect_error("unknown_type").await.contains("subscribe_execution"));
}

#[tokio::test]
async fn nothing_follows_an_unsubscription() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    socket.expect("status").await;
    socket.send(request("unsubscribe_execution", json!({"executionId": "a"}))).await;
    let confirmed = socket.expect("unsubscription_confirmed").await;
    assert_eq!(
        confirmed,
        json!({"type": "unsubscription_confirmed", "replyTo": "1", "payload": {"executionId": "a"}})
    );
    say(&writer, 0, 3).await;
    assert!(socket.is_silent().await);
    assert_eq!(writer.log().subscribers(), 0);
    socket.send(request("unsubscribe_execution", json!({"executionId": "a"}))).await;
    socket.expect_error("unknown_subscription").await;
}

#[tokio::test]
async fn a_named_subscription_begins_again_after_what_it_acknowledged() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 9).await;
    let named = json!({"executionId": "a", "subscription": "s1", "delivery": "exactly-once"});
    let mut socket = Socket::open(&server).await;
    socket.subscribe(named.clone()).await;
    for sequence in 1..=10 {
        let entry = socket.next().await;
        assert_eq!((entry["sequence"].as_u64(), &entry["subscription"]), (Some(sequence), &json!("s1")));
    }
    let ack = |sequence| json!({"type": "ack", "id": "a", "payload": {"executionId": "a", "subscription": "s1", "sequence": sequence}});
    socket.send(ack(4)).await;
    socket.send(ack(11)).await;
    socket.expect_error("acknowledged_ahead").await;
    socket
        .send(json!({"type": "ack", "payload": {"executionId": "none", "subscription": "s1", "sequence": 1}}))
        .await;
    socket.expect_error("unknown_execution").await;
    drop(socket);

    let mut socket = Socket::open(&server).await;
    socket.subscribe(named.clone()).await;
    assert_eq!(socket.next().await["sequence"], 5);
    // Who says where to begin begins there.
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a", "subscription": "s1", "from": "start"})).await;
    assert_eq!(socket.next().await["sequence"], 1);
}

#[tokio::test]
async fn what_was_delivered_at_most_once_is_never_delivered_again() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 3).await;
    let named = json!({"executionId": "a", "subscription": "s1", "delivery": "at-most-once"});
    let mut socket = Socket::open(&server).await;
    socket.subscribe(named.clone()).await;
    for sequence in 1..=4 {
        assert_eq!(socket.next().await["sequence"], sequence);
    }
    gone(socket, &writer).await;
    say(&writer, 3, 4).await;
    for from in [None, Some("start")] {
        let mut again = named.clone();
        from.into_iter().for_each(|from| again["from"] = from.into());
        let mut socket = Socket::open(&server).await;
        socket.subscribe(again).await;
        let sequence = if from.is_none() { 5 } else { 6 };
        if from.is_some() {
            say(&writer, 4, 5).await;
        }
        assert_eq!(socket.next().await["sequence"], sequence);
        gone(socket, &writer).await;
    }
}

/// Closes, and waits until the server knows: what it sends to one that has just gone was delivered once too.
async fn gone(socket: Socket, writer: &Writer) {
    drop(socket);
    let gone = writer.log().subscribers_become(|count| count == 0);
    tokio::time::timeout(PATIENCE, gone).await.expect("the cursor is dropped");
}

#[tokio::test]
async fn event_types_are_followed_over_many_executions() {
    let server = Server::start().await;
    let before = server.held("before").await;
    let mut socket = Socket::open(&server).await;
    socket.send(request("subscribe_events", json!({"eventTypes": ["token", "node:start"]}))).await;
    let confirmed = socket.expect("events_subscription_confirmed").await;
    assert_eq!(confirmed["payload"], json!({"eventTypes": ["token", "node_start"]}));
    say(&before, 0, 2).await;
    for content in ["0", "1"] {
        let token = socket.expect("token").await;
        assert_eq!(
            (&token["executionId"], &token["payload"]["content"]),
            (&json!("before"), &json!(content))
        );
    }
    let after = server.held("after").await;
    say(&after, 5, 6).await;
    assert_eq!(socket.expect("token").await["executionId"], "after");

    // A new one takes the place of the one before.
    let scope =
        json!({"eventTypes": ["token"], "scope": {"executionIds": ["before"], "nodeIds": ["generate"]}});
    socket.send(request("subscribe_events", scope)).await;
    socket.expect("events_subscription_confirmed").await;
    say(&after, 6, 7).await;
    say(&before, 2, 3).await;
    let token = socket.expect("token").await;
    assert_eq!((&token["executionId"], &token["payload"]["content"]), (&json!("before"), &json!("2")));
    assert!(socket.is_silent().await);
    socket.send(request("subscribe_events", json!({"eventTypes": []}))).await;
    socket.expect_error("invalid_field").await;
}

#[tokio::test]
async fn views_of_many_executions_are_bounded_over_all_connections() {
    let server = Server::with_options(GatewayOptions::default().with_max_event_subscriptions(1)).await;
    let writer = server.held("a").await;
    let follow = || request("subscribe_events", json!({"eventTypes": ["token"]}));
    let (mut first, mut second) = (Socket::open(&server).await, Socket::open(&server).await);
    // Replacing a view takes no second place.
    for _ in 0..3 {
        first.send(follow()).await;
        first.expect("events_subscription_confirmed").await;
    }
    second.send(follow()).await;
    let refused = second.expect("error").await["payload"].clone();
    assert_eq!((&refused["code"], &refused["retryAfterMs"]), (&json!("too_many_event_views"), &json!(1000)));
    assert!(refused["message"].as_str().unwrap().contains("max_event_subscriptions"));
    say(&writer, 0, 1).await;
    first.expect("token").await;
    assert!(second.is_silent().await);
    // Who leaves makes room.
    gone(first, &writer).await;
    second.send(follow()).await;
    second.expect("events_subscription_confirmed").await;
    say(&writer, 1, 2).await;
    assert_eq!(second.expect("token").await["payload"]["content"], "1");
}

#[tokio::test]
async fn a_subscription_may_wait_for_its_execution() {
    let options =
        GatewayOptions::default().with_wait_timeout(Duration::from_secs(2)).with_max_waiting_subscriptions(2);
    let server = Server::with_options(options).await;
    let mut socket = Socket::open(&server).await;
    socket.send(request("subscribe_execution", json!({"executionId": "a"}))).await;
    socket.expect_error("unknown_execution").await;
    let confirmed = socket.subscribe(json!({"executionId": "a", "wait": true})).await;
    assert_eq!(confirmed["state"], "waiting");
    assert_eq!(confirmed["position"], "0000000000000000_0000000000000000");
    socket.subscribe(json!({"executionId": "b", "wait": true})).await;
    socket.send(request("subscribe_execution", json!({"executionId": "c", "wait": true}))).await;
    let refused = socket.expect("error").await["payload"].clone();
    let code = json!("too_many_waiting_subscriptions");
    assert_eq!((&refused["code"], &refused["retryAfterMs"]), (&code, &json!(1000)));
    assert!(refused["message"].as_str().unwrap().contains("max_waiting_subscriptions"));

    let writer = server.held("a").await;
    assert_eq!(socket.expect("status").await["executionId"], "a");
    say(&writer, 0, 1).await;
    socket.expect("token").await;
    let timed_out = socket.expect("error").await;
    assert_eq!((&timed_out["payload"]["code"], &timed_out["replyTo"]), (&json!("wait_timeout"), &json!("s")));
    assert_eq!(timed_out["payload"]["retryable"], true);
}
