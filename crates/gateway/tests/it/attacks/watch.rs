//! What has to stay true whatever a stranger tries.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use streamnest_core::Tenant;
use streamnest_gateway::{Algorithm, GatewayOptions, TokenKey};
use streamnest_log::Writer;

use super::Case;
use crate::{
    engine::{id, say},
    server::Server,
    socket::Socket,
    token::{authentication, bearer, token},
};

/// By how much the memory of this process, server and clients together, may grow.
const MEMORY_BOUND: usize = 16 << 20;
/// What every JSON Web Token begins with: `{"` in base64.
const TOKEN: &str = "eyJ";
/// Longer than anything that is looked for in what was logged.
const LONGEST_SECRET: u64 = 128 << 10;

/// A server under attack, a client that follows a run on it, and what has come of it.
pub(crate) struct Watch {
    pub(crate) server: Server,
    control: Socket,
    writer: Writer,
    said: usize,
    /// Everything that was logged, and how much of it was looked through.
    logged: Arc<fs::File>,
    read: u64,
    /// The resident memory before the first case, and the most that it was afterwards.
    resident: usize,
    highest: usize,
    panics: Arc<AtomicUsize>,
    cases: Vec<Case>,
    /// What was sent that is not to be found in a log, besides whatever begins like a token.
    secrets: Vec<String>,
}

/// What stayed true.
pub(crate) struct Outcome {
    pub(crate) cases: Vec<Case>,
    /// By how much memory grew at the most.
    pub(crate) grown: usize,
    pub(crate) logged_bytes: u64,
}

/// The resident memory of this process that is not of its files, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}

impl Watch {
    pub(crate) async fn start() -> Self {
        let logged = Arc::new(tempfile::tempfile().unwrap());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(logged.clone());
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        let panics = Arc::new(AtomicUsize::new(0));
        let (counted, usual) = (panics.clone(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |info| {
            // What a test asserts is none of the server's.
            if info.location().is_none_or(|at| !at.file().contains("tests/it")) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            usual(info);
        }));
        let authentication = authentication()
            .with_key(
                TokenKey::public(include_str!("../keys/rsa.pub.pem"), [Algorithm::Rs256]).with_id("rsa"),
            )
            .with_key(
                TokenKey::public(include_str!("../keys/p256.pub.pem"), [Algorithm::Es256]).with_id("ec"),
            )
            .with_cookie(Some("session".into()));
        let options = GatewayOptions::default()
            .with_authentication(Some(authentication))
            .with_heartbeat_interval(std::time::Duration::from_secs(3_600))
            .with_max_connections_per_user(64);
        let server = Server::with_options(options).await;
        let mut control = Socket::open_with(&server, &token("ada")).await;
        let start = json!({"workflow": "held", "input": {}, "executionId": "run-of-ada"});
        control.send(json!({"type": "start_execution", "payload": start})).await;
        control.expect("execution_started").await;
        control.subscribe(json!({"executionId": "run-of-ada", "events": ["token"]})).await;
        let own = id("run-of-ada").within(&Tenant::of_subject("ada").unwrap());
        let writer = server.logs.writer(&own).unwrap();
        // What an allocator keeps of the first large request is no growth.
        let large = json!({"input": "x".repeat(1 << 20)}).to_string();
        let headers = [("authorization", &*bearer(&token("ada"))), ("content-type", "application/json")];
        server.ask("POST", "/workflows/held/executions", &headers, &large).await;
        drop(large);
        let resident = resident();
        let (cases, secrets) = (Vec::new(), Vec::new());
        let (said, read, highest) = (0, 0, resident);
        Self { server, control, writer, said, logged, read, resident, highest, panics, cases, secrets }
    }

    /// Takes down a token that was sent.
    pub(crate) fn secret(&mut self, token: &str) {
        if token.len() >= 16 {
            self.secrets.push(token.into());
        }
    }

    /// Takes down a case, after a look at the server and at the control client.
    pub(crate) async fn took(
        &mut self,
        name: impl Into<String>,
        expected: impl ToString,
        came: impl ToString,
    ) {
        let case = Case::new(name, expected, came);
        let health = self.server.get("/healthz").await;
        assert_eq!(health.status, 200, "after {}", case.name);
        say(&self.writer, self.said, self.said + 1).await;
        let entry = self.control.expect("token").await;
        assert_eq!(entry["payload"]["content"], self.said.to_string(), "after {}", case.name);
        self.said += 1;
        assert_eq!(self.panics.load(Ordering::SeqCst), 0, "after {}", case.name);
        self.highest = self.highest.max(resident());
        let grown = self.highest - self.resident;
        assert!(grown <= MEMORY_BOUND, "memory grew by {grown} bytes with {}", case.name);
        let leak = self.leak();
        assert_eq!(leak, None, "in what was logged after {}", case.name);
        self.cases.push(case);
    }

    /// A line with a secret, of those that were logged since the last look.
    fn leak(&mut self) -> Option<String> {
        let length = self.logged.metadata().unwrap().len();
        let from = self.read.saturating_sub(LONGEST_SECRET);
        let mut bytes = vec![0; usize::try_from(length - from).unwrap()];
        self.logged.read_exact_at(&mut bytes, from).unwrap();
        self.read = length;
        let text = String::from_utf8_lossy(&bytes);
        let secrets = self.secrets.iter().map(String::as_str);
        let secret = secrets.chain([TOKEN]).find(|secret| text.contains(secret))?;
        text.lines().find(|line| line.contains(secret)).map(String::from)
    }

    /// What came of it all.
    pub(crate) async fn end(mut self) -> Outcome {
        let (grown, leak) = (self.highest - self.resident, self.leak());
        assert_eq!(leak, None, "in what was logged at the end");
        let mut logged = vec![0; usize::try_from(self.read).unwrap()];
        self.logged.read_exact_at(&mut logged, 0).unwrap();
        let logged = String::from_utf8_lossy(&logged);
        assert!(logged.contains("token not taken"), "something was logged");
        // Each line begins with its time and ends where it was logged to end, whatever stood in what was sent.
        let is_forged =
            |line: &&str| !line.starts_with("20") || line.contains(|c| c != '\t' && char::is_control(c));
        assert_eq!(
            logged.split('\n').filter(|line| !line.is_empty()).find(is_forged),
            None,
            "nobody logged this"
        );
        self.server.stopped().await;
        Outcome { cases: self.cases, grown, logged_bytes: self.read }
    }
}
