//! One of those who follow something.

use std::net::SocketAddr;

use serde_json::{Value, json};
use streamnest_tests::{socket::Socket, transcript::Faults};
use tokio::time::Instant;

/// A client, what it follows, and how far it has read.
#[derive(Debug)]
pub(super) struct Client {
    execution: String,
    socket: Socket,
    /// The sequence of the last entry, and the position after it.
    last: u64,
    position: String,
    tokens: u64,
    status: Option<String>,
    faults: Faults,
    /// The close code that it was told, and when its first connection ended.
    code: Option<u16>,
    told: Instant,
    resumed: Instant,
}

impl Client {
    pub(super) async fn connect(server: SocketAddr, execution: String) -> Self {
        let mut socket = Socket::connect(server).await;
        socket.subscribe_waiting(&execution).await;
        let (told, resumed) = (Instant::now(), Instant::now());
        let (position, faults) = ("start".into(), Faults::default());
        Self {
            execution,
            socket,
            last: 0,
            position,
            tokens: 0,
            status: None,
            faults,
            code: None,
            told,
            resumed,
        }
    }

    /// Reads until the server says that it goes.
    pub(super) async fn until_told(mut self) -> Self {
        loop {
            match self.socket.next_or_code().await {
                Ok(frame) => self.take(&frame),
                Err(code) => {
                    (self.code, self.told) = (code, Instant::now());
                    return self;
                }
            }
        }
    }

    /// Goes on where it was.
    pub(super) async fn resume(mut self, server: SocketAddr) -> Self {
        self.socket = Socket::connect(server).await;
        let confirmed = self.socket.subscribe(&self.execution, json!({"from": self.position})).await;
        self.resumed = Instant::now();
        // Nothing that it has read is ever replaced by something else.
        assert!(confirmed["payload"]["position"].as_str().unwrap() >= self.position.as_str(), "{confirmed}");
        self
    }

    /// Reads what it follows to the end.
    pub(super) async fn read_to_the_end(mut self) -> Self {
        while self.status.is_none() {
            let frame = self.socket.next_or_code().await.expect("what it follows comes to its end");
            self.take(&frame);
        }
        self
    }

    fn take(&mut self, frame: &Value) {
        let kind = frame["type"].as_str().unwrap();
        assert!(!["gap", "error"].contains(&kind), "{} after {}: {frame}", self.execution, self.last);
        let Some(sequence) = frame["sequence"].as_u64() else { return };
        match sequence {
            again if again == self.last => self.faults.doubled += 1,
            earlier if earlier < self.last => self.faults.reordered += 1,
            next => {
                let missing = next - self.last - 1;
                self.faults.lost += missing as usize;
                self.faults.silent_gaps += usize::from(missing > 0);
                self.last = next;
            }
        }
        frame["position"].as_str().unwrap().clone_into(&mut self.position);
        if kind == "token" {
            let content = frame["payload"]["content"].as_str().unwrap();
            assert_eq!(content.trim_start_matches('t').trim(), self.tokens.to_string(), "{}", self.execution);
            self.tokens += 1;
        }
        if kind == "status" && frame["payload"]["status"] != "running" {
            self.status = Some(frame["payload"]["status"].as_str().unwrap().to_owned());
        }
    }

    pub(super) fn execution(&self) -> &str {
        &self.execution
    }

    pub(super) const fn entries(&self) -> u64 {
        self.last
    }

    pub(super) const fn tokens(&self) -> u64 {
        self.tokens
    }

    pub(super) fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    pub(super) const fn faults(&self) -> Faults {
        self.faults
    }

    pub(super) const fn code(&self) -> Option<u16> {
        self.code
    }

    pub(super) const fn told_at(&self) -> Instant {
        self.told
    }

    pub(super) const fn resumed_at(&self) -> Instant {
        self.resumed
    }
}
