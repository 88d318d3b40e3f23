//! What the program around the gateway sends by itself.

use futures_util::stream;
use serde_json::json;
use streamnest_core::{EventType, payload::StatusUpdate};
use streamnest_gateway::{GatewayOptions, WebSocketError};

use crate::{engine::id, server::Server, socket::Socket};

#[tokio::test]
async fn a_broadcast_reaches_all_followers_also_those_that_come_later() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let mut now = Socket::open(&server).await;
    now.subscribe(json!({"executionId": "a"})).await;
    now.expect("status").await;
    let sockets = server.gateway.sockets();
    let seq =
        sockets.broadcast_to_execution(&id("a"), "review_requested", json!({"by": "ada"})).await.unwrap();
    let event = now.expect("event").await;
    assert_eq!(event["payload"], json!({"type": "review_requested", "data": {"by": "ada"}}));
    assert_eq!(event["sequence"], seq.get());
    let mut later = Socket::open(&server).await;
    later.subscribe(json!({"executionId": "a", "events": ["review_requested"]})).await;
    assert_eq!(later.next().await, event);

    let refused = |result: Result<_, WebSocketError>| result.map(|_| ()).unwrap_err().code().to_owned();
    assert_eq!(refused(sockets.broadcast_to_execution(&id("none"), "x", 1).await), "unknown_execution");
    assert_eq!(refused(sockets.broadcast_to_execution(&id("a"), "a\nb", 1).await), "invalid_event_type");
    assert_eq!(sockets.followers(&id("a")).unwrap(), 2);
    assert_eq!(sockets.followers(&id("none")).unwrap_err().code(), "unknown_execution");
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    assert_eq!(refused(sockets.broadcast_to_execution(&id("a"), "x", 1).await), "sealed");
}

#[tokio::test]
async fn nothing_around_the_gateway_can_say_what_only_the_framework_says() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let before = writer.log().head().last;
    let (sockets, bridge) = (server.gateway.sockets(), server.gateway.bridge());
    // Both spellings of each, so that a page shows no question that nobody asked, and a snapshot voids no text.
    let both = |known: &EventType| [known.to_string(), known.as_str().replacen('_', ":", 1)];
    for name in EventType::FRAMEWORK.iter().flat_map(both) {
        let sent = sockets.broadcast_to_execution(&id("a"), &name, json!({})).await.unwrap_err();
        assert_eq!((sent.code(), sent.is_retryable()), ("framework_event", false), "{name}");
        let bridged = bridge.bridge_to_execution(&id("a"), &name, stream::iter([json!({})])).await;
        assert_eq!(bridged.unwrap_err().code(), "framework_event", "{name}");
    }
    assert_eq!(writer.log().head().last, before);
    // What describes work is for everybody.
    for name in ["tool_start", "llm_complete", "warning", "milestone"] {
        sockets.broadcast_to_execution(&id("a"), name, json!({})).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_its_source() {
    let server = Server::start().await;
    let _writer = server.held("a").await;
    let no_json = std::collections::HashMap::from([(vec![1], 1)]);
    let event = server.gateway.sockets().broadcast_to_execution(&id("a"), "x", &no_json).await.unwrap_err();
    assert_eq!(event.code(), "invalid_event");
    let message = server.gateway.bridge().bridge_to_client("c", stream::iter([&no_json])).await.unwrap_err();
    assert_eq!(message.code(), "invalid_message");
    for error in [event, message] {
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "key must be a string");
        assert!(!error.to_string().contains("key must be"), "the chain would say it twice: {error}");
    }
}

