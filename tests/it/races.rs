//! Two who want to have the last word, and many who want to say the same. After each race the server is as unharmed as after any
//! other attack.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use streamnest::{
    Streamnest,
    core::{ExecutionId, Tenant},
    gateway::{AuthenticationOptions, GatewayOptions, TokenKey},
    log::LogOptions,
};
use streamnest_tests::{
    descriptors,
    follower::Http,
    footprint,
    server::Server,
    watch::{self, Watch, Watched, bearer},
    workflows::Steps,
};
use tokio::{
    sync::{Barrier, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How often a cancel meets the end of a run.
const RACES: u32 = 1_000;
/// Producers that say the same numbers at once, and how many numbers.
const PRODUCERS: usize = 1_000;
const NUMBERS: usize = 10;
/// The execution that they are of.
const MANY: &str = "/v1/stream/executions/many";

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");

/// Every entry of an execution that has ended.
async fn entries(http: &mut Http, execution: &str, authorization: &str) -> Vec<Value> {
    let path = format!("/v1/stream/executions/{execution}");
    let answer = http.get(&path, &[("authorization", authorization)]).await.expect("the server answers");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["stream-closed"], "true", "{execution} has ended");
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// A server in this process that asks for tokens and logs everything, and what watches it.
async fn watched(permits: &Arc<Semaphore>, folder: &Path) -> (Server, Watch) {
    let log = folder.join("log");
    watch::log_to(&log);
    let authentication = AuthenticationOptions::new(TokenKey::secret(watch::SECRET));
    let builder = Streamnest::builder()
        .workflow(Steps { permits: permits.clone() })
        .data_dir(folder.join("data"))
        // What is kept of runs that have ended is bounded by this, and would hide what is kept of races.
        .log_options(LogOptions::default().with_max_logs(128))
        .gateway_options(GatewayOptions::default().with_authentication(Some(authentication)));
    let server = Server::start(builder).await;
    let watch = Watch::over(server.address, "self", &log).await;
    (server, watch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_and_the_end_of_a_run_make_one_terminal_entry_between_them() {
    let (permits, folder) = (Arc::new(Semaphore::new(0)), tempfile::tempdir().unwrap());
    let (server, mut watch) = watched(&permits, folder.path()).await;
    let (mut http, eve, tenant) =
        (Http::new(server.address), bearer("eve"), Tenant::of_subject("eve").unwrap());
    let headers = [("authorization", &*eve), ("content-type", "application/json")];
    let mut ends = BTreeMap::<String, usize>::new();
    // How long the cancel waits after the run may go on, in microseconds: longer when it came first, and shorter when it came last,
    // so that the two meet on whatever machine.
    let mut head_start = 100.0;
    for race in 0..RACES {
        let id: ExecutionId = format!("race-{race}").parse().unwrap();
        let start = json!({"executionId": id, "input": {"tokens": 1}}).to_string();
        let started = http.send("POST", "/workflows/steps/executions", &headers, start).await;
        assert_eq!(started.expect("the server answers").status(), 202);
        let run = server.app.attach(&id.within(&tenant)).await.unwrap();
        let path = format!("/executions/{id}/cancel");
        permits.add_permits(1);
        let let_go = Instant::now();
        while let_go.elapsed().as_secs_f64() < head_start / 1e6 {
            tokio::task::yield_now().await;
        }
        let answer = http.send("POST", &path, &headers, "{}".into()).await;
        assert_eq!(answer.expect("the server answers").status(), 202);
        let end = run.result().await;
        let entries = entries(&mut http, id.as_str(), &eve).await;
        let terminal: Vec<&Value> = entries
            .iter()
            .filter(|entry| entry["type"] == "status" && entry["payload"]["status"] != "running")
            .collect();
        assert_eq!(terminal.len(), 1, "race {race}: {entries:?}");
        let status = terminal[0]["payload"]["status"].as_str().unwrap();
        assert_eq!(terminal[0]["sequence"], entries.len(), "race {race}: it is the last entry");
        assert_eq!(
            end.is_ok(),
            status == "completed",
            "race {race}: who waits in the program hears the same"
        );
        head_start = if status == "cancelled" { head_start * 1.2 + 1.0 } else { head_start / 1.2 };
        *ends.entry(status.to_owned()).or_default() += 1;
        // A permit that a cancelled run did not take is none of the next one's.
        permits.forget_permits(1);
        watch.is_unharmed(format_args!("race {race}, which {status}")).await;
    }
    let [completed, cancelled] = ["completed", "cancelled"].map(|status| ends.remove(status).unwrap_or(0));
    let outcome = watch.end().await;
    println!("races={RACES} completed={completed} cancelled={cancelled} terminal_entries={RACES} {outcome}");
    assert!(ends.is_empty(), "{ends:?}");
    assert!(completed > 0 && cancelled > 0, "both were first at times");
}

/// A connection of a producer, once all of them have theirs.
async fn arrive(server: SocketAddr, all: Arc<Barrier>) -> Http {
    let mut http = Http::new(server);
    assert_eq!(http.get("/healthz", &[]).await.expect("the server answers").status(), 200);
    all.wait().await;
    http
}

/// Says a number once, when all are there for it; whether it was the one who said it.
async fn produce(
    server: SocketAddr,
    (number, producer): (usize, usize),
    authorization: Arc<str>,
    all: Arc<Barrier>,
) -> bool {
    let mut http = arrive(server, all).await;
    let content = json!([{"type": "token", "nodeId": "write", "payload": {"content": format!("{number} by {producer}")}}]);
    let seq = number.to_string();
    let headers = [
        ("authorization", &*authorization),
        ("content-type", "application/json"),
        ("producer-id", "many"),
        ("producer-epoch", "0"),
        ("producer-seq", seq.as_str()),
    ];
    let answer = http.send("POST", MANY, &headers, content.to_string()).await;
    match answer.expect("the server answers").status().as_u16() {
        200 => true,
        204 => false,
        status => panic!("{number} by {producer} got {status}"),
    }
}

/// Waits until a process has no more sockets open than that.
async fn left(pid: u32, sockets: usize) {
    let all = async {
        while footprint::descriptors(pid).0 > sockets {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), all).await.expect("a connection that is closed takes no place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_producers_of_one_sequence_one_says_each_number() {
    descriptors::allow(3 * PRODUCERS as u64);
    let Watched { program: server, mut watch, folder: _folder } = Watched::start(SERVER, None).await;
    let (mut http, eve) = (Http::new(server.address), bearer("eve"));
    let headers = [("authorization", &*eve), ("content-type", "application/json")];
    let made = http.send("PUT", MANY, &headers, String::new()).await;
    assert_eq!(made.unwrap().status(), 201);
    let (sockets, _) = footprint::descriptors(server.pid());
    // What so many connections take is another question, and the allocator keeps a part of it.
    let all = Arc::new(Barrier::new(PRODUCERS));
    let crowd: JoinSet<_> = (0..PRODUCERS).map(|_| arrive(server.address, all.clone())).collect();
    drop(crowd.join_all().await);
    left(server.pid(), sockets).await;
    watch.begin();
    let mut wins = [0; NUMBERS];
    for (number, wins) in wins.iter_mut().enumerate() {
        let (all, mut producers) = (Arc::new(Barrier::new(PRODUCERS)), JoinSet::new());
        for producer in 0..PRODUCERS {
            producers.spawn(produce(server.address, (number, producer), eve.as_str().into(), all.clone()));
        }
        *wins = producers.join_all().await.into_iter().filter(|won| *won).count();
        left(server.pid(), sockets).await;
        watch.is_unharmed(format_args!("{PRODUCERS} who say {number}")).await;
    }
    let close = [headers[0], ("stream-closed", "true")];
    let closed = http.send("POST", MANY, &close, String::new()).await;
    assert_eq!(closed.unwrap().status(), 204);
    let said: Vec<String> = entries(&mut http, "many", &eve)
        .await
        .iter()
        .filter_map(|entry| {
            let content = entry["payload"]["content"].as_str()?;
            Some(content.split(' ').next().unwrap().to_owned())
        })
        .collect();
    let (winners, outcome) = (wins.iter().sum::<usize>(), watch.end().await);
    println!("producers={PRODUCERS} numbers={NUMBERS} winners={winners} {outcome}");
    assert_eq!(wins, [1; NUMBERS], "how many were told that it was theirs");
    assert_eq!(
        said,
        (0..NUMBERS).map(|number| number.to_string()).collect::<Vec<_>>(),
        "each stands once, in order"
    );
}
