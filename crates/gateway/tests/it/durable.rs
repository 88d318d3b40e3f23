//! Streams over HTTP, beyond what the protocol's own suite looks at.

mod executions;
mod live;
mod resume;

use std::time::Duration;

use streamnest_gateway::GatewayOptions;
use streamnest_log::durable::StreamOptions;

use crate::server::{Answer, Server};

pub(crate) const TEXT: (&str, &str) = ("content-type", "text/plain");
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const CLOSED: (&str, &str) = ("stream-closed", "true");

impl Server {
    pub(crate) async fn put(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask("PUT", path, headers, body).await
    }

    pub(crate) async fn append(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask("POST", path, headers, body).await
    }

    pub(crate) async fn read(&self, path: &str, query: &str) -> Answer {
        self.get(&format!("{path}?{query}")).await
    }
}

pub(crate) fn next(answer: &Answer) -> String {
    answer.header("stream-next-offset").unwrap().into()
}

const A: &str = "/v1/stream/a";

#[tokio::test]
async fn what_a_stranger_has_stored_runs_in_no_page() {
    let server = Server::start().await;
    let html = "<script>alert(1)</script>";
    let made = server.put(A, &[("content-type", "text/html")], html).await;
    let read = server.get(A).await;
    assert_eq!((read.body.as_str(), read.header("content-type")), (html, Some("text/html")));
    let refused = server.get("/v1/stream/none").await;
    let looked = server.ask("HEAD", A, &[], "").await;
    for answer in [&made, &read, &refused, &looked] {
        assert_eq!(answer.header("content-security-policy"), Some("sandbox"), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
    }
    server.put("/v1/stream/bytes", &[], "x").await;
    assert_eq!(server.get("/v1/stream/bytes").await.header("content-disposition"), Some("attachment"));
}

#[tokio::test]
async fn an_answer_is_no_longer_than_a_read_may_be_except_for_one_entry_alone() {
    const MOST: usize = 4 << 10;
    const LONG: usize = 20_000;
    let server = Server::with_options(GatewayOptions::default().with_max_stream_read_bytes(MOST)).await;
    let writer = server.held("run").await;
    let (run, messages) = ("/v1/stream/executions/run", "/v1/stream/messages");
    server.put(A, &[TEXT], "").await;
    server.put(messages, &[JSON], "").await;
    for n in 0..60 {
        // Short ones, and long ones that stand where there is still room.
        let text = "x".repeat(if n % 20 == 10 { LONG } else { 1 + n * 7 });
        server.append(A, &[TEXT], &text).await;
        server.append(messages, &[JSON], &format!("[{text:?}]")).await;
        writer.append([crate::engine::token("draft", &text)]).await.unwrap();
    }
    for (path, most, least) in [(A, MOST, LONG), (messages, MOST, LONG + 4), (run, MOST, LONG)] {
        let (mut offset, mut alone, mut all, mut answers) = ("-1".to_owned(), 0, 0, 0);
        loop {
            let answer = server.read(path, &format!("offset={offset}")).await;
            let (length, is_text) = (answer.body.len(), path == A);
            let entries = if is_text { 1 } else { answer.json().as_array().unwrap().len() };
            if length > most {
                assert!(
                    length >= least && entries == 1,
                    "{path} after {offset}: {entries} in {length} bytes"
                );
                alone += 1;
            }
            (offset, all, answers) = (next(&answer), all + entries, answers + 1);
            if answer.header("stream-up-to-date").is_some() {
                break;
            }
        }
        assert_eq!(alone, 3, "{path}");
        // Little is sent by each only where the next one is long.
        assert!(answers < 20, "{path}: {answers} answers");
        assert!(path == A || all >= 60, "{path}: {all} entries");
    }
}

#[tokio::test]
async fn pages_of_other_origins_and_other_hosts_have_no_streams() {
    let options = GatewayOptions::default().with_allowed_origins(vec!["https://app.example.org".into()]);
    let server = Server::with_options(options).await;
    let elsewhere = ("origin", "https://evil.example");
    for method in ["GET", "PUT", "POST", "DELETE"] {
        server.ask(method, A, &[TEXT, elsewhere], "x").await.error(403, "origin_not_allowed");
        server.ask(method, A, &[TEXT, ("host", "evil.example")], "x").await.error(403, "host_not_allowed");
    }
    let ours = ("origin", "https://app.example.org");
    assert_eq!(server.put(A, &[TEXT, ours], "x").await.status, 201);
    let read = server.ask("GET", A, &[ours], "").await;
    let exposed = read.header("access-control-expose-headers").unwrap();
    for name in ["stream-next-offset", "stream-closed", "stream-cursor", "etag", "producer-epoch"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let asks =
        [ours, ("access-control-request-method", "PUT"), ("access-control-request-headers", "stream-ttl")];
    let preflight = server.ask("OPTIONS", A, &asks, "").await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("put"));
    for name in ["stream-ttl", "producer-id", "stream-forked-from", "if-none-match"] {
        assert!(preflight.header("access-control-allow-headers").unwrap().contains(name), "{name}");
    }
}

#[tokio::test]
async fn a_tag_matches_until_the_stream_is_closed() {
    let server = Server::start().await;
    server.put(A, &[TEXT], "x").await;
    let read = server.get(A).await;
    let tag = read.header("etag").unwrap().to_owned();
    let known = [("if-none-match", tag.as_str())];
    let again = server.ask("GET", A, &known, "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(again.header("etag"), Some(tag.as_str()));
    assert_eq!(next(&again), next(&read));
    server.append(A, &[CLOSED], "").await;
    let closed = server.ask("GET", A, &known, "").await;
    assert_eq!((closed.status, closed.header("stream-closed")), (200, Some("true")));
    assert_ne!(closed.header("etag"), Some(tag.as_str()));
    // One that had the same path before is told apart, though its range is the same.
    server.ask("DELETE", A, &[], "").await;
    server.put(A, &[TEXT], "y").await;
    assert_eq!(server.ask("GET", A, &known, "").await.body, "y");
}

#[tokio::test]
async fn what_ends_soon_is_cached_no_longer() {
    let server = Server::start().await;
    server.put(A, &[TEXT, ("stream-ttl", "7")], "x").await;
    let control = server.get(A).await.header("cache-control").unwrap().to_owned();
    let seconds: u64 = control.split("max-age=").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!((5..=7).contains(&seconds), "{control}");
    server.put("/v1/stream/b", &[TEXT], "x").await;
    let read = server.get("/v1/stream/b").await;
    assert_eq!(read.header("cache-control"), Some("private, max-age=60, stale-while-revalidate=300"));
    let tail = server.read("/v1/stream/b", &format!("offset={}", next(&read))).await;
    assert_eq!((tail.body.as_str(), tail.header("cache-control")), ("", Some("private, no-cache")));
}

#[tokio::test]
async fn each_bound_has_its_status_and_names_its_option() {
    let streams = StreamOptions::default()
        .with_max_streams(1)
        .with_max_append_bytes(8)
        .with_max_stream_bytes(12)
        .with_max_producers(1);
    let server = Server::with_options(GatewayOptions::default().with_streams(streams)).await;
    server.put(A, &[TEXT], "12345678").await;
    let message = server.append(A, &[TEXT], "123456789").await.error(413, "body_too_large");
    assert!(message.contains("8 bytes") && message.contains("StreamOptions::max_append_bytes"), "{message}");
    let message = server.append(A, &[TEXT], "12345678").await.error(413, "stream_full");
    assert!(message.contains("12 bytes") && message.contains("max_stream_bytes"), "{message}");
    let message = server.put("/v1/stream/b", &[TEXT], "").await.error(429, "too_many_streams");
    assert!(message.contains("StreamOptions::max_streams"), "{message}");
    let by = |id: &'static str| [TEXT, ("producer-id", id), ("producer-epoch", "0"), ("producer-seq", "0")];
    assert_eq!(server.append(A, &by("p"), "1").await.status, 200);
    let message = server.append(A, &by("q"), "1").await.error(429, "too_many_producers");
    assert!(message.contains("StreamOptions::max_producers"), "{message}");
}

#[tokio::test]
async fn a_read_has_a_bound_and_goes_on_at_the_next_offset() {
    let options = GatewayOptions::default().with_max_stream_read_bytes(10);
    let server = Server::with_options(options).await;
    server.put(A, &[TEXT], "").await;
    for _ in 0..10 {
        server.append(A, &[TEXT], "1234").await;
    }
    server.append(A, &[CLOSED], "").await;
    let (mut offset, mut read) = ("-1".to_owned(), Vec::new());
    loop {
        let answer = server.read(A, &format!("offset={offset}")).await;
        let is_last = answer.header("stream-closed").is_some();
        assert_eq!(answer.header("stream-up-to-date").is_some(), is_last);
        offset = next(&answer);
        read.push(answer.body);
        if is_last {
            break;
        }
    }
    assert_eq!(read.concat(), "1234".repeat(10));
    assert!(read.len() > 2 && read.iter().all(|part| part.len() <= 12), "{read:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let server = Server::start().await;
    server.put(A, &[JSON], "").await;
    for (headers, body, status, code) in [
        (&[JSON][..], "", 400, "empty_body"),
        (&[JSON], "[]", 400, "empty_body"),
        (&[JSON], "{", 400, "invalid_json"),
        (&[], "{}", 400, "invalid_header"),
        (&[TEXT], "{}", 409, "content_type_mismatch"),
        (&[JSON, ("producer-id", "p")], "{}", 400, "invalid_header"),
        (
            &[JSON, ("producer-id", "p"), ("producer-epoch", "0"), ("producer-seq", "1")],
            "{}",
            409,
            "producer_gap",
        ),
    ] {
        server.append(A, headers, body).await.error(status, code);
    }
    for query in [
        "offset=",
        "offset=x",
        "offset=0,1",
        "offset=-1&offset=now",
        "live=sse",
        "live=long-poll",
        "offset=-1&live=x",
    ] {
        assert_eq!(server.read(A, query).await.status, 400, "{query}");
    }
    server.read(A, "offset=0000000000000001_0000000000000001").await.error(410, "stale_position");
    for (headers, code) in [
        (&[("stream-ttl", "01")][..], "invalid_header"),
        (&[("stream-ttl", "1"), ("stream-expires-at", "2030-01-01T00:00:00Z")], "invalid_header"),
        (&[("stream-fork-offset", "now"), ("stream-forked-from", A)], "invalid_header"),
        (&[("stream-forked-from", "elsewhere")], "invalid_header"),
        (&[("stream-fork-sub-offset", "0")], "invalid_header"),
    ] {
        server.put("/v1/stream/b", headers, "").await.error(400, code);
    }
    server.put("/v1/stream/a/../b", &[], "").await.error(400, "invalid_stream_path");
    server.ask("PATCH", A, &[JSON], "").await.error(405, "method_not_allowed");
    server.ask("PUT", "/v1/stream/__ds/subscriptions/x", &[JSON], "{}").await.error(501, "not_supported");
}

#[tokio::test]
async fn a_closed_stream_says_where_it_ends_whatever_is_sent() {
    let server = Server::start().await;
    server.put(A, &[JSON], "[1,2]").await;
    let end = next(&server.append(A, &[CLOSED], "").await);
    for (headers, body) in [(&[JSON][..], "3"), (&[TEXT], "x"), (&[JSON], "{"), (&[JSON, CLOSED], "3")] {
        let refused = server.append(A, headers, body).await;
        refused.error(409, "stream_closed");
        assert_eq!((refused.header("stream-closed"), next(&refused)), (Some("true"), end.clone()));
    }
    assert_eq!(server.append(A, &[CLOSED], "").await.status, 204);
    assert_eq!(server.get(A).await.body, "[1,2]");
}

#[tokio::test]
async fn a_body_that_breaks_off_appends_nothing() {
    use tokio::io::AsyncWriteExt as _;
    let server =
        Server::with_options(GatewayOptions::default().with_request_timeout(Duration::from_secs(2))).await;
    server.put(A, &[TEXT], "").await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {A} HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nhalf",
        server.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    server.append(A, &[TEXT], "whole").await;
    assert_eq!(server.get(A).await.body, "whole");
}
