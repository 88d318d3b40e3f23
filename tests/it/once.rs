//! Keys of `emit_once` and a process that is killed while it uses them.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use serde_json::json;
use streamnest::{
    Streamnest,
    core::{ExecutionId, StartExecution},
    log::SystemClock,
    log_disk::{DiskOptions, DiskStore},
    prelude::*,
};
use streamnest_tests::{http, server::Server};

/// Set for the process that is killed: its data directory.
const DIRECTORY: &str = "STREAMNEST_TEST_ONCE_DIRECTORY";

#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Bills {
    count: u64,
}

struct Paying;

#[workflow(name = "paying", state = Bills)]
impl Paying {
    #[node(start)]
    #[stream_event(events("paid"))]
    async fn pay(&self, state: &Bills, ctx: &NodeContext) -> NodeResult<BillsUpdate> {
        for bill in 0..state.count {
            let key = format!("bill-{bill}");
            assert!(ctx.emit_once(&key, "paid", &key).await?, "it is new");
            // Twice, as a retry would.
            assert!(!ctx.emit_once(&key, "paid", &key).await?, "it is known");
            println!("paid {key}");
        }
        Ok(BillsUpdate::new())
    }
}

fn store(directory: &Path) -> Arc<DiskStore> {
    let options = DiskOptions::default().with_reserve_bytes(0);
    Arc::new(DiskStore::open(directory, Arc::new(SystemClock), options).unwrap())
}

/// What the killed process runs; nothing in an ordinary run of the tests.
#[tokio::test]
async fn bills_are_paid_by_the_process_that_is_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let app = Streamnest::builder().workflow(Paying).store(store(Path::new(&directory)));
    let app = app.build().await.unwrap();
    let request = StartExecution {
        workflow: "paying".into(),
        input: json!({"count": 9_000}),
        execution_id: Some("bills".parse().unwrap()),
        on_disconnect: None,
        trace: None,
    };
    app.start_with(request).await.unwrap().result().await.unwrap();
}

#[tokio::test]
async fn keys_of_emit_once_survive_kill_9_and_each_is_there_just_if_its_event_is() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "once::bills_are_paid_by_the_process_that_is_killed", "--nocapture"])
        .env(DIRECTORY, &data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let paid = lines.filter_map(|line| line.strip_prefix("paid ").map(str::to_owned));
    let paid: BTreeSet<String> = paid.take(100).collect();
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(paid.len(), 100, "it paid until it was killed");

    let server = Server::start(Streamnest::builder().workflow(Paying).store(store(&data))).await;
    let mut stream = http::EventStream::open(server.address, "bills", None).await.unwrap();
    let mut events = Vec::new();
    while let Some((_, frame)) = stream.next().await {
        if frame["payload"]["type"] == "paid" {
            events.push(frame["payload"]["data"].as_str().unwrap().to_owned());
        }
    }
    let distinct: BTreeSet<String> = events.iter().cloned().collect();
    let bills: ExecutionId = "bills".parse().unwrap();
    let log = server.app.logs().get(&bills).unwrap();
    let keys = log.attributes("once/").into_iter().map(|(key, _)| key.trim_start_matches("once/").to_owned());
    let keys: BTreeSet<String> = keys.collect();
    let (lost, doubled) = (paid.difference(&distinct).count(), events.len() - distinct.len());
    println!(
        "emit_once: told={} events={} keys={} lost={lost} doubled={doubled}",
        paid.len(),
        events.len(),
        keys.len()
    );
    assert_eq!((lost, doubled), (0, 0));
    assert_eq!(keys, distinct, "a key is there just if its event is");
}
