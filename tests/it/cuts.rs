//! Connections that are cut at every byte, sliced, stalled and swallowed: whoever comes back has everything in the end.

mod producer;
mod silence;
mod start;

use std::{net::SocketAddr, ops::AddAssign, sync::Arc};

use serde_json::json;
use streamnest::{App, Streamnest, core::StartExecution, gateway::GatewayOptions, runtime::Run};
use streamnest_tests::{
    follower::{self, Follower, Http},
    proxy::{Fault, Gate, Proxy, Way},
    random::{Random, chaos},
    server::Server,
    workflows::Steps,
};
use tokio::task::JoinSet;

/// How many cuts are made at once.
const AT_ONCE: u64 = 8;

/// What became of connections that were cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Figures {
    cuts: usize,
    equal: usize,
    lost: usize,
    doubled: usize,
}

impl Figures {
    /// Compares what a client got with what there is.
    fn of(got: &[String], wanted: &[String], cuts: usize) -> Self {
        let lost = wanted.iter().filter(|entry| !got.contains(entry)).count();
        let mut seen = std::collections::HashSet::new();
        let doubled = got.iter().filter(|entry| !seen.insert(*entry)).count();
        Self { cuts, equal: usize::from(got == wanted), lost, doubled }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.equal += other.equal;
        self.lost += other.lost;
        self.doubled += other.doubled;
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cuts, equal, lost, doubled } = self;
        write!(f, "cuts={cuts} equal={equal} lost={lost} doubled={doubled}")
    }
}

/// A server whose streams are read in pieces, so that reading one takes several requests.
async fn server() -> Server {
    let gateway = GatewayOptions::default().with_max_stream_read_bytes(150);
    Server::start(Streamnest::builder().workflow(Steps::default()).gateway_options(gateway)).await
}

/// Makes an execution that has ended, with entries of every class in it. Its text has characters of every length in bytes.
async fn write(server: &Server, tokens: usize) {
    let token = json!({"type": "token", "nodeId": "write", "payload": {"content": "ab ü € 😀"}});
    let mut entries = vec![token; tokens];
    entries.insert(1, json!({"type": "progress", "nodeId": "write", "payload": {"progress": 50}}));
    entries.push(json!({"type": "event", "payload": {"type": "chapter", "data": [1, null]}}));
    let headers = [("content-type", "application/json"), ("stream-closed", "true")];
    let body = serde_json::Value::from(entries).to_string();
    let mut http = Http::new(server.address);
    let made = http.send("PUT", "/v1/stream/executions/run", &headers, body).await.unwrap();
    assert_eq!(made.status(), 201);
}

/// Runs an execution of a few entries.
async fn run(app: &App, id: &str, tokens: u32, pause_ms: u32) -> Run {
    let request = StartExecution {
        workflow: "steps".into(),
        input: json!({"tokens": tokens, "pause_ms": pause_ms}),
        execution_id: Some(id.parse().unwrap()),
        on_disconnect: None,
        trace: None,
    };
    app.start_with(request).await.unwrap()
}

/// One connection for each byte of what a client gets, or sends, cut after it. Each is the first of its client.
async fn cut_everywhere(
    server: SocketAddr,
    follower: Follower,
    wanted: Arc<[String]>,
    cut: fn(u64, Fault) -> Way,
    length: u64,
) -> Figures {
    let mut workers = JoinSet::new();
    for first in 0..AT_ONCE {
        let wanted = wanted.clone();
        workers.spawn(async move {
            let proxy = Proxy::start(server).await;
            let mut figures = Figures::default();
            for byte in (first..=length).step_by(AT_ONCE as usize) {
                // What a reset destroys on the way is not known by its place, so the orderly end is tried at every byte, and
                // the reset at some.
                let fault = if byte % 16 == 5 { Fault::Reset } else { Fault::Cut };
                for fault in [Some(Fault::Cut), matches!(fault, Fault::Reset).then_some(fault)] {
                    let Some(fault) = fault else { continue };
                    let before = proxy.faults();
                    proxy.next(cut(byte, fault));
                    let got = follower.follow(proxy.address, "run").await;
                    figures += Figures::of(&got, &wanted, proxy.faults() - before);
                    assert!(got == *wanted, "{follower:?} cut after byte {byte}: {got:#?}");
                }
            }
            figures
        });
    }
    let mut figures = Figures::default();
    while let Some(worker) = workers.join_next().await {
        figures += worker.unwrap();
    }
    figures
}

