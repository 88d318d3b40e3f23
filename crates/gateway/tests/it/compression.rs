//! What clients catch up on, compressed once for all of them.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use flate2::read::{DeflateDecoder, GzDecoder};
use serde_json::{Value, json};
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::{CompressionOptions, GatewayOptions, RateLimitOptions};
use tokio::{io::AsyncReadExt as _, task::JoinSet};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    engine::{say, token},
    server::Server,
    socket::{Socket, sequences},
};

const OFFER: [(&str, &str); 1] = [("sec-websocket-protocol", "streamnest.v1, streamnest.v1.deflate")];

/// The frames of the next message, and whether they came compressed.
async fn next(socket: &mut Socket) -> (Vec<Value>, bool) {
    loop {
        match socket.message().await.unwrap() {
            Message::Text(text) => return (vec![serde_json::from_str(&text).unwrap()], false),
            Message::Binary(bytes) => {
                let mut text = String::new();
                DeflateDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
                assert!(text.ends_with('\n'));
                return (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), true);
            }
            _ => {}
        }
    }
}

/// Follows an execution to its end; its entries, and how many messages were compressed.
async fn follow(server: &Server, payload: Value) -> (Vec<Value>, usize) {
    let (mut socket, response) = Socket::shake(server, "/ws", &OFFER).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "streamnest.v1.deflate");
    socket.expect("connected").await;
    socket.subscribe(payload).await;
    let (mut entries, mut compressed) = (Vec::new(), 0);
    while entries.last().is_none_or(|last: &Value| last["payload"]["status"] != "completed") {
        let (frames, is_compressed) = next(&mut socket).await;
        compressed += usize::from(is_compressed);
        entries.extend(frames);
    }
    (entries, compressed)
}

async fn compressed_blocks(server: &Server) -> usize {
    let text = server.get("/metrics").await.body;
    let line = text.lines().find_map(|line| line.strip_prefix("streamnest_compressed_blocks_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_compressed_once_for_a_thousand_subscribers_who_join_together() {
    let server = std::sync::Arc::new(Server::start().await);
    let writer = server.held("a").await;
    // One block of about 4 KiB: the status, 17 tokens and the end.
    for n in 0..17 {
        writer.append([token("generate", &format!("word {n} "))]).await.unwrap();
    }
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..1_000 {
        let server = server.clone();
        readers.spawn(async move { follow(&server, json!({"executionId": "a"})).await });
    }
    let (mut plain, mut sent) = (0, 0);
    while let Some(read) = readers.join_next().await {
        let (entries, compressed) = read.unwrap();
        assert_eq!(sequences(&entries), (1..=19).collect::<Vec<_>>());
        assert_eq!(compressed, 1);
        plain = entries.iter().map(|entry| entry.to_string().len()).sum();
        sent += 1;
    }
    let blocks = compressed_blocks(&server).await;
    println!("subscribers={sent} block_bytes={plain} compressed={blocks}");
    assert!(plain > 4_000 && plain < 6_000, "{plain} bytes");
    assert_eq!(blocks, 1);
}

#[tokio::test]
async fn long_logs_come_in_blocks_that_all_share_and_tokens_come_as_they_are() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 300).await;
    let last = tokio::join!(
        follow(&server, json!({"executionId": "a"})),
        follow(&server, json!({"executionId": "a", "events": ["token"]})),
        follow(&server, json!({"executionId": "a", "subscription": "mine"})),
        async {
            writer.log().subscribers_become(|count| count == 3).await;
            say(&writer, 300, 301).await;
            writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
        }
    );
    let (whole, filtered, named) = (last.0, last.1, last.2);
    assert_eq!(sequences(&whole.0), (1..=303).collect::<Vec<_>>());
    assert_eq!(sequences(&filtered.0), (2..=303).collect::<Vec<_>>());
    assert_eq!(sequences(&named.0), (1..=303).collect::<Vec<_>>());
    assert!(whole.1 >= 4 && filtered.1 >= 4, "{} and {}", whole.1, filtered.1);
    assert_eq!(named.1, 0, "frames that carry a name are nobody else's");
    // Who comes later is owed the same blocks; only the rest is new.
    let before = compressed_blocks(&server).await;
    follow(&server, json!({"executionId": "a"})).await;
    assert!(compressed_blocks(&server).await <= before + 1);
}

