//! Many clients of one run that come and go.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use streamnest::{
    Streamnest,
    core::{ExecutionControl as _, ExecutionId},
};
use streamnest_tests::{
    http::EventStream,
    random::{Random, chaos},
    server::Server,
    socket::Socket,
    transcript::{Faults, Transcript},
};
use token_fountain::TokenFountain;
use tokio::task::JoinSet;

/// How many tokens the run has, and how many a second.
fn size() -> (u32, u32) {
    if chaos() { (30_000, 1_000) } else { (600, 300) }
}

/// Follows the run over WebSocket, drops the connection at random and goes on from its position.
async fn follow_by_socket(address: std::net::SocketAddr, mut random: Random) -> Transcript {
    let mut transcript = Transcript::default();
    tokio::time::sleep(Duration::from_millis(random.below(1500).into())).await;
    loop {
        let mut socket = Socket::connect(address).await;
        let from = transcript.position().unwrap_or("start").to_owned();
        socket.subscribe("storm", json!({"from": from})).await;
        for _ in 0..random.below(120) {
            let Some(frame) = socket.next().await else { break };
            if transcript.push(frame) {
                return transcript;
            }
        }
        drop(socket);
        tokio::time::sleep(Duration::from_millis(random.below(100).into())).await;
    }
}

/// Follows the run over SSE, drops the connection at random and goes on by `Last-Event-ID`.
async fn follow_by_events(address: std::net::SocketAddr, mut random: Random) -> Transcript {
    let mut transcript = Transcript::default();
    tokio::time::sleep(Duration::from_millis(random.below(1500).into())).await;
    loop {
        let last = transcript.position().map(String::from);
        let Some(mut events) = EventStream::open(address, "storm", last.as_deref()).await else {
            return transcript;
        };
        for _ in 0..random.below(120) {
            let Some((id, frame)) = events.next().await else { break };
            assert_eq!(frame["position"], id);
            if transcript.push(frame) {
                return transcript;
            }
        }
        drop(events);
        tokio::time::sleep(Duration::from_millis(random.below(100).into())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_that_come_and_go_all_end_with_the_same_entries() {
    let server = Server::start(Streamnest::builder().workflow(TokenFountain)).await;
    let (tokens, rate) = size();
    let input =
        json!({"index": 1, "tokens": tokens, "tokens_per_second": rate, "token_bytes": 40, "buffer_size": 3});
    let request = streamnest::core::StartExecution {
        workflow: "token-fountain".into(),
        input,
        execution_id: Some("storm".parse().unwrap()),
        on_disconnect: None,
        trace: None,
    };
    server.app.engine().start(request).await.unwrap();

    let mut clients = JoinSet::new();
    for number in 0..50 {
        clients.spawn(follow_by_socket(server.address, Random::new(number)));
        clients.spawn(follow_by_events(server.address, Random::new(1000 + number)));
    }
    let transcripts: Vec<Transcript> = clients.join_all().await;

    let log = server.app.logs().get(&"storm".parse::<ExecutionId>().unwrap()).unwrap();
    let last = log.head().last.get();
    let mut faults = Faults::default();
    for transcript in &transcripts {
        faults += transcript.faults(last);
    }
    println!("clients={} entries={last} {faults}", transcripts.len());
    assert_eq!(faults, Faults::default());
    // The very same JSON, whichever way it came.
    let first = Arc::new(transcripts[0].entries().to_vec());
    for transcript in &transcripts {
        assert_eq!(transcript.entries(), first.as_slice());
    }
    let text: String = first.iter().filter_map(|entry| entry["payload"]["content"].as_str()).collect();
    assert_eq!(text.matches("~T000001").count(), tokens as usize);
    // However many read it, each entry was encoded once for each of the two formats.
    assert!(log.encodings() <= 2 * usize::try_from(last).unwrap(), "{} encodings", log.encodings());
}
