//! Two who want to have the last word, and many who want to say the same.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use serde_json::{Value, json};
use streamnest::{
    Streamnest,
    core::{ExecutionId, StartExecution},
};
use streamnest_tests::{
    descriptors,
    follower::{Follower, Http},
    server::Server,
    workflows::Steps,
};
use tokio::{
    sync::{Barrier, Semaphore},
    task::JoinSet,
};

/// How often a cancel meets the end of a run.
const RACES: u32 = 1_000;
/// Producers that say the same numbers at once, and how many numbers.
const PRODUCERS: usize = 1_000;
const NUMBERS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_and_the_end_of_a_run_make_one_terminal_entry_between_them() {
    let permits = Arc::new(Semaphore::new(0));
    let server = Server::start(Streamnest::builder().workflow(Steps { permits: permits.clone() })).await;
    let mut http = Http::new(server.address);
    let mut ends = BTreeMap::<String, usize>::new();
    // How long the cancel waits after the run may go on, in microseconds: longer when it came first, and shorter when it came last,
    // so that the two meet on whatever machine.
    let mut head_start = 100.0;
    for race in 0..RACES {
        let id: ExecutionId = format!("race-{race}").parse().unwrap();
        let start = StartExecution {
            workflow: "steps".into(),
            input: json!({"tokens": 1}),
            execution_id: Some(id.clone()),
            on_disconnect: None,
            trace: None,
        };
        let run = server.app.start_with(start).await.unwrap();
        let path = format!("/executions/{id}/cancel");
        let headers = [("content-type", "application/json")];
        permits.add_permits(1);
        let let_go = Instant::now();
        while let_go.elapsed().as_secs_f64() < head_start / 1e6 {
            tokio::task::yield_now().await;
        }
        let answer = http.send("POST", &path, &headers, "{}".into()).await;
        assert_eq!(answer.expect("the server answers").status(), 202);
        let end = run.result().await;
        let entries = Follower::Events.follow(server.address, &id).await;
        let terminal: Vec<Value> = entries
            .iter()
            .map(|entry| serde_json::from_str(entry).unwrap())
            .filter(|entry: &Value| entry["type"] == "status" && entry["payload"]["status"] != "running")
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
    }
    let [completed, cancelled] = ["completed", "cancelled"].map(|status| ends.remove(status).unwrap_or(0));
    println!("races={RACES} completed={completed} cancelled={cancelled} terminal_entries={RACES}");
    assert!(ends.is_empty(), "{ends:?}");
    assert!(completed > 0 && cancelled > 0, "both were first at times");
}

/// Says every number once, as soon as all are there; for which of them it was the one who said it.
async fn produce(server: std::net::SocketAddr, producer: usize, all: Arc<Barrier>, wins: Arc<[AtomicUsize]>) {
    let mut http = Http::new(server);
    // So that all of them are connected before the first one says something.
    assert_eq!(http.get("/healthz", &[]).await.expect("the server answers").status(), 200);
    all.wait().await;
    for (number, wins) in wins.iter().enumerate() {
        let content = json!([{"type": "token", "nodeId": "write", "payload": {"content": format!("{number} by {producer}")}}]);
        let seq = number.to_string();
        let headers = [
            ("content-type", "application/json"),
            ("producer-id", "many"),
            ("producer-epoch", "0"),
            ("producer-seq", seq.as_str()),
        ];
        let answer = http.send("POST", "/v1/stream/executions/many", &headers, content.to_string()).await;
        match answer.expect("the server answers").status().as_u16() {
            200 => _ = wins.fetch_add(1, Ordering::SeqCst),
            204 => {}
            status => panic!("{number} by {producer} got {status}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_producers_of_one_sequence_one_says_each_number() {
    descriptors::allow(3 * PRODUCERS as u64);
    let server = Server::start(Streamnest::builder().workflow(Steps::default())).await;
    let json_type = [("content-type", "application/json")];
    let made =
        Http::new(server.address).send("PUT", "/v1/stream/executions/many", &json_type, String::new()).await;
    assert_eq!(made.unwrap().status(), 201);
    let wins: Arc<[AtomicUsize]> = (0..NUMBERS).map(|_| AtomicUsize::new(0)).collect();
    let (all, mut producers) = (Arc::new(Barrier::new(PRODUCERS)), JoinSet::new());
    for producer in 0..PRODUCERS {
        producers.spawn(produce(server.address, producer, all.clone(), wins.clone()));
    }
    producers.join_all().await;
    let close = [("stream-closed", "true")];
    let closed =
        Http::new(server.address).send("POST", "/v1/stream/executions/many", &close, String::new()).await;
    assert_eq!(closed.unwrap().status(), 204);
    let said: Vec<String> = Follower::Events
        .follow(server.address, "many")
        .await
        .iter()
        .filter_map(|entry| {
            let entry: Value = serde_json::from_str(entry).unwrap();
            let content = entry["payload"]["content"].as_str()?;
            Some(content.split(' ').next().unwrap().to_owned())
        })
        .collect();
    let wins: Vec<usize> = wins.iter().map(|wins| wins.load(Ordering::SeqCst)).collect();
    println!("producers={PRODUCERS} numbers={NUMBERS} winners={}", wins.iter().sum::<usize>());
    assert_eq!(wins, [1; NUMBERS], "how many were told that it was theirs");
    assert_eq!(
        said,
        (0..NUMBERS).map(|number| number.to_string()).collect::<Vec<_>>(),
        "each stands once, in order"
    );
}