#[tokio::test]
async fn nobody_gets_what_it_did_not_offer_and_a_server_may_not_offer_it() {
    let off = CompressionOptions::default().with_enabled(false);
    for (options, offer, expected) in [
        (CompressionOptions::default(), "streamnest.v1", "streamnest.v1"),
        (off, "streamnest.v1, streamnest.v1.deflate", "streamnest.v1"),
    ] {
        let server = Server::with_options(GatewayOptions::default().with_compression(options)).await;
        let writer = server.held("a").await;
        say(&writer, 0, 100).await;
        let headers = [("sec-websocket-protocol", offer)];
        let (mut socket, response) = Socket::shake(&server, "/ws", &headers).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], expected);
        socket.expect("connected").await;
        socket.subscribe(json!({"executionId": "a"})).await;
        for _ in 0..101 {
            assert!(!next(&mut socket).await.1);
        }
    }
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let options = CompressionOptions::default().with_max_kept_bytes(1);
    let server = Server::with_options(GatewayOptions::default().with_compression(options)).await;
    let writer = server.held("a").await;
    say(&writer, 0, 50).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    for expected in 1..=3 {
        follow(&server, json!({"executionId": "a"})).await;
        assert_eq!(compressed_blocks(&server).await, expected, "nothing is kept");
    }
}

#[tokio::test]
async fn what_is_read_again_over_http_is_gzipped_for_who_takes_it() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 100).await;
    let plain = server.get("/v1/stream/executions/a").await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    let headers = [("accept-encoding", "br, gzip")];
    let mut stream = server.send("GET", "/v1/stream/executions/a", &headers, "").await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..at].to_vec()).unwrap().to_ascii_lowercase();
    assert!(head.contains("content-encoding: gzip") && head.contains("etag: w/\""), "{head}");
    let mut body = String::new();
    GzDecoder::new(&answer[at + 4..]).read_to_string(&mut body).unwrap();
    assert_eq!(body, plain.body);
    assert!(answer.len() * 4 < plain.body.len(), "{} of {}", answer.len(), plain.body.len());
    // A client that has it is told so, by the tag of either.
    let tag = plain.header("etag").unwrap().to_owned();
    let again = [("accept-encoding", "gzip"), ("if-none-match", &*format!("W/{tag}"))];
    assert_eq!(server.ask("GET", "/v1/stream/executions/a", &again, "").await.status, 304);
    // Live it comes as it is.
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let live = server.ask("GET", "/executions/a/events", &headers, "").await;
    assert_eq!(live.header("content-encoding"), None);
    assert!(live.body.contains("\"token\""), "{live:?}");
}

#[tokio::test]
async fn reading_again_counts_by_what_is_read_however_little_is_sent() {
    let limits = RateLimitOptions::unlimited().with_replay_bytes_per_second(Some(400 << 10));
    let options = GatewayOptions::default().with_rate_limit(Some(limits)).with_max_write_bytes(64 << 10);
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    // More than a megabyte, which takes a few kilobytes when it is compressed.
    let text = "x".repeat(1 << 10);
    for n in 0..800 {
        writer.append([token("generate", &format!("{n} {text}"))]).await.unwrap();
    }
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let since = Instant::now();
    let (entries, compressed) = follow(&server, json!({"executionId": "a"})).await;
    let took = since.elapsed();
    assert_eq!(sequences(&entries), (1..=802).collect::<Vec<_>>());
    assert!(compressed > 10, "{compressed}");
    // 400 KiB of it may come at once.
    assert!(took >= Duration::from_millis(1_200), "{took:?}");
}
