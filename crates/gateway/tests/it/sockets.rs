//! What the program around the gateway sends by itself.

use serde_json::json;
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::{Error, GatewayOptions};

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

    let refused = |result: Result<_, Error>| result.map(|_| ()).unwrap_err().code().to_owned();
    assert_eq!(refused(sockets.broadcast_to_execution(&id("none"), "x", 1).await), "unknown_execution");
    assert_eq!(refused(sockets.broadcast_to_execution(&id("a"), "a\nb", 1).await), "invalid_event");
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    assert_eq!(refused(sockets.broadcast_to_execution(&id("a"), "x", 1).await), "sealed");
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
