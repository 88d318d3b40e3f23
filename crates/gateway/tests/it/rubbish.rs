//! Clients that break the rules, by accident or not.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use streamnest_gateway::GatewayOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::{
    engine::say,
    server::{PATIENCE, Server},
    socket::Socket,
};

/// A WebSocket without a library: what is written after the handshake is up to the test.
pub(crate) async fn raw(server: &Server) -> TcpStream {
    let headers = [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut request = format!("GET /ws HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\n", server.address);
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // RFC 6455 §1.3 has this key and its answer as the example.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    stream
}

/// A masked client frame; the mask is zero, so the payload stands as it is.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Reads frames until a close frame; its code.
async fn close_code(stream: &mut TcpStream) -> u16 {
    let read = async {
        loop {
            let (first, second) = (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
            let length = match second {
                126 => usize::from(stream.read_u16().await.unwrap()),
                127 => usize::try_from(stream.read_u64().await.unwrap()).unwrap(),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await.unwrap();
            if first == 0x88 {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("a close frame comes")
}

async fn still_serves(server: &Server) {
    let mut socket = Socket::open(server).await;
    socket.send(json!({"type": "ping"})).await;
    socket.expect("pong").await;
}

#[tokio::test]
async fn a_message_in_fragments_is_one_message() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server).await;
    let text = json!({"type": "ping", "id": "é"}).to_string().into_bytes();
    for (at, byte) in text.iter().enumerate() {
        let opcode = OpCode::Data(if at == 0 { Data::Text } else { Data::Continue });
        let frame = Frame::message(vec![*byte], opcode, at + 1 == text.len());
        socket.send_raw(Message::Frame(frame)).await;
        // Control frames may stand between fragments.
        socket.send_raw(Message::Ping(vec![1].into())).await;
    }
    assert_eq!(socket.expect("pong").await["replyTo"], "é");
}

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let server = Server::with_options(GatewayOptions::default().with_max_message_bytes(1_000)).await;
    let fits = json!({"type": "ping", "id": "x".repeat(100)}).to_string();
    let mut socket = Socket::open(&server).await;
    socket.send_raw(Message::text(format!("{fits:<1000}"))).await;
    socket.expect("pong").await;
    socket.send_raw(Message::text(format!("{fits:<1001}"))).await;
    assert_eq!(socket.until_close().await.0, Some(1009));

    // Also one that comes in fragments, and one that is only announced.
    let mut stream = raw(&server).await;
    stream.write_all(&masked(0x01, &[b' '; 900])).await.unwrap();
    stream.write_all(&masked(0x80, &[b' '; 200])).await.unwrap();
    assert_eq!(close_code(&mut stream).await, 1009);
    let mut stream = raw(&server).await;
    stream.write_all(&[0x81, 0xFF, 0, 0, 0xFF, 0, 0, 0, 0, 0, 1, 2, 3, 4]).await.unwrap();
    assert_eq!(close_code(&mut stream).await, 1009);
    // One that goes on sending still hears why.
    let mut stream = raw(&server).await;
    stream.write_all(&masked(0x81, &vec![b' '; 400_000])).await.unwrap();
    assert_eq!(close_code(&mut stream).await, 1009);
    still_serves(&server).await;
}

#[tokio::test]
async fn a_bad_frame_is_told_and_the_tenth_within_a_minute_closes() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server).await;
    let bad = ["", "{", "[]", "1", "null", "{\"type\":1}", "{\"type\":\"x\"}", "{\"id\":\"1\"}"];
    for text in bad {
        socket.send_raw(Message::text(text)).await;
        let error = socket.expect("error").await;
        assert!(!error["payload"]["message"].as_str().unwrap().is_empty());
    }
    socket.send_raw(Message::binary(vec![1, 2, 3])).await;
    assert!(socket.expect_error("bad_frame").await.contains("text"));
    socket.send(json!({"type": "ping"})).await;
    socket.expect("pong").await;
    socket.send_raw(Message::text("}")).await;
    let (code, frames) = socket.until_close().await;
    assert_eq!((code, frames.len()), (Some(4400), 1));
}

#[tokio::test]
async fn what_breaks_the_websocket_protocol_closes_with_its_code() {
    let server = Server::start().await;
    let ping = br#"{"type":"ping"}"#;
    let mut unmasked = vec![0x81, ping.len() as u8];
    unmasked.extend_from_slice(ping);
    for (bytes, code) in [
        (unmasked, 1002),
        (masked(0xC1, ping), 1002),
        (masked(0x83, ping), 1002),
        (masked(0x80, ping), 1002),
        (masked(0x89, &[0; 126]), 1002),
        (masked(0x09, b"x"), 1002),
        (masked(0x81, &[0xC3, 0x28]), 1007),
    ] {
        let mut stream = raw(&server).await;
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(close_code(&mut stream).await, code, "{bytes:?}");
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest))
            .await
            .expect("the server ends")
            .unwrap();
    }
    still_serves(&server).await;
}

