//! A server that is killed while it works, and how long it is until the next one has sent an entry of an execution.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::fs::{Advice, fadvise};
use serde_json::{Value, json};
use streamnest::{
    core::{
        Event, ExecutionId, NodeName,
        payload::{StatusUpdate, Token},
    },
    log::{LogOptions, Registry, SystemClock},
    log_disk::{DiskOptions, DiskStore},
};
use streamnest_tests::{
    http::{self, EventStream},
    program::Program,
    random::{Random, chaos},
};
use tokio::task::JoinHandle;

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
/// Executions that have ended long ago; most of the log is theirs.
const OLD: u32 = 50;
/// Executions that run when the server is killed, each with one who follows it.
const RUNNING: usize = 8;

fn old(number: u32) -> ExecutionId {
    format!("old-{number}").parse().unwrap()
}

/// Fills a data directory with so many bytes of executions that have ended.
async fn fill(directory: &Path, bytes: u64) {
    let store = DiskStore::open(directory, Arc::new(SystemClock), DiskOptions::default()).unwrap();
    let store = Arc::new(store);
    let logs = Registry::new(store.clone(), Arc::new(SystemClock), LogOptions::default());
    let node = NodeName::new("write").unwrap();
    let token = Token { content: "x".repeat(1_000), ..Token::default() };
    let mut writers = Vec::new();
    for number in 0..OLD {
        writers.push(logs.create(&old(number)).await.unwrap());
    }
    while store.bytes() < bytes {
        for writer in &writers {
            writer.append((0..200).map(|_| Event::token(node.clone(), &token))).await.unwrap();
        }
    }
    for writer in writers {
        writer.finish(StatusUpdate::completed(Value::Null)).await.unwrap();
    }
    logs.close().await;
}

/// Has the system forget what it keeps of the files in memory, so that they are read from the disk.
fn forget(directory: &Path) {
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            fadvise(fs::File::open(path).unwrap(), 0, None, Advice::DontNeed).unwrap();
        }
    }
}

/// The first entry of an execution, as an event stream has it.
async fn first_entry(server: &Program, id: &ExecutionId) -> Value {
    let mut events = EventStream::open(server.address, id.as_str(), None).await.unwrap();
    events.next().await.unwrap().1
}

/// An execution that runs, and what who follows it has got when the server is gone.
type Followed = (ExecutionId, JoinHandle<Vec<Value>>);

/// Starts executions that do nothing but stream, and waits until `entries` of them have been followed.
async fn load(server: &Program, round: usize, entries: u64) -> Vec<Followed> {
    let (seen, mut followed) = (Arc::new(AtomicU64::new(0)), Vec::new());
    for number in 0..RUNNING {
        let id: ExecutionId = format!("round-{round}-{number}").parse().unwrap();
        // Slowly enough that none becomes so long before the kill that its oldest entries are let go.
        let body = json!({"executionId": id, "input": {"tokens": 1_000_000, "pause_ms": 1}});
        let path = "/workflows/steps/executions";
        let (status, _) = http::json(server.address, "POST", path, &[], Some(&body)).await;
        assert_eq!(status, 202);
        let mut events = EventStream::open(server.address, id.as_str(), None).await.unwrap();
        let seen = seen.clone();
        let following = async move {
            let mut got = Vec::new();
            while let Some((_, frame)) = events.next().await {
                seen.fetch_add(1, Ordering::Relaxed);
                got.push(frame);
            }
            got
        };
        followed.push((id, tokio::spawn(following)));
    }
    while seen.load(Ordering::Relaxed) < entries {
        tokio::task::yield_now().await;
    }
    followed
}

/// What was found after the kills.
#[derive(Debug, Default)]
struct Figures {
    seen: usize,
    lost: usize,
    misplaced: usize,
    interrupted: usize,
}

impl Figures {
    /// Compares what was `seen` of an execution before the kill with all that is `served` of it after.
    fn compare(&mut self, seen: &[Value], served: &[Value]) {
        self.seen += seen.len();
        self.lost += seen.iter().enumerate().filter(|(at, frame)| served.get(*at) != Some(frame)).count();
        let is_at = |(at, frame): &(usize, &Value)| frame["sequence"] == *at + 1;
        self.misplaced += served.iter().enumerate().filter(|frame| !is_at(frame)).count();
        let end = &served.last().unwrap()["payload"];
        assert_eq!(end["status"], "failed", "{end}");
        self.interrupted += usize::from(end["error"]["code"] == "interrupted");
    }
}

/// The median of some times, and the shortest and the longest, in milliseconds.
fn spread(times: &mut [Duration]) -> [f64; 3] {
    times.sort_unstable();
    [times[times.len() / 2], times[0], times[times.len() - 1]].map(|time| time.as_secs_f64() * 1e3)
}

fn log_bytes(directory: &Path) -> u64 {
    let paths = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    paths.filter(is_log).map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_under_load_has_lost_nothing_and_serves_it_again() {
    let (bytes, kills, load_below) = if chaos() { (1 << 30, 40, 5_000) } else { (24 << 20, 4, 500) };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fill(&data, bytes).await;
    // What has ended is to stay, also when it takes more than it may by default.
    let config = folder.path().join("options.toml");
    fs::write(&config, "[disk]\nmax_finished_bytes = 1000000000000").unwrap();
    let flags = ["--config", config.to_str().unwrap()];
    let start = || Program::start_with(SERVER, &data, &flags);
    let (mut random, mut figures) = (Random::new(4), Figures::default());
    // From files that the system has in memory, and from the disk.
    let mut first_byte = [Vec::new(), Vec::new()];
    let mut server = start().await;
    for kill in 0..kills {
        let followed = load(&server, kill, u64::from(100 + random.below(load_below))).await;
        server.kill().await;
        let is_cold = kill % 2 == 1;
        if is_cold {
            forget(&data);
        }
        let began = Instant::now();
        server = start().await;
        let first = first_entry(&server, &old(random.below(OLD))).await;
        first_byte[usize::from(is_cold)].push(began.elapsed());
        assert_eq!((&first["sequence"], &first["type"]), (&json!(1), &json!("token")));
        for (id, seen) in followed {
            let mut events = EventStream::open(server.address, id.as_str(), None).await.unwrap();
            let mut served = Vec::new();
            while let Some((_, frame)) = events.next().await {
                served.push(frame);
            }
            figures.compare(&seen.await.unwrap(), &served);
        }
    }
    server.kill().await;
    let Figures { seen, lost, misplaced, interrupted } = figures;
    println!(
        "server killed: kills={kills} interrupted={interrupted} seen={seen} lost={lost} misplaced={misplaced}"
    );
    for (name, times) in ["warm", "cold"].iter().zip(&mut first_byte) {
        let [p50, min, max] = spread(times);
        println!(
            "restart of a server, files {name}: log_bytes={} restarts={} first_byte_p50_ms={p50:.1} min_ms={min:.1} max_ms={max:.1}",
            log_bytes(&data),
            times.len()
        );
    }
    assert!(seen > kills * 100, "something was seen");
    assert_eq!((lost, misplaced), (0, 0));
    // On a machine that stands still for so long, one may reach the timeout of its node before the kill.
    assert!(interrupted > kills, "{interrupted} executions ran when a server was killed");
}
