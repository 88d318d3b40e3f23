//! Clients that never read.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use streamnest::{
    Streamnest,
    core::ExecutionId,
    gateway::GatewayOptions,
    log::{LogOptions, Retention},
};
use streamnest_tests::{
    memory,
    server::Server,
    socket::Socket,
    transcript::{Faults, Transcript},
};
use token_fountain::TokenFountain;
use tokio::task::JoinSet;

const TOKENS: usize = 20_000;
/// What the log may keep: less than the run says, so that who stalls is told a gap.
const LOG_BYTES: usize = 2 << 20;
const CLIENTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_stalled_clients_neither_slow_nor_starve_a_hundred_that_read() {
    let log = LogOptions::default().with_retention(Retention::default().with_max_bytes(LOG_BYTES));
    let gateway = GatewayOptions::default().with_slow_reader_limit(Duration::from_secs(600));
    let builder = Streamnest::builder().workflow(TokenFountain).log_options(log).gateway_options(gateway);
    let server = Server::start(builder).await;

    let mut readers = Vec::new();
    let mut stalled = Vec::new();
    for _ in 0..CLIENTS / 2 {
        let mut socket = Socket::connect(server.address).await;
        socket.subscribe_waiting("flood").await;
        readers.push(socket);
        let mut socket = Socket::connect_narrow(server.address).await;
        socket.subscribe_waiting("flood").await;
        stalled.push(socket);
    }
    let watched = memory::Peak::watch();
    let mut starter = Socket::connect(server.address).await;
    // Faster than the slowest test machine writes, slower than it reads.
    let input = json!({"index": 7, "tokens": TOKENS, "tokens_per_second": 2000, "token_bytes": 200});
    let start = json!({"workflow": "token-fountain", "executionId": "flood", "input": input});
    starter.send("start_execution", start).await;
    starter.expect("execution_started").await;

    let mut reading = JoinSet::new();
    for mut socket in readers {
        reading.spawn(async move {
            let (mut next, mut tokens) = (1, 0);
            while let Some(frame) = socket.next().await {
                let Some(sequence) = frame["sequence"].as_u64() else {
                    assert_ne!(frame["type"], "gap", "a client that reads misses nothing");
                    continue;
                };
                assert_eq!(sequence, next);
                next += 1;
                tokens += frame["payload"]["count"].as_u64().unwrap_or(0);
                if frame["type"] == "status" && frame["payload"]["status"] != "running" {
                    break;
                }
            }
            tokens
        });
    }
    let counts: BTreeSet<u64> = reading.join_all().await.into_iter().collect();
    assert_eq!(counts, BTreeSet::from([TOKENS as u64]), "every reader got every token");

    let grown = watched.grown();
    let bound = LOG_BYTES + CLIENTS * (64 << 10);
    println!("grown={grown} bound={bound}");
    assert!(grown <= bound, "memory grew by {grown} bytes, over {bound}");

    // Those that stalled now read: all they missed is told, and what they get is in order.
    let log = server.app.logs().get(&"flood".parse::<ExecutionId>().unwrap()).unwrap();
    let last = log.head().last.get();
    let mut late = JoinSet::new();
    for mut socket in stalled {
        late.spawn(async move {
            let mut transcript = Transcript::default();
            while let Some(frame) = socket.next().await {
                if transcript.push(frame) {
                    break;
                }
            }
            transcript
        });
    }
    let (mut faults, mut told) = (Faults::default(), 0);
    for transcript in late.join_all().await {
        faults += transcript.faults(last);
        told += transcript.gaps().len();
        assert!(transcript.gaps().len() <= 1, "a gap is told once: {:?}", transcript.gaps());
    }
    println!("stalled={} told={told} {faults}", CLIENTS / 2);
    assert!(told > 0, "the log was to forget what some of them had not read");
    assert_eq!(faults, Faults::default());
}
