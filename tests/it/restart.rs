//! What survives a server: a crash in the middle of a run, and a second server on the same directory.

#[cfg(target_os = "linux")]
mod first_byte;
mod owners;

use std::{fs, path::Path, sync::Arc, time::Duration};

use clap::Parser as _;
use serde_json::{Value, json};
use streamnest::{
    ServerFlags, Streamnest,
    log::{LogOptions, Retention, SystemClock},
    log_disk::{DiskOptions, DiskStore},
};
use streamnest_tests::{follower::Follower, http, server::Server, socket::Socket, workflows::Steps};
use tokio::{sync::Semaphore, task::JoinSet};

fn store(directory: &Path) -> Arc<DiskStore> {
    let options = DiskOptions::default().with_reserve_bytes(0);
    Arc::new(DiskStore::open(directory, Arc::new(SystemClock), options).unwrap())
}

/// The files as a killed process leaves them.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

async fn start(server: &Server, id: &str, input: Value) -> (u16, Value) {
    let body = json!({"executionId": id, "input": input});
    let (status, reply) =
        http::json(server.address, "POST", "/workflows/steps/executions", &[], Some(&body)).await;
    (status.as_u16(), reply)
}

async fn entries(server: &Server, id: &str, after: Option<&str>) -> Vec<Value> {
    let mut all = Vec::new();
    if let Some(mut stream) = http::EventStream::open(server.address, id, after).await {
        while let Some((_, frame)) = stream.next().await {
            all.push(frame);
        }
    }
    all
}

#[tokio::test]
async fn a_server_that_crashed_ends_what_it_ran_and_serves_everything_on() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let permits = Arc::new(Semaphore::new(9));
    let app = Streamnest::builder().workflow(Steps { permits: permits.clone() });
    let server = Server::start(app.store(store(&first))).await;
    assert_eq!(start(&server, "done", json!({"tokens": 5})).await.0, 202);
    let done = entries(&server, "done", None).await;
    assert_eq!(start(&server, "held", json!({"tokens": 100})).await.0, 202);
    let mut socket = Socket::connect(server.address).await;
    socket
        .subscribe(
            "held",
            json!({"events": ["token"], "subscription": "billing", "delivery": "exactly-once"}),
        )
        .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(socket.expect("token").await);
    }
    let acknowledged = held[1]["sequence"].clone();
    let acknowledge = json!({"executionId": "held", "subscription": "billing", "sequence": acknowledged});
    socket.send("ack", acknowledge).await;
    let held_log = server.app.logs().get(&"held".parse::<streamnest::core::ExecutionId>().unwrap()).unwrap();
    while held_log.attribute("subscription/billing").is_none() {
        tokio::task::yield_now().await;
    }
    copy(&first, &second);

    let server = Server::start(Streamnest::builder().workflow(Steps::default()).store(store(&second))).await;
    let (_, page) = http::json(server.address, "GET", "/executions", &[], None).await;
    let listed: Vec<_> = page["executions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| (&run["executionId"], &run["status"]))
        .collect();
    assert_eq!(listed, [(&json!("held"), &json!("failed")), (&json!("done"), &json!("completed"))]);
    assert_eq!(entries(&server, "done", None).await, done, "what had ended is read as it was");
    let all = entries(&server, "held", None).await;
    let sequences: Vec<u64> = all.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=all.len() as u64).collect::<Vec<_>>(), "the end comes in sequence");
    let last = &all.last().unwrap()["payload"];
    assert_eq!((&last["status"], &last["error"]["code"]), (&json!("failed"), &json!("interrupted")));
    for token in &held {
        let mut frame = token.clone();
        frame.as_object_mut().unwrap().remove("subscription");
        assert!(all.contains(&frame), "a position that was handed out stays good: {frame}");
    }
    let after = held[3]["position"].as_str().unwrap();
    let rest = entries(&server, "held", Some(after)).await;
    assert_eq!(rest, all[held[3]["sequence"].as_u64().unwrap() as usize..], "a reader resumes where it was");

    // A named subscription starts again after what it acknowledged.
    let mut socket = Socket::connect(server.address).await;
    socket.subscribe("held", json!({"events": ["token"], "subscription": "billing"})).await;
    assert_eq!(socket.expect("token").await["sequence"], held[2]["sequence"]);

    let (status, again) = start(&server, "done", json!({"tokens": 5})).await;
    assert_eq!((status, &again["attached"]), (202, &json!(true)), "the same request is the same execution");
    assert_eq!(start(&server, "done", json!({"tokens": 6})).await.0, 409);
    let (status, _) = http::json(
        server.address,
        "DELETE",
        "/executions/done",
        &[("content-type", "application/json")],
        None,
    )
    .await;
    assert_eq!(status.as_u16(), 202);
    server.stop().await;
    let third = Server::start(Streamnest::builder().workflow(Steps::default()).store(store(&second))).await;
    let (_, page) = http::json(third.address, "GET", "/executions", &[], None).await;
    assert_eq!(page["executions"].as_array().unwrap().len(), 1, "what was deleted stays so: {page}");
}

