//! How much a connection is sent at once: what came since, be that one entry or thousands.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamnest::Streamnest;
use streamnest_tests::{
    http::{self, EventStream},
    proxy::{Fault, Gate, Proxy, Way},
    server::Server,
    socket::Socket,
    workflows::Steps,
};
use token_fountain::TokenFountain;
use tokio::{sync::Semaphore, time::timeout};

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sample of the server's metrics.
async fn sample(server: SocketAddr, name: &str) -> u64 {
    http::metric(server, &[], name).await.unwrap_or_else(|| panic!("there is no `{name}`"))
}

/// How often the server has written to connections that are gone. Waits until all of them are.
async fn writes(server: SocketAddr, transport: &str) -> u64 {
    let gone = async {
        while sample(server, &format!("streamnest_connections{{transport=\"{transport}\"}}")).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("connections that were closed are gone");
    sample(server, &format!("streamnest_writes_total{{transport=\"{transport}\"}}")).await
}

async fn start(server: &Server, workflow: &str, id: &str, input: Value) {
    let body = json!({"executionId": id, "input": input});
    let path = format!("/workflows/{workflow}/executions");
    assert_eq!(http::json(server.address, "POST", &path, &[], Some(&body)).await.0, 202);
}

/// Follows a run that says each of its tokens when the one before has come.
async fn keeping_up(server: &Server, permits: &Semaphore, tokens: u32) -> Vec<Value> {
    let mut socket = Socket::connect(server.address).await;
    socket.subscribe("slow", json!({"wait": true})).await;
    start(server, "steps", "slow", json!({"tokens": tokens})).await;
    let mut entries = Vec::new();
    for _ in 0..tokens {
        permits.add_permits(1);
        loop {
            let frame = socket.next().await.unwrap();
            let is_token = frame["type"] == "token";
            entries.push(frame);
            if is_token {
                break;
            }
        }
    }
    entries.extend(socket.entries().await);
    entries
}

async fn over_websocket(address: SocketAddr, id: &str) -> Vec<Value> {
    let mut socket = Socket::connect(address).await;
    socket.subscribe(id, json!({"wait": true})).await;
    socket.entries().await
}

async fn over_sse(address: SocketAddr, id: &str) -> Vec<Value> {
    let mut events = EventStream::open(address, id, None).await.unwrap();
    let mut entries = Vec::new();
    while let Some((_, entry)) = events.next().await {
        entries.push(entry);
    }
    entries
}

#[track_caller]
fn is_whole(entries: &[Value], tokens: u64) {
    let sequences: Vec<_> = entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    assert_eq!(entries.last().unwrap()["payload"]["status"], "completed");
    let counts = entries.iter().filter_map(|entry| entry["payload"]["count"].as_u64());
    assert_eq!(counts.sum::<u64>(), tokens);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_keeps_up_gets_each_entry_and_one_that_lags_gets_many_with_one_write() {
    let permits = Arc::new(Semaphore::new(0));
    let workflows =
        Streamnest::builder().workflow(TokenFountain).workflow(Steps { permits: permits.clone() });
    let server = Server::start(workflows).await;
    let address = server.address;
    // A run that is no faster than its reader: each token by itself, and all of them.
    let entries = timeout(PATIENCE, keeping_up(&server, &permits, 60)).await.unwrap();
    is_whole(&entries, 60);
    let alone = writes(address, "websocket").await;
    println!("batching keeps_up transport=websocket entries={} writes={alone}", entries.len());
    assert!(alone >= 60, "60 tokens went out with {alone} writes");

    // Whoever comes late lags by all of it.
    let many = json!({"index": 2, "tokens": 20_000, "token_bytes": 200, "buffer_size": 1});
    start(&server, "token-fountain", "many", many).await;
    let entries = timeout(PATIENCE, over_websocket(address, "many")).await.unwrap();
    is_whole(&entries, 20_000);
    drop(entries);
    let before = writes(address, "websocket").await;
    let entries = timeout(PATIENCE, over_websocket(address, "many")).await.unwrap();
    is_whole(&entries, 20_000);
    let late = writes(address, "websocket").await - before;
    println!("batching late transport=websocket entries={} writes={late}", entries.len());
    assert!(late * 50 < entries.len() as u64, "{late} writes");
    let before = writes(address, "sse").await;
    let entries = timeout(PATIENCE, over_sse(address, "many")).await.unwrap();
    is_whole(&entries, 20_000);
    let late = writes(address, "sse").await - before;
    println!("batching late transport=sse entries={} writes={late}", entries.len());
    assert!(late * 50 < entries.len() as u64, "{late} writes");

    // One that follows from the first entry on and is held up on the way: it lags while it is, and keeps up again.
    let before = writes(address, "websocket").await;
    let proxy = Proxy::start(address).await;
    let gate = Gate::default();
    proxy.next(Way::down(20_000, Fault::Stall(gate.clone())));
    let follower = tokio::spawn(over_websocket(proxy.address, "held"));
    let waiting = async { while sample(address, "streamnest_subscriptions").await == 0 {} };
    timeout(PATIENCE, waiting).await.unwrap();
    let held = json!({"index": 3, "tokens": 20_000, "token_bytes": 400, "buffer_size": 1});
    start(&server, "token-fountain", "held", held).await;
    let ended = async {
        while http::json(address, "GET", "/executions/held", &[], None).await.1["status"] != "completed" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("whoever is held up holds up no run");
    gate.open();
    let entries = timeout(PATIENCE, follower).await.unwrap().unwrap();
    is_whole(&entries, 20_000);
    drop(proxy);
    let held = writes(address, "websocket").await - before;
    println!("batching held_up transport=websocket entries={} writes={held}", entries.len());
    // What the sockets on the way took went out as it came.
    assert!(held * 2 < entries.len() as u64, "{held} writes");
}
