//! What has to stay true of a server that asks for tokens, whatever strangers try: it lives, a client that follows a run sees no
//! gap, its memory does not grow, and neither a token nor a panic stands in what it logs.

use std::{
    fmt::{self, Display},
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http_body_util::BodyExt as _;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{follower::Http, memory, program::Program, socket::Socket};

/// What the server and the issuer of its tokens know.
pub const SECRET: &str = "a secret for these tests, of more than 32 bytes";
/// By how much the server's memory may grow, in bytes.
const MEMORY_BOUND: usize = 16 << 20;
/// How long something takes that does come.
const PATIENCE: Duration = Duration::from_secs(20);
/// What every token begins with: `{"` in base64.
const TOKEN: &str = "eyJ";
/// More than anything that is looked for in what was logged, in bytes.
const LONGEST: u64 = 256;
/// Where the control client's entries stand.
const RUN: &str = "/v1/stream/executions/control";

/// A token of `subject` for everything of its own, as it stands in a header.
pub fn bearer(subject: &str) -> String {
    bearer_with(json!({"sub": subject, "scope": "read start cancel produce"}))
}

/// A token of these claims for an hour, as it stands in a header.
pub fn bearer_with(mut claims: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    claims["exp"] = (now + 3600).into();
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    format!("Bearer {token}")
}

/// Writes everything that this process logs to the file at `path`, and its panics, as a program with `--log trace` does.
pub fn log_to(path: &Path) {
    let log = File::create(path).unwrap();
    let panics = log.try_clone().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(Arc::new(log));
    tracing::subscriber::set_global_default(subscriber.finish()).expect("nobody else logs");
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let _ = writeln!(&panics, "{info}");
        usual(info);
    }));
}

/// A program in a process of its own that asks for tokens and logs everything, and what watches it.
#[derive(Debug)]
pub struct Watched {
    /// The program.
    pub program: Program,
    /// What watches it.
    pub watch: Watch,
    /// Where its logs, its secret and what it logs are.
    pub folder: TempDir,
}

impl Watched {
    /// Starts the program at `path`, which may have so many descriptors open at once, if that is said.
    pub async fn start(path: &str, descriptors: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [secret, log, data] = ["secret", "log", "data"].map(|name| folder.path().join(name));
        fs::write(&secret, SECRET).unwrap();
        let (logged, flags) = (File::create(&log).unwrap(), ["--jwt-secret-file", secret.to_str().unwrap()]);
        let program = match descriptors {
            Some(descriptors) => Program::start_narrow(path, &data, &flags, logged, descriptors).await,
            None => Program::start_logging(path, &data, &flags, logged).await,
        };
        let watch = Watch::over(program.address, program.pid(), &log).await;
        Self { program, watch, folder }
    }
}

/// A server under attack, and a client that follows a run on it.
#[derive(Debug)]
pub struct Watch {
    server: SocketAddr,
    /// The path of its process in `/proc`.
    process: String,
    /// What it logged, and how much of that was looked through, in bytes.
    log: File,
    read: u64,
    /// Follows what the other one says, over connections that both keep.
    control: Socket,
    speaker: Http,
    authorization: String,
    /// How much was said, and the sequence of the last entry that was heard.
    said: u64,
    last: Option<u64>,
    /// The memory before the first attack, and by how much it grew at most.
    held: usize,
    grown: usize,
}

/// What stayed true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Entries that the control client saw, without a gap.
    pub control_entries: u64,
    /// By how much memory grew at most, in bytes.
    pub grown_bytes: usize,
    /// What was logged and looked through, in bytes.
    pub logged_bytes: u64,
}

impl Watch {
    /// Watches the server at `server`, whose process is `/proc/{process}` and which takes tokens of [`SECRET`] and logs everything to
    /// the file at `log`.
    pub async fn over(server: SocketAddr, process: impl Display, log: &Path) -> Self {
        let authorization = bearer("control");
        let mut control = Socket::open(server, "/ws", &[("authorization", &authorization)]).await.unwrap();
        control.expect("connected").await;
        let mut speaker = Http::new(server);
        let headers = [("authorization", &*authorization), ("content-type", "application/json")];
        let made = speaker.send("PUT", RUN, &headers, String::new()).await.unwrap();
        assert_eq!(made.status(), 201);
        made.into_body().collect().await.unwrap();
        control.subscribe("control", json!({"from": "now"})).await;
        let (process, log) = (format!("/proc/{process}"), File::open(log).unwrap());
        let held = memory::held_by(&process);
        let (read, said, last, grown) = (0, 0, None, 0);
        Self { server, process, log, read, control, speaker, authorization, said, last, held, grown }
    }

