//! Strangers who open all that a process may have open.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use streamnest_tests::{
    descriptors,
    follower::Http,
    footprint, http,
    watch::{Watched, bearer_with},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
/// What the process may have open, and how many connections are then held.
const DESCRIPTORS: u32 = 128;
const PLACES: usize = 64;
/// How long something takes that does come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Entries that are said to the control client while there is no room.
const ENTRIES: usize = 100;

/// Whether the server answers a new connection before long.
async fn answers(server: SocketAddr, within: Duration) -> bool {
    let asked = async {
        let mut http = Http::new(server);
        http.get("/healthz", &[]).await.is_some_and(|answer| answer.status() == 200)
    };
    timeout(within, asked).await.unwrap_or(false)
}

/// How often all its places were taken when somebody came.
async fn waits(server: SocketAddr) -> u64 {
    let operator = bearer_with(json!({"sub": "root", "scope": "operate"}));
    let waits = http::metric(server, &[("authorization", &operator)], "streamnest_accept_waits_total").await;
    waits.expect("it is shown from the beginning")
}

/// Waits until a process has every descriptor below its limit open. It may have others: the limit is one of their numbers,
/// and what it inherited can have a high one. A place that became free is taken at the server's next try.
async fn full(pid: u32, limit: u64) {
    let is_open = |number| std::fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_ok();
    let filled = async {
        while !(0..limit).all(is_open) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, filled).await.expect("as many are accepted as can be");
}

/// Connections that are opened and say nothing.
async fn crowd(server: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..count {
        crowd.push(TcpStream::connect(server).await.unwrap());
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opens_all_connections_leaves_files_to_the_logs_and_harms_nobody_who_is_there() {
    let Watched { program: server, mut watch, folder: _folder } =
        Watched::start(SERVER, Some(DESCRIPTORS)).await;
    assert_eq!(waits(server.address).await, 0, "there are places");
    let crowd = crowd(server.address, 4 * PLACES).await;
    assert!(!answers(server.address, Duration::from_millis(500)).await, "all places are taken");
    let (sockets, files) = footprint::descriptors(server.pid());
    assert!(sockets + files < DESCRIPTORS as usize - 16, "{sockets} sockets and {files} files are open");
    for _ in 0..ENTRIES {
        watch.is_heard("all places are taken").await;
    }
    drop(crowd);
    assert!(answers(server.address, PATIENCE).await, "it serves again");
    let waits = waits(server.address).await;
    assert!(waits > 0, "it says that somebody had to wait");
    let outcome = watch.end().await;
    println!(
        "descriptors={DESCRIPTORS} crowd={} held={sockets} files={files} accept_waits={waits} {outcome}",
        4 * PLACES
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_open_nothing_more_waits_and_accepts_again() {
    let Watched { program: server, mut watch, folder: _folder } = Watched::start(SERVER, None).await;
    let (sockets, files) = footprint::descriptors(server.pid());
    let limit = (sockets + files) as u64 + 4;
    descriptors::limit(server.pid(), limit);
    let mut crowd = crowd(server.address, 64).await;
    assert!(!answers(server.address, Duration::from_millis(800)).await, "nothing can be accepted");
    for _ in 0..ENTRIES {
        watch.is_heard("nothing more can be opened").await;
    }
    full(server.pid(), limit).await;
    let (accepted, _) = footprint::descriptors(server.pid());
    assert!(accepted > sockets, "{accepted} sockets, {sockets} before");
    // Those who were not accepted are in no worse a place than those who were: all of them are served when there is room.
    descriptors::limit(server.pid(), 1_024);
    assert!(answers(server.address, PATIENCE).await, "it accepts again");
    let mut last = crowd.pop().unwrap();
    tokio::io::AsyncWriteExt::write_all(
        &mut last,
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    )
    .await
    .unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, last.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    println!("exhausted=1 accepted_again=1 {}", watch.end().await);
}
