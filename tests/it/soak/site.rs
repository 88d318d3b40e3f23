//! The server that is visited, and what its visitors need to know.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http_body_util::BodyExt as _;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use streamnest_tests::{follower::Http, footprint::Footprint, program::Program};
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Runs that visitors may still read when they have ended.
const KEPT_RUNS: usize = 3;

/// What the server waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    request: Duration,
    slow_reader: Duration,
    heartbeat: Duration,
    pong: Duration,
}

impl Default for Times {
    /// Those of a server as it comes.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { request: seconds(30), slow_reader: seconds(30), heartbeat: seconds(30), pong: seconds(20) }
    }
}

impl Times {
    pub(super) const fn short() -> Self {
        let seconds = Duration::from_secs;
        Self { request: seconds(3), slow_reader: seconds(3), heartbeat: seconds(2), pong: seconds(2) }
    }

    fn options(self) -> String {
        let Self { request, slow_reader, heartbeat, pong } = self;
        format!(
            r#"
            [gateway]
            request_timeout = "{request:?}"
            slow_reader_limit = "{slow_reader:?}"
            [gateway.heartbeat]
            interval = "{heartbeat:?}"
            timeout = "{pong:?}"
            [gateway.authentication]
            secret_key = "{SECRET}"
            [gateway.rate_limit]
            window = "10s"
            max_connections = 100000
            max_requests_per_user = 100000
            "#
        )
    }

    /// How long a client is connected at least before it can be taken for dead.
    pub(super) fn answering(self) -> Duration {
        self.heartbeat + self.pong
    }

    /// The longest that a client may keep a connection that it has no right to: until the server finds it, and has waited for an
    /// answer to its close frame (5 s).
    pub(super) fn longest(self) -> Duration {
        let authentication = Duration::from_secs(10);
        let found = [self.request, self.slow_reader, self.answering(), authentication];
        found.into_iter().max().unwrap() + Duration::from_secs(5)
    }
}

/// What came of visits, by their kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(BTreeMap<&'static str, u32>);

impl Tally {
    /// Checks that visitors of each kind came, that none stayed for longer than it may, and that the server took few for dead
    /// that do answer.
    ///
    /// Who reads has what it came for in a fifth of a second, long before a first ping, so that none is on a machine that keeps
    /// up, and one in thousands was beside four builds. One in ten is left to worse machines; a server that does it to all who
    /// read for so long would do it to many more, as each of them comes back until it has read.
    pub(super) fn check(&self) {
        for kind in super::polite::KINDS.into_iter().chain(super::rude::KINDS) {
            assert!(self.0.get(kind).is_some_and(|count| *count > 0), "nobody was {kind}: {self}");
        }
        assert_eq!(self.0.get("overstayed"), None, "{self}");
        let of = |kind| self.0.get(kind).copied().unwrap_or(0);
        assert!(10 * of("came_back") <= of("reads") + of("resumes"), "many were taken for dead: {self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<_> = self.0.iter().map(|(kind, count)| format!("{kind}={count}")).collect();
        f.write_str(&pairs.join(" "))
    }
}

/// A server in a process of its own.
pub(super) struct Site {
    program: Program,
    pub(super) address: SocketAddr,
    pub(super) times: Times,
    pub(super) visitors: AtomicU32,
    runs: AtomicU32,
    /// The run that goes on.
    flow: Mutex<Option<Arc<str>>>,
    tally: Mutex<Tally>,
}

impl Site {
    pub(super) async fn open(directory: &Path, times: Times) -> Arc<Self> {
        let options = directory.join("streamnest.toml");
        fs::write(&options, times.options()).unwrap();
        let flags = ["--config", options.to_str().unwrap()];
        let program = Program::start_with(SERVER, &directory.join("logs"), &flags).await;
        Arc::new(Self {
            address: program.address,
            program,
            times,
            visitors: AtomicU32::new(0),
            runs: AtomicU32::new(0),
            flow: Mutex::default(),
            tally: Mutex::default(),
        })
    }

    /// What an `Authorization` header says of somebody.
    pub(super) fn bearer(subject: &str, scope: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({"sub": subject, "tenant": "soak", "scope": scope, "exp": now + 3_600});
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        format!("Bearer {}", encode(&Header::default(), &claims, &key).unwrap())
    }

    /// The run that goes on now; it is not forgotten while somebody holds its name.
    pub(super) fn current(&self) -> Arc<str> {
        self.flow.lock().unwrap().clone().expect("a run goes on")
    }

    /// Takes down how a visit was.
    pub(super) fn count(&self, kind: &'static str) {
        *self.tally.lock().unwrap().0.entry(kind).or_default() += 1;
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    /// What the server takes.
    pub(super) async fn footprint(&self) -> Footprint {
        let operator = Self::bearer("operator", "operate");
        let mut http = Http::new(self.address);
        let answer = http.get("/metrics", &[("authorization", &operator)]).await.expect("the server answers");
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        let tasks = text.lines().find_map(|line| line.strip_prefix("streamnest_tasks ")?.parse().ok());
        Footprint::of(&self.program, tasks.expect("the server counts its tasks"))
    }

    /// Lets one run after the other go on, until it is stopped; those that ended are forgotten again. Returns when the first one
    /// goes on.
    pub(super) async fn flow(self: &Arc<Self>) -> Flow {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run_on(self.clone(), stopped));
        while self.flow.lock().unwrap().is_none() {
            assert!(!task.is_finished(), "it goes on");
            sleep(Duration::from_millis(5)).await;
        }
        Flow { stop, task }
    }
}

/// Runs that go on.
pub(super) struct Flow {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Flow {
    /// Returns when every run has ended and is forgotten.
    pub(super) async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

/// A run of two seconds after the other.
async fn run_on(site: Arc<Site>, mut stopped: oneshot::Receiver<()>) {
    let bearer = Site::bearer("flow", "read start cancel");
    let mut http = Http::new(site.address);
    let mut runs = VecDeque::<Arc<str>>::new();
    loop {
        let goes_on = matches!(stopped.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        if goes_on {
            let id: Arc<str> = format!("flow-{}", site.runs.fetch_add(1, Ordering::Relaxed)).into();
            start(&mut http, &bearer, &id, 200, 10).await;
            *site.flow.lock().unwrap() = Some(id.clone());
            runs.push_back(id);
            sleep(Duration::from_secs(2)).await;
        } else {
            *site.flow.lock().unwrap() = None;
            if runs.is_empty() {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        while runs.len() > if goes_on { KEPT_RUNS } else { 0 }
            && let Some(oldest) = runs.front()
        {
            if Arc::strong_count(oldest) > 1 {
                break;
            }
            if !forget(&mut http, &bearer, oldest).await {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
            runs.pop_front();
        }
    }
}

/// Starts a run of so many tokens, so many milliseconds apart.
pub(super) async fn start(http: &mut Http, bearer: &str, id: &str, tokens: u32, pause_ms: u32) {
    let body = json!({"executionId": id, "input": {"tokens": tokens, "pause_ms": pause_ms}}).to_string();
    let headers = [("authorization", bearer), ("content-type", "application/json")];
    let answer = http.send("POST", "/workflows/steps/executions", &headers, body).await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.into_body().collect().await.unwrap();
}

/// Forgets a run; whether it had ended.
pub(super) async fn forget(http: &mut Http, bearer: &str, id: &str) -> bool {
    let headers = [("authorization", bearer), ("content-type", "application/json")];
    let path = format!("/executions/{id}");
    let answer = http.send("DELETE", &path, &headers, String::new()).await.unwrap();
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    assert!([202, 409].contains(&status), "{status}");
    status == 202
}
