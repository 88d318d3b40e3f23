//! When a server stops, whoever follows a run reads how it ended.

use std::time::Duration;

use serde_json::{Value, json};
use streamnest::{Streamnest, gateway::GatewayOptions};
use streamnest_tests::{http::EventStream, server::Server, socket::Socket, workflows::Steps};
use tokio::task::JoinSet;

const READERS: usize = 10;

#[tokio::test]
async fn every_reader_of_a_run_that_a_shutdown_cancels_reads_that_it_was_cancelled() {
    // The race that this looks for was lost once in ten.
    for _ in 0..10 {
        let options = GatewayOptions::default()
            .with_drain_grace(Duration::from_millis(100))
            .with_drain_jitter(Duration::from_millis(50));
        let server =
            Server::start(Streamnest::builder().workflow(Steps::default()).gateway_options(options)).await;
        let run = server.app.start("steps", json!({"tokens": 3, "then": "hang"})).await.unwrap();
        let id = run.execution_id().to_string();
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            let mut stream = EventStream::open(server.address, &id, None).await.unwrap();
            readers.spawn(async move {
                let mut last = Value::Null;
                while let Some((_, entry)) = stream.next().await {
                    last = entry;
                }
                ("SSE", last)
            });
            let mut socket = Socket::connect(server.address).await;
            socket.subscribe(&id, json!({})).await;
            readers.spawn(async move {
                let mut last = Value::Null;
                while let Some(frame) = socket.next().await {
                    if frame["sequence"].is_number() {
                        last = frame;
                    }
                }
                ("WebSocket", last)
            });
        }
        server.stop().await;
        let lasts = readers.join_all().await;
        assert_eq!(lasts.len(), 2 * READERS);
        for (kind, last) in lasts {
            assert_eq!(last["payload"]["status"], "cancelled", "{kind}: {last}");
        }
        assert!(run.log().head().sealed);
    }
}