#[tokio::test]
async fn random_bytes_never_break_the_server() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut state = u64::from(seed) | 1;
    let mut random = move || {
        // xorshift64: https://www.jstatsoft.org/article/view/v008i14
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let server = Server::start().await;
    for round in 0..60 {
        let bytes: Vec<u8> = (0..random() % 600).map(|_| random() as u8).collect();
        // Every second one is text that is whole, so that the parser behind the frames is reached.
        let bytes =
            if round % 2 == 0 { bytes } else { masked(0x81, String::from_utf8_lossy(&bytes).as_bytes()) };
        let mut stream = raw(&server).await;
        // The server may have closed already.
        let _ = stream.write_all(&bytes).await;
    }
    still_serves(&server).await;
    assert!(server.get("/healthz").await.status == 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pongs_never_fall_into_the_middle_of_what_is_sent() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 20_000).await;
    let mut socket = Socket::open(&server).await;
    socket.send(json!({"type": "subscribe_execution", "payload": {"executionId": "a"}})).await;
    // The server is stuck in the middle of a batch, and has pings and requests to answer.
    for n in 0_u32..2_000 {
        socket.stream.get_mut().writable().await.unwrap();
        let frame =
            if n % 2 == 0 { masked(0x89, &n.to_be_bytes()) } else { masked(0x81, br#"{"type":"ping"}"#) };
        // Straight to the socket: nothing is read meanwhile.
        if tokio::time::timeout(
            std::time::Duration::from_millis(50),
            socket.stream.get_mut().write_all(&frame),
        )
        .await
        .is_err()
        {
            break;
        }
    }
    let (mut next, mut pongs) = (1, 0);
    while next <= 20_001 {
        match socket.message().await.unwrap() {
            Message::Text(text) => {
                let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                if let Some(sequence) = frame["sequence"].as_u64() {
                    assert_eq!(sequence, next);
                    next += 1;
                }
            }
            Message::Pong(_) => pongs += 1,
            other => panic!("{other:?}"),
        }
    }
    // Pongs of pings that came together may be one (RFC 6455 §5.5.3).
    assert!(pongs > 0 || matches!(socket.message().await, Ok(Message::Pong(_) | Message::Text(_))));
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_refused_and_counted() {
    let server = Server::start().await;
    let get = |rest: &str| format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{rest}\r\n\r\n");
    for (head, status) in [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "400"),
        (get("bad header: x"), "400"),
        (get("content-length: 1\r\ncontent-length: 2"), "400"),
        (get("transfer-encoding: none"), "400"),
        (get(&format!("x: {}", "x".repeat(64 << 10))), "431"),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The end of a long one may not be taken any more.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer[9..], *status.as_bytes(), "{head:.80}");
    }
    let counted = async {
        loop {
            let text = server.get("/metrics").await.body;
            let of = |code: &str, count: usize| {
                text.contains(&format!("streamnest_refusals_total{{code=\"{code}\"}} {count}\n"))
            };
            if of("invalid_head", 5) && of("head_too_large", 1) {
                return;
            }
        }
    };
    timeout(PATIENCE, counted).await.expect("each is counted by what it is");
}
