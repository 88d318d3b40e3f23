//! A server that is stopped while many follow what goes on, and the next one on the same data directory.

mod client;
mod producer;

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::json;
use streamnest_tests::{descriptors, follower::Http, program::Program, random::chaos, transcript::Faults};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};

use self::{client::Client, producer::Producer};

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
/// Connections that are opened at once.
const OPENING: usize = 100;
/// Executions that one program outside speaks for, for each of so many clients.
const CLIENTS_OF_ONE: usize = 80;

/// Within what the server tells its clients: far longer than a machine that has much to do keeps all of them waiting, who are then
/// told together.
const JITTER: Duration = Duration::from_secs(8);

/// What producers hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    /// The server is there.
    Runs(SocketAddr),
    /// So it is, and what they have to say comes to its end.
    Ends(SocketAddr),
}

fn connections() -> usize {
    if chaos() { 10_000 } else { 1_000 }
}

/// Times from the earliest to the latest.
struct Times(Vec<Duration>);

impl Times {
    fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }

    fn at(&self, share: f64) -> u128 {
        let last = self.0.len() - 1;
        self.0[(last as f64 * share).round() as usize].as_millis()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, p50, p99, last] = [0.0, 0.5, 0.99, 1.0].map(|share| self.at(share));
        write!(f, "first_ms={first} p50_ms={p50} p99_ms={p99} last_ms={last} spread_ms={}", last - first)
    }
}

/// What a client follows: mostly what programs outside go on to say, some a run that ends while the server drains, and some one
/// that does not.
fn followed(number: usize) -> String {
    match number % 10 {
        8 => "ends".into(),
        9 => "hangs".into(),
        _ => format!("outside-{}", number / CLIENTS_OF_ONE),
    }
}

/// Does something for each client, a hundred at a time.
async fn each<C: Send + 'static, F: Future<Output = Client> + Send + 'static>(
    of: Vec<C>,
    what: impl Fn(C) -> F,
) -> Vec<Client> {
    let turns = Arc::new(Semaphore::new(OPENING));
    let mut tasks = JoinSet::new();
    for one in of {
        let (turns, what) = (turns.clone(), what(one));
        tasks.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            what.await
        });
    }
    tasks.join_all().await
}

async fn start(server: SocketAddr, id: &str, tokens: u32, then: &str) {
    let input = json!({"tokens": tokens, "pause_ms": 40, "then": then});
    let body = json!({"executionId": id, "input": input}).to_string();
    let headers = [("content-type", "application/json")];
    let mut http = Http::new(server);
    let answer = http.send("POST", "/workflows/steps/executions", &headers, body).await.unwrap();
    assert_eq!(answer.status(), 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_follow_something_are_told_that_the_server_goes_and_resume_on_the_next_one() {
    let count = connections();
    descriptors::allow(count as u64 + 1_000);
    let directory = tempfile::tempdir().unwrap();
    let options = directory.path().join("streamnest.toml");
    std::fs::write(&options, format!("[gateway]\ndrain_jitter = \"{JITTER:?}\"\n")).unwrap();
    let logs = directory.path().join("logs");
    let first = Program::start_with(SERVER, &logs, &["--config", options.to_str().unwrap()]).await;
    let address = first.address;
    let (act, acts) = watch::channel(Act::Runs(address));
    let mut producers = JoinSet::new();
    for number in 0..count.div_ceil(CLIENTS_OF_ONE) {
        let producer = Producer::create(format!("outside-{number}"), acts.clone()).await;
        producers.spawn(producer.produce());
    }
    let clients = each((0..count).collect(), move |number| Client::connect(address, followed(number))).await;
    start(address, "ends", 100, "return").await;
    start(address, "hangs", 1, "hang").await;
    let mut following: JoinSet<_> = clients.into_iter().map(Client::until_told).collect();
    // Each of them reads before the server is told to stop.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let stopping = Instant::now();
    first.terminate();
    first.ended().await;
    let stopped = stopping.elapsed();
    let clients: Vec<Client> = std::mem::take(&mut following).join_all().await;
    let second = Program::start(SERVER, &logs).await;
    let (address, listening) = (second.address, Instant::now());
    act.send_replace(Act::Runs(address));
    let down = listening.duration_since(stopping) - stopped;
    let told = Times::new(clients.iter().map(|client| client.told_at().duration_since(stopping)));
    let codes: BTreeMap<_, usize> = clients.iter().fold(BTreeMap::new(), |mut codes, client| {
        *codes.entry(client.code()).or_default() += 1;
        codes
    });
    let read_before: u64 = clients.iter().map(Client::entries).sum();

    let mut clients = each(clients, move |client| client.resume(address)).await;
    let resumed = Times::new(clients.iter().map(|client| client.resumed_at().duration_since(listening)));
    act.send_replace(Act::Ends(address));
    let produced: BTreeMap<String, u64> = producers.join_all().await.into_iter().collect();
    let mut reading: JoinSet<_> = clients.drain(..).map(Client::read_to_the_end).collect();
    let (mut faults, mut entries) = (Faults::default(), 0);
    while let Some(client) = reading.join_next().await {
        let client = client.unwrap();
        let (tokens, status) = match client.execution() {
            "ends" => (100, "completed"),
            "hangs" => (1, "cancelled"),
            outside => (produced[outside], "completed"),
        };
        assert_eq!((client.tokens(), client.status()), (tokens, Some(status)), "{}", client.execution());
        faults += client.faults();
        entries += client.entries();
    }
    let [told_1001, resumes] = [codes.get(&Some(1001)).copied().unwrap_or(0), resumed.0.len()];
    println!(
        "connections={count} told_1001={told_1001} resumed={resumes} entries={entries} before={read_before} {faults}"
    );
    println!("told {told}\nresumed {resumed}");
    println!("server stopped_ms={} down_ms={}", stopped.as_millis(), down.as_millis());
    assert_eq!(codes, BTreeMap::from([(Some(1001), count)]));
    assert_eq!(faults, Faults::default());
    // Those who follow what goes on leave at random moments of `drain_jitter`, the half of them in the middle half of it.
    assert!(told.at(0.75) - told.at(0.25) >= JITTER.as_millis() / 8, "they are told at once: {told}");
    second.kill().await;
}
