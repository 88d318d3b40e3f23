//! `replay: "compact"`: what a late reader missed comes in one piece, and then entries.

use serde_json::{Value, json};
use streamnest_core::{
    Event, EventType, NodeName, Seq,
    payload::{Progress, StatusUpdate, Token},
};
use streamnest_gateway::GatewayOptions;
use streamnest_log::{LogOptions, Retention};

use crate::{
    engine::{say, token},
    server::Server,
    socket::{Socket, sequences},
};

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn happened(node_name: &str, event_type: EventType) -> Event {
    Event::named(Some(node(node_name)), event_type, &json!({"visit": 1, "attempt": 1}))
}

fn compact(more: Value) -> Value {
    let mut payload = json!({"executionId": "a", "replay": "compact"});
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    payload
}

/// The text of each node in a snapshot.
fn texts(snapshot: &Value) -> Vec<(String, String)> {
    let of = |node: &Value| {
        let messages = node["messages"].as_array().cloned().unwrap_or_default();
        let text: String =
            messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect();
        (node["nodeId"].as_str().unwrap().to_owned(), text)
    };
    snapshot["payload"]["nodes"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test]
async fn a_late_reader_gets_what_it_missed_in_one_piece_and_then_what_follows() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    writer.append([happened("draft", EventType::NODE_START)]).await.unwrap();
    for word in ["Rivers", " are", " old."] {
        writer.append([token("draft", word)]).await.unwrap();
    }
    let progress = Progress { progress: 40.0, visit: 1, attempt: 1, ..Progress::default() };
    writer
        .append([Event::progress(node("draft"), &Progress { progress: 10.0, ..progress.clone() })])
        .await
        .unwrap();
    writer.append([Event::progress(node("draft"), &progress)]).await.unwrap();
    let at = |seq: u64| json!(writer.log().position(Seq::try_from(seq).unwrap()));

    let mut socket = Socket::open(&server).await;
    socket.subscribe(compact(json!({"subscription": "late"}))).await;
    let snapshot = socket.expect("snapshot").await;
    let wanted = json!({
        "executionId": "a", "subscription": "late", "from": 1, "to": 7, "position": at(7), "state": "running",
        "nodes": [{
            "nodeId": "draft",
            "standing": {"type": "node_start", "visit": 1, "attempt": 1},
            "messages": [{"visit": 1, "attempt": 1, "content": "Rivers are old.", "index": 0, "count": 3}],
            "progress": {"progress": 40.0, "visit": 1, "attempt": 1},
        }],
        "events": {"node_start": 1},
    });
    let mut got = snapshot["payload"].clone();
    got["nodes"][0]["messages"][0].as_object_mut().unwrap().remove("message");
    assert_eq!(got, wanted);
    say(&writer, 7, 9).await;
    for sequence in [8, 9] {
        assert_eq!(socket.expect("token").await["sequence"], sequence, "what follows comes entry by entry");
    }

    // Whoever comes back gets what it missed meanwhile; whoever missed nothing gets no snapshot.
    let mut socket = Socket::open(&server).await;
    socket.subscribe(compact(json!({"from": at(7)}))).await;
    let snapshot = socket.expect("snapshot").await["payload"].clone();
    assert_eq!([&snapshot["from"], &snapshot["to"]], [8, 9]);
    let mut socket = Socket::open(&server).await;
    socket.subscribe(compact(json!({"from": at(9)}))).await;
    writer.finish(StatusUpdate::completed(json!(1))).await.unwrap();
    assert_eq!(sequences(&socket.until_end().await), [10]);
}

#[tokio::test]
async fn of_a_run_that_has_ended_comes_a_snapshot_and_its_end() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 5_000).await;
    writer.finish(StatusUpdate::completed(json!({"n": 1}))).await.unwrap();
    let text: String = (0..5_000).map(|n| n.to_string()).collect();
    let mut socket = Socket::open(&server).await;
    socket.subscribe(compact(json!({}))).await;
    let snapshot = socket.expect("snapshot").await;
    assert_eq!(texts(&snapshot), [("generate".to_owned(), text.clone())]);
    assert_eq!(
        (&snapshot["payload"]["to"], &snapshot["payload"]["state"]),
        (&json!(5_001), &json!("completed"))
    );
    let end = socket.expect("status").await;
    assert_eq!((&end["sequence"], &end["payload"]["result"]), (&json!(5_002), &json!({"n": 1})));

    // The same as an event stream, where `Last-Event-ID` goes on after the snapshot.
    let path = "/executions/a/events?replay=compact";
    let answer = server.get(path).await;
    let events: Vec<(&str, Value)> = answer
        .body
        .split("\n\n")
        .filter_map(|event| {
            let (id, data) = event.strip_prefix("id: ")?.split_once("\ndata: ")?;
            Some((id, serde_json::from_str(data).unwrap()))
        })
        .collect();
    assert_eq!(events.iter().map(|(_, frame)| &frame["type"]).collect::<Vec<_>>(), ["snapshot", "status"]);
    assert_eq!(events[0].0, snapshot["payload"]["position"]);
    assert_eq!(texts(&events[0].1), [("generate".to_owned(), text)]);
    let rest = server.ask("GET", path, &[("last-event-id", events[0].0)], "").await;
    assert!(!rest.body.contains("snapshot") && rest.body.contains("\"completed\""), "{}", rest.body);
    let message = server.get("/executions/a/events?replay=short").await.error(400, "invalid_parameter");
    assert!(message.contains("`full` or `compact`"), "{message}");
}

