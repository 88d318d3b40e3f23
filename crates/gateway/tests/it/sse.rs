//! Event streams.

use std::time::Duration;

use serde_json::{Value, json};
use streamnest_core::{Seq, payload::StatusUpdate};
use streamnest_gateway::GatewayOptions;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::{
    engine::{say, token},
    server::{Answer, PATIENCE, Server},
    socket::{Socket, sequences},
};

/// The events of a response, as an `EventSource` reads them: id and data.
fn events(body: &str) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    for block in body.split("\n\n") {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let Some(data) = field("data:") {
            events.push((field("id:").unwrap_or_default().to_owned(), serde_json::from_str(data).unwrap()));
        }
    }
    events
}

fn frames(answer: &Answer) -> Vec<Value> {
    events(&answer.body).into_iter().map(|(_, frame)| frame).collect()
}

/// Reads what comes until it holds `needle`.
async fn read_until(stream: &mut TcpStream, needle: &str) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&bytes).contains(needle) {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "ended before {needle:?}: {bytes:?}");
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("no {needle:?} comes"));
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_stream_begins_with_a_comment_and_ends_with_the_end() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let mut stream = server.send("GET", "/executions/a/events", &[], "").await;
    let begin = read_until(&mut stream, r#""status":"running""#).await;
    let head = begin.to_ascii_lowercase();
    for header in [
        "content-type: text/event-stream\r\n",
        "x-accel-buffering: no\r\n",
        "cache-control: no-store, no-transform\r\n",
    ] {
        assert!(head.contains(header), "{begin}");
    }
    let body = begin.split_once("\r\n\r\n").unwrap().1;
    assert!(body.split_once("\r\n").unwrap().1.starts_with(": hb\n\nretry: 1000\n\n"), "{body}");
    say(&writer, 0, 2).await;
    read_until(&mut stream, r#""content":"1""#).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains(r#""status":"completed""#) && rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn both_transports_say_the_same_and_sse_never_names_an_event() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 30).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    let answer = server.get("/executions/a/events").await;
    let (ids, frames): (Vec<_>, Vec<_>) = events(&answer.body).into_iter().unzip();
    assert_eq!(frames, socket.until_end().await);
    assert!(frames.iter().zip(&ids).all(|(frame, id)| frame["position"] == *id));
    assert!(!answer.body.contains("event:") && !answer.body.contains('\r'));
}

#[tokio::test]
async fn a_reader_resumes_at_every_position_and_stays_away_at_the_end() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 8).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let all = frames(&server.get("/executions/a/events").await);
    assert_eq!(sequences(&all), (1..=10).collect::<Vec<_>>());
    for (index, frame) in all.iter().enumerate() {
        let position = frame["position"].as_str().unwrap();
        // What the browser remembers goes before what stands in the address that it repeats.
        let by_header = [("last-event-id", position)];
        let by_header = server.ask("GET", "/executions/a/events?from=start", &by_header, "").await;
        let by_query = server.get(&format!("/executions/a/events?from={position}")).await;
        for answer in [by_header, by_query] {
            if index == 9 {
                assert_eq!((answer.status, answer.body.as_str()), (204, ""));
            } else {
                assert_eq!(frames(&answer), all[index + 1..]);
            }
        }
    }
    assert_eq!(server.get("/executions/a/events?from=now").await.status, 204);
}

#[tokio::test]
async fn filters_choose_and_the_end_always_comes() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    writer.append([token("draft", "x"), token("review", "y")]).await.unwrap();
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    for (query, expected) in [
        ("events=token", vec![2, 3, 4]),
        ("events=token&nodes=draft", vec![2, 4]),
        ("events=token,status&nodes=review", vec![3, 4]),
        ("events=token&events=status", vec![1, 2, 3, 4]),
        ("events=progress", vec![4]),
    ] {
        let answer = server.get(&format!("/executions/a/events?{query}")).await;
        assert_eq!(sequences(&frames(&answer)), expected, "{query}");
    }
}

