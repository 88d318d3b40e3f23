//! Readers that wait.

use std::time::Duration;

use streamnest_gateway::GatewayOptions;
use tokio::{
    io::AsyncReadExt as _,
    time::{sleep, timeout},
};

use super::{CLOSED, JSON, TEXT, next};
use crate::server::{Answer, PATIENCE, Server};

const A: &str = "/v1/stream/a";

fn quick() -> GatewayOptions {
    GatewayOptions::default()
        .with_long_poll_timeout(Duration::from_millis(100))
        .with_stream_sse_lifetime(Duration::from_secs(1))
}

#[tokio::test]
async fn a_long_poll_without_news_ends_empty_where_it_stood() {
    let server = Server::with_options(quick()).await;
    let tail = next(&server.put(A, &[TEXT], "x").await);
    let answer = server.read(A, &format!("offset={tail}&live=long-poll")).await;
    assert_eq!((answer.status, next(&answer)), (204, tail));
    assert_eq!(answer.header("stream-up-to-date"), Some("true"));
    assert!(answer.header("stream-cursor").is_some());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn an_append_wakes_every_reader_that_waits() {
    let server = Server::start().await;
    let tail = next(&server.put(A, &[JSON], "").await);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(server.send("GET", &format!("{A}?offset={tail}&live=long-poll"), &[], "").await);
    }
    sleep(Duration::from_millis(50)).await;
    server.append(A, &[JSON], r#"[{"n":1},{"n":2}]"#).await;
    for mut stream in waiting {
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(Answer::parse(&bytes).body, r#"[{"n":1},{"n":2}]"#);
    }
}

#[tokio::test]
async fn an_event_stream_ends_after_its_time_and_goes_on_where_it_ended() {
    let server = Server::with_options(quick()).await;
    server.put(A, &[TEXT], "one").await;
    let first = server.read(A, "offset=-1&live=sse").await;
    assert!(first.body.starts_with("event: data\ndata:one\n\nevent: control\ndata:{"), "{}", first.body);
    let control = first.body.rsplit("data:").next().unwrap();
    let control: serde_json::Value = serde_json::from_str(control.trim()).unwrap();
    assert_eq!(control["upToDate"], true);
    server.append(A, &[TEXT, CLOSED], "two").await;
    let offset = control["streamNextOffset"].as_str().unwrap();
    let second = server.read(A, &format!("offset={offset}&live=sse")).await;
    assert!(second.body.starts_with("event: data\ndata:two\n\n"), "{}", second.body);
    assert!(second.body.ends_with("\"upToDate\":true,\"streamClosed\":true}\n\n"), "{}", second.body);
}

#[tokio::test]
async fn a_reader_more_than_may_wait_is_told_when_to_come_again() {
    let options = GatewayOptions::default().with_max_stream_readers(2);
    let server = Server::with_options(options).await;
    let tail = next(&server.put(A, &[TEXT], "x").await);
    let poll = format!("{A}?offset={tail}&live=long-poll");
    let one = server.send("GET", &poll, &[], "").await;
    let two = server.send("GET", &format!("{A}?offset=-1&live=sse"), &[], "").await;
    let refused = async {
        loop {
            let answer = server.read(A, "offset=-1&live=sse").await;
            if answer.status == 429 {
                return answer;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    // The other two may not have come yet, and then this one has a place until the stream is closed.
    let (refused, ()) = tokio::join!(timeout(PATIENCE, refused), async {});
    let refused = refused.expect("the third is refused");
    let message = refused.error(429, "too_many_readers");
    assert!(message.contains("GatewayOptions::max_stream_readers"), "{message}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Who needs not wait is served.
    assert_eq!(server.read(A, "offset=-1&live=long-poll").await.body, "x");
    drop((one, two));
}

#[tokio::test]
async fn a_shutdown_lets_readers_go_at_once() {
    let mut server = Server::start().await;
    let tail = next(&server.put(A, &[TEXT], "x").await);
    let mut poll = server.send("GET", &format!("{A}?offset={tail}&live=long-poll"), &[], "").await;
    let mut events = server.send("GET", &format!("{A}?offset={tail}&live=sse"), &[], "").await;
    let mut begun = [0; 1];
    timeout(PATIENCE, events.read_exact(&mut begun)).await.unwrap().unwrap();
    server.begin_to_stop();
    let mut bytes = Vec::new();
    timeout(PATIENCE, poll.read_to_end(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(Answer::parse(&bytes).status, 204);
    timeout(PATIENCE, events.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn a_delete_ends_a_long_poll() {
    let server = Server::start().await;
    let tail = next(&server.put(A, &[TEXT], "x").await);
    let mut poll = server.send("GET", &format!("{A}?offset={tail}&live=long-poll"), &[], "").await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(server.ask("DELETE", A, &[], "").await.status, 204);
    let mut bytes = Vec::new();
    timeout(PATIENCE, poll.read_to_end(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(Answer::parse(&bytes).status, 404);
}

/// Follows it, and returns when the answer has begun; its status with it.
async fn follow(server: &Server) -> (tokio::net::TcpStream, u16) {
    let mut stream = server.send("GET", &format!("{A}?offset=-1&live=sse"), &[], "").await;
    let mut head = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().unwrap();
    (stream, std::str::from_utf8(&head[9..]).unwrap().parse().unwrap())
}

#[tokio::test]
async fn event_streams_of_streams_take_places_and_are_counted_like_those_of_executions() {
    let options =
        GatewayOptions::default().with_max_connections(3).with_heartbeat_interval(Duration::from_millis(50));
    let server = Server::with_options(options).await;
    server.put(A, &[TEXT], &"x".repeat(1_000)).await;
    server.held("run").await;
    let mut native = server.send("GET", "/executions/run/events", &[], "").await;
    native.read_u8().await.unwrap();
    let (first, one) = follow(&server).await;
    let (_second, two) = follow(&server).await;
    assert_eq!((one, two), (200, 200));
    let refused = server.read(A, "offset=-1&live=sse").await;
    let message = refused.error(503, "too_many_connections");
    assert!(message.contains("GatewayOptions::max_connections"), "{message}");
    let statistics = server.get("/admin/statistics").await.json();
    assert_eq!(statistics["connections"]["eventStream"], 3);
    // What they sent is told at heartbeats, and how far each is behind.
    server.append(A, &[TEXT], &"y".repeat(1_000)).await;
    let all = timeout(PATIENCE, async {
        loop {
            let text = server.get("/metrics").await.body;
            let of = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(&format!("streamnest_{name} ")));
                line.unwrap_or_else(|| panic!("{name}")).parse::<f64>().unwrap()
            };
            let counted = of("sent_bytes_total{transport=\"sse\"}");
            if counted >= 4_000.0 && of("lag_entries_count") >= 6.0 {
                return of("connected_total{transport=\"sse\"}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("all of that is counted");
    assert_eq!(all, 3.0, "connections that were opened");
    drop(first);
    let again = async { while follow(&server).await.1 != 200 {} };
    timeout(PATIENCE, again).await.expect("a place that is left is given again");
}

#[tokio::test]
async fn what_is_read_of_streams_counts_as_sent() {
    let server = Server::start().await;
    server.put(A, &[TEXT], &"x".repeat(700)).await;
    let polled = server.read(A, "offset=-1&live=long-poll").await;
    assert_eq!((polled.status, polled.body.len()), (200, 700));
    assert_eq!(server.read(A, "offset=-1").await.body.len(), 700);
    let text = server.get("/metrics").await.body;
    assert!(text.contains("streamnest_sent_bytes_total{transport=\"http\"} 1400\n"), "{text}");
}