    /// Takes the memory that the server holds now as what it may hold.
    pub fn begin(&mut self) {
        self.held = memory::held_by(&self.process);
        self.grown = 0;
    }

    /// Says something over a connection that is there, which the control client hears next.
    ///
    /// # Panics
    /// If it is not heard before long, or something else is.
    pub async fn is_heard(&mut self, after: impl Display) {
        let heard = timeout(PATIENCE, self.say_and_hear()).await;
        let entry = heard.unwrap_or_else(|_| panic!("the control client hears nothing after {after}"));
        let sequence = entry["sequence"].as_u64();
        let is_next = sequence.is_some_and(|sequence| self.last.is_none_or(|last| sequence == last + 1));
        assert!(is_next, "a gap after {after}: {entry}");
        assert_eq!(entry["payload"]["content"], self.said.to_string(), "after {after}");
        self.last = sequence;
    }

    async fn say_and_hear(&mut self) -> Value {
        self.said += 1;
        let payload = json!({"content": self.said.to_string()});
        let body = json!([{"type": "token", "nodeId": "write", "payload": payload}]).to_string();
        let headers = [("authorization", &*self.authorization), ("content-type", "application/json")];
        let answer = self.speaker.send("POST", RUN, &headers, body).await.expect("the connection stays");
        assert!(answer.status().is_success(), "{answer:?}");
        answer.into_body().collect().await.unwrap();
        loop {
            let frame = self.control.next().await.expect("the control client's connection stays");
            if frame["type"] != "heartbeat" {
                return frame;
            }
        }
    }

    /// Looks at everything after an attack: a stranger's request is answered by a connection of its own, the control client
    /// has seen no gap, memory has not grown, and what was logged is harmless.
    ///
    /// # Panics
    /// If one of it is not so; `after` tells which attack it was.
    pub async fn is_unharmed(&mut self, after: impl Display) {
        let mut stranger = Http::new(self.server);
        let answer = timeout(PATIENCE, stranger.get("/healthz", &[])).await;
        let status = answer.ok().flatten().map(|answer| answer.status().as_u16());
        assert_eq!(status, Some(200), "the server lives after {after}");
        self.is_heard(&after).await;
        self.grown = self.grown.max(memory::held_by(&self.process).saturating_sub(self.held));
        assert!(self.grown < MEMORY_BOUND, "memory grew by {} bytes with {after}", self.grown);
        let harm = self.harm(&[TOKEN, SECRET, "panicked"]);
        assert_eq!(harm, None, "stands in the log after {after}");
    }

    /// A line with one of these, of those that were logged since the last look.
    fn harm(&mut self, looked_for: &[&str]) -> Option<String> {
        let length = self.log.metadata().unwrap().len();
        let from = self.read.saturating_sub(LONGEST);
        let mut bytes = vec![0; usize::try_from(length - from).unwrap()];
        self.log.read_exact_at(&mut bytes, from).unwrap();
        self.read = length;
        let text = String::from_utf8_lossy(&bytes);
        text.lines().find(|line| looked_for.iter().any(|one| line.contains(one))).map(String::from)
    }

    /// What came of it all. A token that was not taken stands in no log either, and was logged as such.
    pub async fn end(mut self) -> Outcome {
        let forged = format!("{}x", bearer("eve"));
        let answer = self.speaker.get("/executions", &[("authorization", &forged)]).await.unwrap();
        assert_eq!(answer.status(), 401);
        self.is_unharmed("all that").await;
        self.read = 0;
        assert!(self.harm(&["token not taken"]).is_some(), "something was logged");
        Outcome { control_entries: self.said, grown_bytes: self.grown, logged_bytes: self.read }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { control_entries, grown_bytes, logged_bytes } = self;
        write!(
            f,
            "control_entries={control_entries} gaps=0 grown_bytes={grown_bytes} logged_bytes={logged_bytes} tokens_in_logs=0 panics=0"
        )
    }
}
