//! Clients that never read.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::json;
use streamnest::{
    core::ExecutionId,
    gateway::GatewayOptions,
    log::{LogOptions, Retention},
    prelude::*,
};
use streamnest_tests::{
    memory,
    server::Server,
    socket::Socket,
    transcript::{Faults, Transcript},
};
use tokio::{
    sync::{Barrier, Semaphore},
    task::JoinSet,
    time::timeout,
};

const TOKENS: usize = 20_000;
const TOKEN_BYTES: usize = 200;
/// So many more may be said when all that read have read as many more: a fifth of what the log keeps lies between them and the run
/// at the most, however much else the machine has to do.
const STEP: usize = 1_000;
/// What the log may keep: less than the run says, so that who stalls is told a gap.
const LOG_BYTES: usize = 2 << 20;
const CLIENTS: usize = 200;
/// How long it may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the run is asked for: nothing.
#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Flood {
    #[state(default)]
    done: bool,
}

/// Says tokens as its readers permit.
struct Flooding {
    permits: Arc<Semaphore>,
}

#[workflow(name = "flooding", state = Flood)]
impl Flooding {
    #[node(start)]
    #[stream_token]
    async fn pour(&self, _state: &Flood, ctx: &NodeContext) -> NodeResult<FloodUpdate> {
        let token = "x".repeat(TOKEN_BYTES);
        for _ in 0..TOKENS {
            self.permits.acquire().await?.forget();
            ctx.token(token.clone()).await;
        }
        Ok(FloodUpdate::new().done(true))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_stalled_clients_neither_slow_nor_starve_a_hundred_that_read() {
    let log = LogOptions::default().with_retention(Retention::default().with_max_bytes(LOG_BYTES));
    let gateway = GatewayOptions::default().with_slow_reader_limit(Duration::from_secs(600));
    let permits = Arc::new(Semaphore::new(2 * STEP));
    let builder = Streamnest::builder()
        .workflow(Flooding { permits: permits.clone() })
        .log_options(log)
        .gateway_options(gateway);
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
    let start = json!({"workflow": "flooding", "executionId": "flood", "input": {}});
    starter.send("start_execution", start).await;
    starter.expect("execution_started").await;

    let mut reading = JoinSet::new();
    let all = Arc::new(Barrier::new(readers.len()));
    for mut socket in readers {
        let (all, permits) = (all.clone(), permits.clone());
        reading.spawn(async move {
            let (mut next, mut tokens, mut step) = (1, 0, STEP as u64);
            while let Some(frame) = socket.next().await {
                let Some(sequence) = frame["sequence"].as_u64() else {
                    assert_ne!(frame["type"], "gap", "a client that reads misses nothing");
                    continue;
                };
                assert_eq!(sequence, next);
                next += 1;
                tokens += frame["payload"]["count"].as_u64().unwrap_or(0);
                while tokens >= step {
                    if all.wait().await.is_leader() {
                        permits.add_permits(STEP);
                    }
                    step += STEP as u64;
                }
                if frame["type"] == "status" && frame["payload"]["status"] != "running" {
                    break;
                }
            }
            tokens
        });
    }
    let reading = timeout(PATIENCE, reading.join_all()).await.expect("who stalls does not hold up who reads");
    let counts: BTreeSet<u64> = reading.into_iter().collect();
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
