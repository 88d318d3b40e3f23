//! A program outside that speaks for an execution, whichever server is there.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use streamnest_tests::follower::Http;
use tokio::{sync::watch, time::sleep};

use super::Act;

/// The time between two tokens.
const PAUSE: Duration = Duration::from_millis(500);
/// What it still says when everybody has come back.
const LAST_TOKENS: u64 = 3;

pub(super) struct Producer {
    execution: String,
    acts: watch::Receiver<Act>,
    /// Where its connection leads.
    http: (SocketAddr, Http),
    /// Tokens that were acknowledged.
    said: u64,
}

impl Producer {
    /// Makes the execution.
    pub(super) async fn create(execution: String, acts: watch::Receiver<Act>) -> Self {
        let (Act::Runs(server) | Act::Ends(server)) = *acts.borrow();
        let mut http = Http::new(server);
        let json_type = [("content-type", "application/json")];
        let path = format!("/v1/stream/executions/{execution}");
        assert_eq!(http.send("PUT", &path, &json_type, String::new()).await.unwrap().status(), 201);
        Self { execution, acts, http: (server, http), said: 0 }
    }

    /// Says one token after the other until all have come back; what was acknowledged.
    pub(super) async fn produce(mut self) -> (String, u64) {
        while !self.ends() {
            self.say().await;
            sleep(PAUSE).await;
        }
        for _ in 0..LAST_TOKENS {
            self.say().await;
        }
        let path = format!("/v1/stream/executions/{}", self.execution);
        let closed = self.http.1.send("POST", &path, &[("stream-closed", "true")], String::new()).await;
        assert_eq!(closed.unwrap().status(), 204);
        (self.execution, self.said)
    }

    fn ends(&self) -> bool {
        matches!(*self.acts.borrow(), Act::Ends(_))
    }

    /// Says the next token as often as it takes until a server has taken it.
    async fn say(&mut self) {
        let number = self.said.to_string();
        let body = json!([{"type": "token", "nodeId": "write", "payload": {"content": number}}]).to_string();
        let path = format!("/v1/stream/executions/{}", self.execution);
        let headers = [
            ("content-type", "application/json"),
            ("producer-id", "outside"),
            ("producer-epoch", "0"),
            ("producer-seq", number.as_str()),
        ];
        loop {
            let (Act::Runs(server) | Act::Ends(server)) = *self.acts.borrow();
            if self.http.0 != server {
                self.http = (server, Http::new(server));
            }
            match self
                .http
                .1
                .send("POST", &path, &headers, body.clone())
                .await
                .map(|answer| answer.status().as_u16())
            {
                // 204 is what it is told that has said it before, and was not answered.
                Some(200 | 204) => break,
                None | Some(503) => sleep(Duration::from_millis(50)).await,
                Some(status) => panic!("{path} got {status}"),
            }
        }
        self.said += 1;
    }
}
