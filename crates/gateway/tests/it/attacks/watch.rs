//! What has to stay true whatever a stranger tries.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use streamnest_core::Tenant;
use streamnest_gateway::{Algorithm, GatewayOptions, TokenKey};
use streamnest_log::Writer;
use tracing_subscriber::fmt::MakeWriter;

use super::Case;
use crate::{
    engine::{id, say},
    server::Server,
    socket::Socket,
    token::{authentication, bearer, token},
};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A server under attack, a client that follows a run on it, and what has come of it.
pub(crate) struct Watch {
    pub(crate) server: Server,
    control: Socket,
    writer: Writer,
    said: usize,
    logged: Logged,
    panics: Arc<AtomicUsize>,
    cases: Vec<Case>,
    /// Tokens that were sent, which nobody may find in a log.
    secrets: Vec<String>,
}

impl Watch {
    pub(crate) async fn start() -> Self {
        let logged = Logged::default();
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
        let (mut control, _) =
            Socket::shake(&server, "/ws", &[("authorization", &bearer(&token("ada")))]).await.unwrap();
        control.expect("connected").await;
        let start = json!({"workflow": "held", "input": {}, "executionId": "run-of-ada"});
        control.send(json!({"type": "start_execution", "payload": start})).await;
        control.expect("execution_started").await;
        control.subscribe(json!({"executionId": "run-of-ada", "events": ["token"]})).await;
        let own = id("run-of-ada").within(&Tenant::of_subject("ada").unwrap());
        let writer = server.logs.writer(&own).unwrap();
        Self { server, control, writer, said: 0, logged, panics, cases: Vec::new(), secrets: Vec::new() }
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
        self.cases.push(case);
    }

    /// The cases, and the tokens that stand in the log.
    pub(crate) async fn end(self) -> (Vec<Case>, Vec<String>) {
        self.server.stopped().await;
        let logged = String::from_utf8_lossy(&self.logged.0.lock().unwrap()).into_owned();
        assert!(logged.contains("token not taken"), "something was logged");
        let is_there = |secret: &String| logged.contains(secret.as_str());
        (self.cases, self.secrets.into_iter().filter(is_there).collect())
    }
}
