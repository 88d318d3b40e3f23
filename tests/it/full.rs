//! A server whose disk is full, and has room again.

mod quota;

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, sync::Arc, time::Instant};

use self::quota::Quota;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use serde_json::{Value, json};
use streamnest::{
    Streamnest,
    log::SystemClock,
    log_disk::{DiskOptions, DiskStore},
};
use streamnest_tests::{
    http::{self, request},
    server::Server,
    workflows::Steps,
};
use tempfile::TempDir;

/// The size of the disk, in MiB, and what of it something else takes.
const MEBIBYTES: usize = 8;
const BALLAST: usize = 3 << 20;
/// One append.
const BYTES: usize = 20_000;

/// A small disk: a file system in memory where the system lets us mount one, else a folder with a quota that the storage counts.
struct SmallDisk {
    folder: TempDir,
    is_mounted: bool,
}

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={MEBIBYTES}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        let is_mounted = mount.is_ok_and(|output| output.status.success());
        Self { folder, is_mounted }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn open(&self) -> Arc<DiskStore> {
        let options = DiskOptions::default().with_reserve_bytes(256 << 10).with_segment_bytes(1 << 20);
        let clock = Arc::new(SystemClock);
        Arc::new(match self.is_mounted {
            true => DiskStore::open(&self.path(), clock, options).unwrap(),
            false => {
                DiskStore::open_on(Quota::new(&self.path(), self.folder.path()), clock, options).unwrap()
            }
        })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
        }
    }
}

async fn append(server: &Server, number: usize) -> StatusCode {
    let message = json!({"number": number, "filler": "x".repeat(BYTES)});
    let (status, body) = http::json(server.address, "POST", "/v1/stream/full", &[], Some(&message)).await;
    if status == StatusCode::INSUFFICIENT_STORAGE {
        assert_eq!(
            (&body["error"]["code"], &body["error"]["retryable"]),
            (&json!("store_full"), &json!(true))
        );
        assert!(!body.to_string().contains("data"), "where the store is does not reach a client: {body}");
    }
    status
}

/// The numbers of the appends that can be read.
async fn kept(server: &Server) -> Vec<u64> {
    let (mut offset, mut numbers) = ("-1".to_owned(), Vec::new());
    loop {
        let path = format!("/v1/stream/full?offset={offset}");
        let (response, _) = request(server.address, "GET", &path, &[], None).await;
        assert_eq!(response.status(), StatusCode::OK);
        offset = response.headers()["stream-next-offset"].to_str().unwrap().to_owned();
        let is_all = response.headers().contains_key("stream-up-to-date");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let messages: Vec<Value> = serde_json::from_slice(&body).unwrap();
        numbers.extend(messages.iter().map(|message| message["number"].as_u64().unwrap()));
        if is_all {
            return numbers;
        }
    }
}

#[tokio::test]
async fn a_server_whose_disk_failed_says_so_takes_nothing_and_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Quota::new(&folder.path().join("data"), folder.path());
    let store = DiskStore::open_on(disk.clone(), Arc::new(SystemClock), DiskOptions::default()).unwrap();
    let server = Server::start(Streamnest::builder().workflow(Steps::default()).store(Arc::new(store))).await;
    let (made, _) = request(server.address, "PUT", "/v1/stream/full", &[], Some(&json!([]))).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    assert_eq!(append(&server, 1).await, StatusCode::NO_CONTENT);
    let told = async |method, path, body: Option<Value>| {
        let (status, body) = http::json(server.address, method, path, &[], body.as_ref()).await;
        (status.as_u16(), body["error"]["code"].clone(), body["error"]["retryable"].clone())
    };
    assert_eq!(told("GET", "/readyz", None).await.0, 200);
    disk.break_down();
    let failed = (503, json!("store_failed"), json!(false));
    for _ in 0..2 {
        assert_eq!(told("POST", "/v1/stream/full", Some(json!({"number": 2}))).await, failed);
    }
    let start = json!({"input": {"tokens": 1}});
    assert_eq!(told("POST", "/workflows/steps/executions", Some(start)).await, failed);
    assert_eq!(told("GET", "/readyz", None).await, failed);
    assert_eq!(told("GET", "/healthz", None).await.0, 200);
    assert_eq!(kept(&server).await, [1], "reads go on");
    server.stop().await;
}

#[tokio::test]
async fn a_full_disk_refuses_appends_with_507_reads_on_and_goes_on_by_itself_when_there_is_room() {
    let disk = SmallDisk::new();
    let ballast = disk.folder.path().join("ballast");
    fs::write(&ballast, vec![b'x'; BALLAST]).unwrap();
    let server = Server::start(Streamnest::builder().workflow(Steps::default()).store(disk.open())).await;
    let (made, _) = request(server.address, "PUT", "/v1/stream/full", &[], Some(&json!([]))).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let (mut acknowledged, mut number, mut refused) = (Vec::new(), 0, 0);
    while refused < 20 {
        match append(&server, number).await {
            StatusCode::NO_CONTENT => acknowledged.push(number as u64),
            StatusCode::INSUFFICIENT_STORAGE => refused += 1,
            other => panic!("append {number}: {other}"),
        }
        number += 1;
        assert!(number * BYTES < MEBIBYTES << 21, "the disk becomes full");
    }
    let read = kept(&server).await;
    assert!(acknowledged.iter().all(|number| read.contains(number)), "reads go on while the disk is full");

    fs::remove_file(&ballast).unwrap();
    let room = Instant::now();
    loop {
        let status = append(&server, number).await;
        number += 1;
        if status == StatusCode::NO_CONTENT {
            acknowledged.push(number as u64 - 1);
            break;
        }
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
        tokio::task::yield_now().await;
    }
    let recovered = room.elapsed();
    server.stop().await;

    let server = Server::start(Streamnest::builder().workflow(Steps::default()).store(disk.open())).await;
    let read = kept(&server).await;
    let lost = acknowledged.iter().filter(|number| !read.contains(number)).count();
    let doubled = read.len() - read.iter().collect::<BTreeSet<_>>().len();
    println!(
        "disk full: tmpfs={} acked={} refused={refused} lost={lost} doubled={doubled} room_to_first_ack_ms={:.0}",
        u8::from(disk.is_mounted),
        acknowledged.len(),
        recovered.as_secs_f64() * 1e3
    );
    assert_eq!((lost, doubled), (0, 0));
    assert!(read.is_sorted(), "in order");
    let again = append(&server, number).await;
    assert_eq!(again, StatusCode::NO_CONTENT);
    server.stop().await;
}
