//! Reading on from anywhere, over every way there is.

use serde_json::{Value, json};
use streamnest_core::payload::StatusUpdate;
use tokio_tungstenite::tungstenite::Message;

use super::JSON;
use crate::{
    engine::say,
    server::{Answer, Server},
    socket::Socket,
};

const RUN: &str = "/v1/stream/executions/a";
/// With the status at the beginning and the one at the end.
const ENTRIES: usize = 500;

/// What stands between the brackets of arrays that follow each other.
fn inner(body: &str) -> String {
    body.strip_prefix('[')
        .and_then(|body| body.strip_suffix(']'))
        .unwrap_or_else(|| panic!("{body}"))
        .to_owned()
}

/// The `data` of the data events, joined to what one array would hold.
fn data(events: &str) -> String {
    let mut parts = Vec::new();
    for event in events.split("\n\n") {
        if let Some(data) = event.strip_prefix("event: data\ndata:") {
            parts.push(inner(data));
        }
    }
    parts.join(",")
}

async fn over_websocket(server: &Server, position: &str) -> String {
    let mut socket = Socket::open(server).await;
    socket
        .send(json!({"type": "subscribe_execution", "payload": {"executionId": "a", "from": position}}))
        .await;
    let mut frames = Vec::new();
    loop {
        let Message::Text(text) = socket.message().await.unwrap() else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        match frame["type"].as_str().unwrap() {
            // Nothing follows the end.
            "subscription_confirmed" if position == end(server) => return String::new(),
            "token" | "status" => frames.push(text.to_string()),
            _ => {}
        }
        if frame["type"] == "status" && frame["payload"]["status"] == "completed" {
            return frames.join(",");
        }
    }
}

/// The position after the last entry.
fn end(server: &Server) -> String {
    let log = server.logs.get(&crate::engine::id("a")).unwrap();
    log.position(log.head().last).to_string()
}

fn text(answer: &Answer) -> String {
    if answer.status == 204 { String::new() } else { inner(&answer.body) }
}

#[tokio::test]
async fn a_run_of_500_entries_is_read_on_from_every_offset_over_every_way_byte_for_byte() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, ENTRIES - 2).await;
    writer.finish(StatusUpdate::completed(json!({"n": 1}))).await.unwrap();
    let whole = inner(&server.ask("GET", RUN, &[JSON], "").await.body);
    let frames: Vec<Value> = serde_json::from_str(&format!("[{whole}]")).unwrap();
    assert_eq!(frames.len(), ENTRIES);
    let mut begins = vec![(0, "0000000000000000_0000000000000000".to_owned())];
    for frame in &frames {
        let position = frame["position"].as_str().unwrap();
        // The frame ends where the next one begins, after a comma.
        let at = whole.find(position).unwrap();
        let end = whole[at..].find("},{\"type\"").map_or(whole.len(), |end| at + end + 2);
        begins.push((end, position.to_owned()));
    }
    for (begin, position) in &begins {
        let wanted = &whole[*begin..];
        for live in ["", "&live=long-poll"] {
            let answer = server.get(&format!("{RUN}?offset={position}{live}")).await;
            assert_eq!(answer.header("stream-closed"), Some("true"), "{position}{live}");
            assert!(text(&answer) == wanted, "{position}{live}");
        }
        let events = server.get(&format!("{RUN}?offset={position}&live=sse")).await;
        assert!(data(&events.body) == wanted, "{position} over SSE");
        assert!(over_websocket(&server, position).await == wanted, "{position} over WebSocket");
    }
    let reads = begins.len() * 4;
    println!("resume: entries={ENTRIES} offsets={} ways=4 reads={reads} equal={reads}", begins.len());
}