#[tokio::test]
async fn what_is_too_much_for_one_snapshot_comes_as_several_that_follow_each_other() {
    let server = Server::with_options(GatewayOptions::default().with_max_write_bytes(4 << 10)).await;
    let writer = server.held("a").await;
    say(&writer, 0, 6_000).await;
    writer.finish(StatusUpdate::completed(json!(1))).await.unwrap();
    let mut socket = Socket::open(&server).await;
    socket.subscribe(compact(json!({}))).await;
    let (mut text, mut next, mut snapshots) = (String::new(), 1, 0);
    for frame in socket.until_end().await {
        if frame["type"] == "status" {
            assert_eq!(frame["sequence"], next);
            continue;
        }
        assert!(frame.to_string().len() < 8 << 10, "{} bytes", frame.to_string().len());
        assert_eq!(frame["payload"]["from"], next);
        next = frame["payload"]["to"].as_u64().unwrap() + 1;
        text += &texts(&frame)[0].1;
        snapshots += 1;
    }
    assert!(snapshots > 3, "{snapshots}");
    assert_eq!(text, (0..6_000).map(|n| n.to_string()).collect::<String>());
}

#[tokio::test]
async fn a_filter_and_a_gap_hold_for_a_snapshot_too() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    for n in 0..20 {
        let name = if n % 2 == 0 { "draft" } else { "review" };
        writer
            .append([token(name, &format!("{n} ")), happened(name, EventType::NODE_COMPLETE)])
            .await
            .unwrap();
    }
    writer.log().trim(Seq::try_from(5).unwrap()).unwrap();
    let mut socket = Socket::open(&server).await;
    socket.subscribe(compact(json!({"events": ["token"], "nodes": ["review"]}))).await;
    let gap = socket.expect("gap").await["payload"].clone();
    assert_eq!(json!([gap["from"], gap["to"], gap["reason"]]), json!([1, 5, "trimmed"]));
    let snapshot = socket.expect("snapshot").await;
    assert_eq!(texts(&snapshot), [("review".to_owned(), "3 5 7 9 11 13 15 17 19 ".to_owned())]);
    assert_eq!(json!([snapshot["payload"]["from"], snapshot["payload"]["to"]]), json!([6, 41]));
    assert!(snapshot["payload"].get("events").is_none());
    // Where nothing of what was missed passes the filter, there is nothing to tell.
    let mut socket = Socket::open(&server).await;
    socket.subscribe(compact(json!({"events": ["milestone"], "from": gap["position"]}))).await;
    writer.finish(StatusUpdate::completed(json!(1))).await.unwrap();
    assert_eq!(sequences(&socket.until_end().await), [42]);
}

#[tokio::test]
async fn what_a_retry_makes_void_is_in_no_snapshot_and_is_told_to_who_had_it() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let retry = Event::named(
        Some(node("draft")),
        EventType::NODE_RETRY,
        &json!({"code": "node_timeout", "message": "late", "visit": 1, "attempt": 1, "delayMs": 5}),
    );
    let inner = [token("draft/inner", "void"), token("draft/inner", "more")];
    writer.append([token("draft", "void"), token("review", "kept")]).await.unwrap();
    writer.append(inner.into_iter().chain([retry])).await.unwrap();
    for from in ["start".to_owned(), writer.log().position(Seq::try_from(3).unwrap()).to_string()] {
        let mut socket = Socket::open(&server).await;
        socket.subscribe(compact(json!({"from": from}))).await;
        let snapshot = socket.expect("snapshot").await;
        assert!(texts(&snapshot).iter().all(|(_, text)| text.is_empty() || text == "kept"), "{snapshot}");
        assert_eq!(snapshot["payload"]["voided"], json!([{"nodeId": "draft", "visit": 1, "attempt": 1}]));
        let nodes = snapshot["payload"]["nodes"].as_array().unwrap();
        let draft = nodes.iter().find(|node| node["nodeId"] == "draft").unwrap();
        assert_eq!(draft["standing"], json!({"type": "node_retry", "visit": 1, "attempt": 1}));
    }
}

#[tokio::test]
async fn the_values_of_json_count_to_the_size_of_a_snapshot() {
    let limit = 16 << 10;
    let server = Server::with_options(GatewayOptions::default().with_max_write_bytes(limit)).await;
    let writer = server.held("a").await;
    // Each visit says little, and its value is long.
    for visit in 1..=60 {
        let value = Some(json!({"text": "v".repeat(2 << 10)}));
        let token = Token { content: "{".into(), count: 1, visit, attempt: 1, value, ..Token::default() };
        writer.append([Event::token(node("generate"), &token)]).await.unwrap();
    }
    writer.finish(StatusUpdate::completed(json!(1))).await.unwrap();
    let mut socket = Socket::open(&server).await;
    socket.subscribe(compact(json!({}))).await;
    let mut snapshots = 0;
    for frame in socket.until_end().await.iter().filter(|frame| frame["type"] == "snapshot") {
        let bytes = frame.to_string().len();
        assert!(bytes < 2 * limit + (4 << 10), "{bytes} bytes");
        snapshots += 1;
    }
    assert!(snapshots > 3, "{snapshots}");
}

#[tokio::test]
async fn a_gap_over_all_that_was_missed_ends_the_snapshots() {
    let retention = Retention::default().with_max_entries(2);
    let server =
        Server::with(GatewayOptions::default(), LogOptions::default().with_retention(retention)).await;
    let writer = server.held("a").await;
    say(&writer, 0, 10).await;
    let mut socket = Socket::open(&server).await;
    // It is read only after the window, and by then everything it had missed is gone.
    socket.subscribe(compact(json!({"flushWindowMs": 3_000}))).await;
    say(&writer, 10, 20).await;
    let gap = socket.expect("gap").await;
    assert!(gap["payload"]["to"].as_u64().unwrap() > 11, "{gap}");
    assert_eq!(socket.expect("token").await["sequence"], 20);
    assert_eq!(socket.expect("token").await["sequence"], 21);
}