#[tokio::test]
async fn a_refusal_comes_before_the_stream() {
    let server = Server::start().await;
    server.held("a").await;
    server.get("/executions/none/events").await.error(404, "unknown_execution");
    server.get("/executions/a/events?from=yesterday").await.error(400, "invalid_parameter");
    server.get("/executions/a/events?event=token").await.error(400, "invalid_parameter");
    server.get("/executions/a/events?nodes=a%20b").await.error(400, "invalid_filter");
    let bad = [("last-event-id", "7")];
    server.ask("GET", "/executions/a/events", &bad, "").await.error(400, "invalid_position");
}

#[tokio::test]
async fn what_retention_took_is_told_by_one_gap() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 50).await;
    writer.log().trim(Seq::try_from(40).unwrap()).unwrap();
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let told = events(&server.get("/executions/a/events").await.body);
    let (id, gap) = &told[0];
    assert_eq!(gap["type"], "gap");
    assert_eq!((&gap["payload"]["from"], &gap["payload"]["to"]), (&json!(1), &json!(40)));
    assert_eq!(gap["payload"]["position"], *id);
    let rest: Vec<_> = told.iter().skip(1).map(|(_, frame)| frame.clone()).collect();
    assert_eq!(sequences(&rest), (41..=52).collect::<Vec<_>>());
    // Who comes back with the gap's id is not told again.
    let again = server.ask("GET", "/executions/a/events", &[("last-event-id", id)], "").await;
    assert_eq!(frames(&again), rest);
}

#[tokio::test]
async fn heartbeats_come_in_silence_and_move_a_filtered_reader_on() {
    let options = GatewayOptions::default().with_heartbeat_interval(Duration::from_millis(50));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let mut stream = server.send("GET", "/executions/a/events?events=progress", &[], "").await;
    read_until(&mut stream, "retry").await;
    read_until(&mut stream, ": hb\n").await;
    say(&writer, 0, 5).await;
    let position = writer.log().position(writer.log().head().last);
    read_until(&mut stream, &format!(": hb\nid: {position}\n\n")).await;
    read_until(&mut stream, ": hb\n\n").await;
}

#[tokio::test]
async fn without_heartbeats_a_stream_is_silent_until_there_is_something_to_tell() {
    let options =
        GatewayOptions::default().with_heartbeats(false).with_heartbeat_interval(Duration::from_millis(20));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let mut stream = server.send("GET", "/executions/a/events", &[], "").await;
    read_until(&mut stream, "running").await;
    let mut more = Vec::new();
    let quiet = tokio::time::timeout(Duration::from_millis(300), stream.read_buf(&mut more)).await;
    assert!(quiet.is_err(), "{more:?}");
    say(&writer, 0, 1).await;
    read_until(&mut stream, "token").await;
}

#[tokio::test]
async fn a_reader_that_goes_away_follows_no_more() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let mut stream = server.send("GET", "/executions/a/events", &[], "").await;
    read_until(&mut stream, "running").await;
    assert_eq!(writer.log().subscribers(), 1);
    drop(stream);
    let gone = writer.log().subscribers_become(|count| count == 0);
    tokio::time::timeout(PATIENCE, gone).await.expect("the cursor is dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_is_let_go() {
    let options = GatewayOptions::default().with_slow_reader_limit(Duration::from_millis(300));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let stream = server.send("GET", "/executions/a/events", &[], "").await;
    tokio::time::timeout(PATIENCE, writer.log().subscribers_become(|count| count == 1)).await.unwrap();
    let filler = "x".repeat(4_000);
    for _ in 0..5_000 {
        writer.append([token("generate", &filler)]).await.unwrap();
    }
    let gone = writer.log().subscribers_become(|count| count == 0);
    tokio::time::timeout(PATIENCE, gone).await.expect("is let go");
    drop(stream);
}