#[tokio::test]
async fn a_message_reaches_one_client_only() {
    let server = Server::start().await;
    let (mut one, _) = Socket::shake(&server, "/ws", &[]).await.unwrap();
    let connected = one.expect("connected").await;
    let name = connected["payload"]["connectionId"].as_str().unwrap();
    let mut other = Socket::open(&server).await;
    let sockets = server.gateway.sockets();
    for n in 0..3 {
        sockets.send_to_client(name, json!({"n": n})).unwrap();
    }
    for n in 0..3 {
        assert_eq!(one.next().await, json!({"type": "message", "payload": {"n": n}}));
    }
    assert!(other.is_silent().await);
    assert_eq!(sockets.connections(), 2);
    for unknown in ["", "x", "01890a5d-ac96-774b-bcce-b302099a8057"] {
        assert_eq!(sockets.send_to_client(unknown, json!(1)).unwrap_err().code(), "unknown_connection");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_to_a_client_that_does_not_read_are_refused_at_a_bound() {
    let server = Server::with_options(GatewayOptions::default().with_max_pending_reply_bytes(4 << 10)).await;
    let (mut socket, _) = Socket::shake(&server, "/ws", &[]).await.unwrap();
    let connected = socket.expect("connected").await;
    let name = connected["payload"]["connectionId"].as_str().unwrap();
    let sockets = server.gateway.sockets();
    let mut sent = 0;
    let full = loop {
        match sockets.send_to_client(name, json!({"n": sent, "filler": "x".repeat(1_000)})) {
            Ok(()) => sent += 1,
            Err(error) if sent > 100_000 => panic!("{error}"),
            // Full for the moment, or for good because the socket is.
            Err(error) => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                if sockets.send_to_client(name, json!({"n": sent, "filler": "x".repeat(1_000)})).is_err() {
                    break error;
                }
                sent += 1;
            }
        }
    };
    assert_eq!((full.code(), full.is_retryable()), ("connection_full", true));
    assert!(full.to_string().contains("max_pending_reply_bytes"));
    // What was taken arrives, in order.
    for n in 0..sent {
        assert_eq!(socket.expect("message").await["payload"]["n"], n);
    }
    sockets.send_to_client(name, json!("again")).unwrap();
    assert_eq!(socket.expect("message").await["payload"], "again");
}

#[tokio::test]
async fn a_stream_of_the_program_is_bridged_to_all_who_follow_an_execution_until_it_ends() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let mut follower = Socket::open(&server).await;
    follower.subscribe(json!({"executionId": "a", "events": ["step"]})).await;
    let bridge = server.gateway.bridge();
    let sent =
        bridge.bridge_to_execution(&id("a"), "step", stream::iter([json!({"n": 0}), json!({"n": 1})])).await;
    assert_eq!(sent.unwrap(), 2);
    for n in 0..2 {
        assert_eq!(follower.expect("event").await["payload"]["data"]["n"], n);
    }
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let late = bridge.bridge_to_execution(&id("a"), "step", stream::iter([json!(2)])).await.unwrap_err();
    assert_eq!((late.code(), late.is_retryable()), ("sealed", false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_bridged_to_a_slow_client_waits_for_it_and_loses_nothing() {
    let server = Server::with_options(GatewayOptions::default().with_max_pending_reply_bytes(4 << 10)).await;
    let (mut socket, _) = Socket::shake(&server, "/ws", &[]).await.unwrap();
    let connected = socket.expect("connected").await;
    let name = connected["payload"]["connectionId"].as_str().unwrap().to_owned();
    let sockets = server.gateway.sockets();
    assert_eq!(sockets.connection_ids(), std::slice::from_ref(&name));
    let (taken, took) = (std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0)), 5_000);
    let counter = taken.clone();
    let items = stream::iter((0..took).map(move |n| {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        json!({"n": n, "filler": "x".repeat(3_500)})
    }));
    let bridge = server.gateway.bridge();
    let to = name.clone();
    let bridging = tokio::spawn(async move { bridge.bridge_to_client(&to, items).await });
    // 17 MB fit into no socket: it stands until the client reads.
    let mut before = u64::MAX;
    while std::mem::replace(&mut before, taken.load(std::sync::atomic::Ordering::SeqCst)) != before {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(before < took, "{before} of {took} were taken for a client that reads nothing");
    for n in 0..took {
        assert_eq!(socket.expect("message").await["payload"]["n"], n);
    }
    assert_eq!(bridging.await.unwrap().unwrap(), took);
    let large = sockets.send_to_client(&name, json!("x".repeat(5 << 10))).unwrap_err();
    assert_eq!((large.code(), large.is_retryable()), ("message_too_large", false));
    drop(socket);
    let gone = server.gateway.bridge().bridge_to_client(&name, stream::repeat("?")).await.unwrap_err();
    assert_eq!(gone.code(), "unknown_connection");
    assert!(!sockets.is_connected(&name));
}
