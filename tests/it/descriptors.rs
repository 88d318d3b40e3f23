//! Strangers who open all that a process may have open.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use streamnest_tests::{
    descriptors, follower::Http, footprint, http, memory, program::Program, socket::Socket,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
/// What the process may have open, and how many connections are then held.
const DESCRIPTORS: u32 = 128;
const PLACES: usize = 64;
/// How long something takes that does come.
const PATIENCE: Duration = Duration::from_secs(20);

const SECRET: &str = "a secret for these tests, of more than 32 bytes";
/// By how much the server's memory may grow, in bytes, as with every other attack.
const MEMORY_BOUND: usize = 16 << 20;

/// A token of `subject`, as it stands in a header.
fn bearer(subject: &str) -> String {
    bearer_with(json!({"sub": subject}))
}

fn bearer_with(mut claims: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    claims["exp"] = (now + 600).into();
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    format!("Bearer {token}")
}

/// A server that asks for tokens and logs everything, and what has to stay true of it.
struct Watched {
    program: Program,
    folder: tempfile::TempDir,
    /// Its memory when its control client was there.
    resident: usize,
}

impl Watched {
    /// With so many descriptors, if that is said.
    async fn start(descriptors: Option<u32>) -> (Self, Socket) {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, SECRET).unwrap();
        let log = fs::File::create(Self::log(&folder)).unwrap();
        let (data, flags) = (folder.path().join("data"), ["--jwt-secret-file", secret.to_str().unwrap()]);
        let program = match descriptors {
            Some(descriptors) => Program::start_narrow(SERVER, &data, &flags, log, descriptors).await,
            None => Program::start_logging(SERVER, &data, &flags, log).await,
        };
        let control = control(program.address, "control").await;
        let resident = Self::resident(&program);
        (Self { program, folder, resident }, control)
    }

    fn log(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("log")
    }

    fn resident(program: &Program) -> usize {
        memory::resident_of(&format!("/proc/{}", program.pid()))
    }

    /// How often all its places were taken when somebody came.
    async fn waits(&self) -> u64 {
        let operator = bearer_with(json!({"sub": "root", "scope": "operate"}));
        let headers = [("authorization", &*operator)];
        let waits = http::metric(self.program.address, &headers, "streamnest_accept_waits_total").await;
        waits.expect("it is shown from the beginning")
    }

    /// By how much its memory grew. No token stands in its log, though it has those that were not taken.
    async fn is_unharmed(&self) -> usize {
        let forged = format!("{}x", bearer("eve"));
        let mut http = Http::new(self.program.address);
        let answer = http.get("/executions", &[("authorization", &forged)]).await.unwrap();
        assert_eq!(answer.status(), 401);
        let grown = Self::resident(&self.program).saturating_sub(self.resident);
        assert!(grown < MEMORY_BOUND, "its memory grew by {grown} bytes");
        let logged = fs::read_to_string(Self::log(&self.folder)).unwrap();
        assert!(logged.contains("token not taken"), "something was logged");
        let leak = logged.lines().find(|line| line.contains("eyJ") || line.contains(SECRET));
        assert_eq!(leak, None, "no token was");
        assert!(!logged.contains("panicked"), "nothing panicked");
        grown
    }
}

/// A client that follows a run of its own from its start to its end, which it sees whole.
async fn control(server: SocketAddr, id: &str) -> Socket {
    let mut socket = Socket::open(server, "/ws", &[("authorization", &bearer("control"))]).await.unwrap();
    socket.expect("connected").await;
    socket.subscribe_waiting(id).await;
    let input = json!({"tokens": 100, "pause_ms": 20});
    socket.send("start_execution", json!({"workflow": "steps", "executionId": id, "input": input})).await;
    socket
}

async fn sees_it_whole(control: &mut Socket) -> usize {
    let entries = timeout(PATIENCE, control.entries()).await.expect("the run ends");
    let sequences: BTreeSet<u64> = entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=entries.len() as u64).collect(), "no gap");
    assert_eq!(entries.last().unwrap()["payload"]["status"], "completed");
    entries.len()
}

/// Whether the server answers a new connection before long.
async fn answers(server: SocketAddr, within: Duration) -> bool {
    let asked = async {
        let mut http = Http::new(server);
        http.get("/healthz", &[]).await.is_some_and(|answer| answer.status() == 200)
    };
    timeout(within, asked).await.unwrap_or(false)
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
    let (watched, mut control) = Watched::start(Some(DESCRIPTORS)).await;
    let server = &watched.program;
    assert_eq!(watched.waits().await, 0, "there are places");
    let crowd = crowd(server.address, 4 * PLACES).await;
    assert!(!answers(server.address, Duration::from_millis(500)).await, "all places are taken");
    let (sockets, files) = footprint::descriptors(server.pid());
    assert!(sockets + files < DESCRIPTORS as usize - 16, "{sockets} sockets and {files} files are open");
    let entries = sees_it_whole(&mut control).await;
    drop(crowd);
    assert!(answers(server.address, PATIENCE).await, "it serves again");
    let waits = watched.waits().await;
    assert!(waits > 0, "it says that somebody had to wait");
    let grown = watched.is_unharmed().await;
    println!(
        "descriptors={DESCRIPTORS} crowd={} held={sockets} files={files} accept_waits={waits} control_entries={entries} grown_bytes={grown} tokens_in_logs=0",
        4 * PLACES
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_open_nothing_more_waits_and_accepts_again() {
    let (watched, mut control) = Watched::start(None).await;
    let server = &watched.program;
    let (sockets, files) = footprint::descriptors(server.pid());
    let limit = (sockets + files) as u64 + 4;
    descriptors::limit(server.pid(), limit);
    let mut crowd = crowd(server.address, 64).await;
    assert!(!answers(server.address, Duration::from_millis(800)).await, "nothing can be accepted");
    let entries = sees_it_whole(&mut control).await;
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
    let grown = watched.is_unharmed().await;
    println!("exhausted=1 accepted_again=1 control_entries={entries} grown_bytes={grown} tokens_in_logs=0");
}