/// What a client gets whose connection holds, and how many bytes it sends and gets.
async fn clean(server: SocketAddr, follower: Follower, id: &str) -> (Arc<[String]>, (u64, u64)) {
    let proxy = Proxy::start(server).await;
    let got = follower.follow(proxy.address, id).await;
    assert_eq!(proxy.connections(), 1, "nothing has broken");
    (got.into(), proxy.passed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_after_any_byte_resumes_and_everything_is_equal_in_the_end() {
    let server = server().await;
    write(&server, if chaos() { 50 } else { 2 }).await;
    let mut total = Figures::default();
    let mut frames: Option<Arc<[String]>> = None;
    for follower in Follower::ALL {
        let (wanted, (up, down)) = clean(server.address, follower, "run").await;
        if follower != Follower::Client {
            let frames = frames.get_or_insert_with(|| wanted.clone());
            assert!(*frames == wanted, "every way gives the same bytes: {follower:?}");
        }
        let mut figures = cut_everywhere(server.address, follower, wanted.clone(), Way::down, down).await;
        figures += cut_everywhere(server.address, follower, wanted.clone(), Way::up, up).await;
        println!("follower={follower:?} entries={} bytes_up={up} bytes_down={down} {figures}", wanted.len());
        // Once a client has all that it wants, it no longer notices a cut.
        assert!(figures.cuts as u64 + 300 > up + down, "{follower:?}: {figures}");
        assert_eq!((figures.lost, figures.doubled), (0, 0));
        total += figures;
    }
    println!("{total}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_reader_that_is_cut_after_any_byte_has_the_whole_text_in_the_end() {
    // Less is written at once than there is, so that there are several snapshots, and cuts between them.
    let gateway = GatewayOptions::default().with_max_write_bytes(4 << 10);
    let server = Server::start(Streamnest::builder().gateway_options(gateway)).await;
    write(&server, 1_500).await;
    let text = "ab ü € 😀".repeat(1_500);
    let clean = Proxy::start(server.address).await;
    assert!(follower::late_text(clean.address, "run").await == (text.clone(), 1));
    let (_, down) = clean.passed();
    let proxy = Proxy::start(server.address).await;
    let mut cuts = 0;
    for byte in (0..=down).step_by(if chaos() { 1 } else { 64 }) {
        let before = proxy.faults();
        proxy.next(Way::down(byte, Fault::Cut));
        let got = follower::late_text(proxy.address, "run").await;
        assert!(got == (text.clone(), 1), "cut after byte {byte}: {} bytes", got.0.len());
        cuts += proxy.faults() - before;
    }
    println!("late bytes_down={down} cuts={cuts} equal={cuts} lost=0 doubled=0");
    assert!(cuts > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_a_run_that_goes_on_is_cut_at_any_byte_and_misses_nothing() {
    let server = server().await;
    let mut random = Random::new(0);
    let step = if chaos() { 2 } else { 80 };
    let mut total = Figures::default();
    for follower in Follower::ALL {
        run(&server.app, &format!("{follower:?}"), 4, 1).await.result().await.unwrap();
        let (_, (_, down)) = clean(server.address, follower, &format!("{follower:?}")).await;
        let proxy = Proxy::start(server.address).await;
        let mut byte = u64::from(random.below(step));
        while byte < down {
            let id = format!("{follower:?}-{byte}");
            let running = run(&server.app, &id, 4, 1).await;
            let before = proxy.faults();
            proxy.next(Way::down(byte, Fault::Cut));
            let got = follower.follow(proxy.address, &id).await;
            running.result().await.unwrap();
            let wanted = follower.follow(server.address, &id).await;
            total += Figures::of(&got, &wanted, proxy.faults() - before);
            assert!(got == wanted, "{follower:?} cut after byte {byte}: {got:#?}");
            byte += 1 + u64::from(random.below(2 * step - 1));
        }
    }
    println!("{total}");
    assert_eq!((total.lost, total.doubled), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_byte_by_byte_or_after_a_stall_is_the_same() {
    let server = server().await;
    run(&server.app, "run", 12, 0).await.result().await.unwrap();
    for follower in Follower::ALL {
        let (wanted, (up, down)) = clean(server.address, follower, "run").await;
        let proxy = Proxy::start(server.address).await;
        proxy.usually(Way::default().sliced(1));
        assert!(*wanted == follower.follow(proxy.address, "run").await, "{follower:?} byte by byte");
        for (length, stalled) in [(up, Way::up as fn(u64, Fault) -> Way), (down, Way::down)] {
            for tenth in 0..10 {
                let (gate, proxy) = (Gate::default(), Proxy::start(server.address).await);
                proxy.next(stalled(length * tenth / 10, Fault::Stall(gate.clone())));
                let following = tokio::spawn(async move { follower.follow(proxy.address, "run").await });
                // Nobody else is held up.
                assert!(*wanted == follower.follow(server.address, "run").await, "{follower:?} beside it");
                gate.open();
                assert!(*wanted == following.await.unwrap(), "{follower:?} after a stall");
            }
        }
    }
}
