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
        .with_stream_sse_lifetime(Duration::from_millis(300))
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