#[tokio::test]
async fn the_flags_say_where_logs_are_kept_and_one_program_keeps_them_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("logs");
    let flags = |more: &[&str]| {
        let arguments =
            ["program", "--listen", "127.0.0.1:0", "--log", "error", "--data-dir", path.to_str().unwrap()];
        ServerFlags::try_parse_from(arguments.iter().chain(more))
    };
    let kept = store(&path);
    let app = Streamnest::builder().workflow(Steps::default()).build().await.unwrap();
    let refused = flags(&[]).unwrap().serve(&app).await.unwrap_err();
    assert_eq!(refused.code(), "data_directory_locked", "{refused}");
    drop(kept);
    let app = Streamnest::builder().workflow(Steps::default()).build().await.unwrap();
    let serving = app.clone();
    let flags_of_first = flags(&["--durability", "interval=200ms"]).unwrap();
    let task = tokio::spawn(async move { flags_of_first.serve(&serving).await });
    while !app.logs().is_persistent() {
        assert!(!task.is_finished(), "it serves");
        tokio::task::yield_now().await;
    }
    app.start("steps", json!({"tokens": 3})).await.unwrap().result().await.unwrap();
    task.abort();
    assert!(fs::read_dir(&path).unwrap().any(|file| file.unwrap().file_name() == "FORMAT"));

    for (bad, told) in [("interval=5", "unit"), ("interval=0s", "above zero"), ("often", "legal are")] {
        let error = flags(&["--durability", bad]).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    assert!(flags(&["--memory"]).is_err(), "a directory and none");
    let own = Streamnest::builder().workflow(Steps::default()).store(store(&directory.path().join("own")));
    let refused = flags(&[]).unwrap().serve(&own.build().await.unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), "store_chosen");

    // What was started before anybody chose is in memory, and is not lost in silence.
    let early = Streamnest::builder().workflow(Steps::default()).build().await.unwrap();
    early.start("steps", json!({"tokens": 1})).await.unwrap().result().await.unwrap();
    let refused = flags(&[]).unwrap().serve(&early).await.unwrap_err();
    assert_eq!(refused.code(), "logs_used", "{refused}");
}

#[tokio::test]
async fn a_run_is_kept_whole_on_disk_though_memory_has_room_for_little_of_it_and_many_read() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention::default().with_max_entries(10).with_max_bytes(5_000);
    let options = LogOptions::default().with_retention(retention.with_max_age(Duration::from_nanos(1)));
    let builder = Streamnest::builder().workflow(Steps::default()).log_options(options);
    let server = Server::start(builder.data_dir(directory.path())).await;
    assert_eq!(start(&server, "run", json!({"tokens": 300, "pause_ms": 1})).await.0, 202);
    // Each way has its own encoding, which counts as memory.
    let mut followers = JoinSet::new();
    for follower in [Follower::Events, Follower::WebSocket, Follower::StreamEvents] {
        let address = server.address;
        followers.spawn(async move { follower.follow(address, "run").await });
    }
    let got = followers.join_all().await;
    let late = Follower::Events.follow(server.address, "run").await;
    assert!(late.len() > 300 && got.iter().all(|frames| *frames == late), "nobody was told a gap");
    assert_eq!(Follower::CatchUp.follow(server.address, "run").await, late);
    let at_hand = server.app.logs().bytes();
    assert!((1..20_000).contains(&at_hand), "{at_hand} bytes are in memory");
    server.stop().await;
}
