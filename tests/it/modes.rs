//! The three delivery modes, side by side: connections that are cut, and a server that is killed and started again.

mod consumer;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use streamnest_tests::{
    follower::Http,
    program::Program,
    proxy::{Fault, Proxy, Way},
    random::{Random, chaos},
};
use tokio::time::sleep;

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
const RUN: &str = "/v1/stream/executions/run";

/// What became of the entries of a run for one consumer.
#[derive(Clone, Debug, Default)]
struct Ledger {
    /// The sequences it was given, in order.
    got: Vec<u64>,
    /// The sequences of which it was told that it does not get them.
    told: BTreeSet<u64>,
}

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Row {
    mode: &'static str,
    drops: usize,
    entries: u64,
    delivered: usize,
    doubled: usize,
    lost: usize,
    told: usize,
}

impl Row {
    fn of(mode: &'static str, ledger: &Ledger, entries: u64, drops: usize) -> Self {
        let distinct: BTreeSet<_> = ledger.got.iter().copied().collect();
        let lost: BTreeSet<u64> = (1..=entries).filter(|sequence| !distinct.contains(sequence)).collect();
        let untold: Vec<_> = lost.difference(&ledger.told).collect();
        assert!(untold.is_empty(), "{mode} was not told of {untold:?}");
        Self {
            mode,
            drops,
            entries,
            delivered: ledger.got.len(),
            doubled: ledger.got.len() - distinct.len(),
            lost: lost.len(),
            told: lost.intersection(&ledger.told).count(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, drops, entries, delivered, doubled, lost, told } = self;
        write!(
            f,
            "mode={mode:<13} drops={drops:<4} entries={entries:<6} delivered={delivered:<6} doubled={doubled:<5} \
             lost={lost:<5} told={told}"
        )
    }
}

/// What a consumer's connections go through.
struct Lossy {
    proxy: Arc<Proxy>,
    random: Random,
    /// Set when everything is written: from then on nothing is cut, so that all come to their end.
    calm: Arc<AtomicBool>,
}

impl Lossy {
    /// How the next connections end: after some bytes, more than it takes to be told where one stands and the next entry.
    fn prepare(&mut self) {
        let fault = if self.random.below(2) == 0 { Fault::Cut } else { Fault::Reset };
        let lossy = Way::down(u64::from(1_200 + self.random.below(5_000)), fault);
        let is_calm = self.calm.load(Ordering::Acquire);
        self.proxy.usually(if is_calm { Way::default() } else { lossy });
    }
}

/// Asks until it is answered, however often the server goes away meanwhile.
async fn insist(http: &mut Http, method: &str, headers: &[(&str, &str)], body: &Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    loop {
        match http.send(method, RUN, headers, body.clone()).await {
            Some(answer) if answer.status().is_success() => return,
            Some(answer) => panic!("{method} got {}", answer.status()),
            None => sleep(Duration::from_millis(5)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_three_delivery_modes_differ_as_promised_under_drops_and_restarts() {
    let (tokens, kills) = if chaos() { (20_000, 40) } else { (600, 4) };
    let directory = tempfile::tempdir().unwrap();
    let mut server = Some(Program::start(SERVER, directory.path()).await);
    let address = server.as_ref().unwrap().address;
    let calm = Arc::new(AtomicBool::new(false));
    let mut proxies = Vec::new();
    for _ in 0..4 {
        proxies.push(Arc::new(Proxy::start(address).await));
    }
    let lossy = |number: usize| Lossy {
        proxy: proxies[number].clone(),
        random: Random::new(number as u64),
        calm: calm.clone(),
    };
    let consumers = [
        tokio::spawn(consumer::at_most_once(lossy(0))),
        tokio::spawn(consumer::at_least_once(lossy(1))),
        tokio::spawn(consumer::exactly_once(lossy(2))),
    ];

    // A producer outside: each append is asked for until it is answered, and stands once.
    let mut http = Http::new(proxies[3].address);
    insist(&mut http, "PUT", &[("content-type", "application/json")], &Value::Null).await;
    let (mut restarts, mut starting) = (0, None);
    let since = Instant::now();
    for number in 0..tokens {
        if number % (tokens / (kills + 1)) == tokens / (kills + 2) && restarts < kills {
            // In the middle of whatever goes on just then; the producer finds out by itself.
            server.take().unwrap().kill().await;
            restarts += 1;
            let (path, proxies) = (directory.path().to_owned(), proxies.clone());
            starting = Some(tokio::spawn(async move {
                let started = Program::start(SERVER, &path).await;
                proxies.iter().for_each(|proxy| proxy.lead_to(started.address));
                started
            }));
        }
        let seq = number.to_string();
        let headers = [
            ("content-type", "application/json"),
            ("producer-id", "worker"),
            ("producer-epoch", "0"),
            ("producer-seq", seq.as_str()),
        ];
        let token = json!({"type": "token", "nodeId": "write", "payload": {"content": format!("{number} ")}});
        insist(&mut http, "POST", &headers, &token).await;
        if let Some(starting) = starting.take() {
            server = Some(starting.await.unwrap());
        }
    }
    calm.store(true, Ordering::Release);
    insist(&mut http, "POST", &[("stream-closed", "true")], &Value::Null).await;

    let entries = tokens + 2;
    let mut rows = Vec::new();
    for ((mode, consumer), proxy) in
        ["at-most-once", "at-least-once", "exactly-once"].into_iter().zip(consumers).zip(&proxies)
    {
        let ledger = consumer.await.unwrap();
        rows.push(Row::of(mode, &ledger, entries, proxy.connections() - 1));
        let is_ordered = ledger.got.is_sorted_by(|one, next| one < next);
        assert!(is_ordered || mode == "at-least-once", "{mode} came out of order: {:?}", ledger.got);
    }
    println!("kills={restarts} seconds={:.1}", since.elapsed().as_secs_f64());
    rows.iter().for_each(|row| println!("{row}"));
    let [most, least, exactly] = rows[..] else { unreachable!() };
    assert!(rows.iter().all(|row| row.drops > kills as usize), "connections were lost");
    assert!(most.lost > 0 && most.doubled == 0, "what was sent at most once and lost is never sent again");
    assert_eq!(most.told, most.lost, "nothing is lost in silence");
    assert!(
        least.lost == 0 && least.doubled > 0,
        "what was not acknowledged comes again, and nothing is lost"
    );
    assert_eq!((exactly.lost, exactly.doubled, exactly.delivered as u64), (0, 0, entries));
}
