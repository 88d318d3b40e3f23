//! Visitors who do what clients do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use streamnest_tests::follower::Http;
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::site::{self, Site};

/// The code with which the server closes when no pong comes.
const NO_PONG: u16 = 4440;
/// What they come for.
pub(super) const KINDS: [&str; 5] = ["reads", "resumes", "follows_events", "runs", "asks"];

pub(super) async fn visit(site: &Site, number: u32) {
    let kind = number as usize % KINDS.len();
    let bearer = Site::bearer(&format!("polite-{number}"), "read start cancel");
    match kind {
        0 => read(site, &bearer, 1).await,
        1 => read(site, &bearer, 2).await,
        2 => follow_events(site, &bearer).await,
        3 => run(site, &bearer, number).await,
        _ => ask(site, &bearer).await,
    }
    site.count(KINDS[kind]);
}

async fn open(site: &Site, bearer: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(site.address).await.unwrap();
    let mut request = format!("ws://{}/ws", site.address).into_client_request().unwrap();
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    client_async(request, stream).await.unwrap().0
}

/// Reads some of the run that goes on, in so many connections one after the other.
async fn read(site: &Site, bearer: &str, connections: usize) {
    let mut reader = Reader { run: site.current(), last: 0, from: "start".into() };
    for _ in 0..connections {
        let enough = reader.last + 20;
        loop {
            let opened = Instant::now();
            let mut socket = open(site, bearer).await;
            if reader.reads_up_to(enough, &mut socket).await {
                socket.close(None).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
                break;
            }
            // On a machine with too much to do it answered no ping in time, and comes back as every client does. Whoever
            // answers has at least the time in which a ping comes and is waited for.
            let (had, owed) = (opened.elapsed(), site.times.answering());
            assert!(had >= owed, "taken for dead after {had:?} of {owed:?}");
            site.count("came_back");
        }
    }
}

/// Where a visitor stands in a run.
struct Reader {
    run: Arc<str>,
    last: u64,
    from: String,
}

impl Reader {
    /// Whether it got there before the server took it for dead.
    async fn reads_up_to(&mut self, enough: u64, socket: &mut WebSocketStream<TcpStream>) -> bool {
        let payload = json!({"executionId": &*self.run, "from": self.from});
        let subscribe = json!({"type": "subscribe_execution", "payload": payload}).to_string();
        socket.send(Message::text(subscribe)).await.unwrap();
        while self.last < enough {
            let text = match socket.next().await.expect("a run goes on").unwrap() {
                Message::Text(text) => text,
                Message::Close(Some(close)) if u16::from(close.code) == NO_PONG => return false,
                Message::Close(close) => panic!("closed by {close:?}"),
                _ => continue,
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            assert!(!["gap", "error"].contains(&frame["type"].as_str().unwrap()), "{frame}");
            let Some(sequence) = frame["sequence"].as_u64() else { continue };
            assert_eq!(sequence, self.last + 1, "{frame}");
            self.last = sequence;
            frame["position"].as_str().unwrap().clone_into(&mut self.from);
        }
        true
    }
}

/// Reads some of the run that goes on as an event stream, and leaves.
async fn follow_events(site: &Site, bearer: &str) {
    let mut http = Http::new(site.address);
    let run = site.current();
    let path = format!("/executions/{run}/events");
    let mut answer = http.get(&path, &[("authorization", bearer)]).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut bytes = 0;
    while bytes < 2_000 {
        bytes +=
            answer.frame().await.expect("a run goes on").unwrap().into_data().map_or(0, |data| data.len());
    }
}

/// Starts a run, reads it to its end and forgets it.
async fn run(site: &Site, bearer: &str, number: u32) {
    let (mut http, id) = (Http::new(site.address), format!("own-{number}"));
    site::start(&mut http, bearer, &id, 5, 2).await;
    let path = format!("/executions/{id}/events");
    let answer = http.get(&path, &[("authorization", bearer)]).await.unwrap();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    let entries: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let sequences: Vec<_> = entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=entries.len() as u64).collect::<Vec<_>>());
    assert_eq!(entries.last().unwrap()["payload"]["status"], "completed");
    // A run whose end was read may still have to be put away.
    while !site::forget(&mut http, bearer, &id).await {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Asks how things are.
async fn ask(site: &Site, bearer: &str) {
    let (mut http, run) = (Http::new(site.address), site.current());
    for path in ["/workflows", "/executions?limit=5", &format!("/executions/{run}"), "/healthz"] {
        let answer = http.get(path, &[("authorization", bearer)]).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.into_body().collect().await.unwrap();
    }
}
