//! Heads of requests over HTTP/1 that do not come to their end in time.

use std::time::Duration;

use streamnest_gateway::GatewayOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    server::{Answer, PATIENCE, Server},
    tls::{FIRST, connect, files},
};

const LIMIT: Duration = Duration::from_secs(1);
const WHOLE: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const HALF: &str = "GET /healthz HTTP/1.1\r\nhost: local";
const WELL: &str = r#"{"status":"ok"}"#;

fn options() -> GatewayOptions {
    GatewayOptions::default().with_request_timeout(LIMIT)
}

/// How many were refused for it.
async fn counted(server: &Server) -> Option<u64> {
    let metrics = server.metrics().await;
    let name = "streamnest_refusals_total{code=\"request_timeout\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())
}

/// Says so much, and gives all that is answered until the connection ends.
async fn answered(mut stream: impl AsyncRead + AsyncWrite + Unpin, said: &str) -> String {
    stream.write_all(said.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("it is let go").unwrap();
    answer
}

#[track_caller]
fn is_told(answer: &str) {
    let answer = Answer::parse(answer.as_bytes());
    let message = answer.error(408, "request_timeout");
    assert_eq!(
        message,
        "head of a request took longer than 1s, the limit of `GatewayOptions::request_timeout`"
    );
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn half_a_head_is_answered_and_counted_the_first_like_those_that_follow() {
    let server = Server::with_options(options()).await;
    let open = || async { TcpStream::connect(server.address).await.unwrap() };
    is_told(&answered(open().await, HALF).await);
    assert_eq!(counted(&server).await, Some(1));
    // After another request, in one piece with it, and after one with a body.
    let post = "POST /workflows/nil/executions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 2\r\n\r\n{}";
    for (count, (before, end)) in [(WHOLE, WELL), (post, "}}")].into_iter().enumerate() {
        let answer = answered(open().await, &format!("{before}{HALF}")).await;
        let end_of_first = answer.find(end).expect("the first is answered") + end.len();
        is_told(&answer[end_of_first..]);
        assert_eq!(counted(&server).await, Some(2 + count as u64));
    }
    let mut later = open().await;
    later.write_all(WHOLE.as_bytes()).await.unwrap();
    let mut first = Vec::new();
    while !first.ends_with(WELL.as_bytes()) {
        assert!(later.read_buf(&mut first).await.unwrap() > 0);
    }
    is_told(&answered(later, HALF).await);
    assert_eq!(counted(&server).await, Some(4));
}

#[tokio::test]
async fn who_has_nothing_to_ask_any_more_is_let_go_without_a_word() {
    let server = Server::with_options(options()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    // Line ends may follow a request, and begin none.
    let answer = answered(stream, &format!("{WHOLE}\r\n\r\n")).await;
    assert_eq!(Answer::parse(answer.as_bytes()).body, WELL, "{answer}");
    assert_eq!(counted(&server).await, None);
    // Who never asked anything has not deserved an answer, and is counted.
    assert_eq!(answered(TcpStream::connect(server.address).await.unwrap(), "").await, "");
    assert_eq!(counted(&server).await, Some(1));
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_has_no_longer() {
    let server = Server::with_options(options()).await;
    let (mut reading, mut writing) = TcpStream::connect(server.address).await.unwrap().into_split();
    let dripping = async {
        writing.write_all(HALF.as_bytes()).await.unwrap();
        loop {
            tokio::time::sleep(LIMIT / 10).await;
            if writing.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = dripping => {}
        // What comes after the answer is not taken any more.
        _ = timeout(PATIENCE, reading.read_to_end(&mut answer)) => {}
    }
    is_told(std::str::from_utf8(&answer).unwrap());
}

#[tokio::test]
async fn it_is_answered_through_tls_too() {
    let (_folder, tls) = files(FIRST);
    let server = Server::with_options(options().with_tls(Some(tls))).await;
    let stream = connect(&server, FIRST.0, "http/1.1").await.unwrap();
    is_told(&answered(stream, HALF).await);
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_is_whole_before_half_a_head_after_it_is_answered() {
    let server = Server::with_options(options().with_send_buffer_bytes(Some(4 << 10))).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    // A page of more than the systems of both hold.
    let page = format!("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n{HALF}");
    stream.write_all(page.as_bytes()).await.unwrap();
    tokio::time::sleep(3 * LIMIT).await;
    assert_eq!(counted(&server).await, None, "its time has not begun");
    let answer = answered(stream, "").await;
    let (page, told) = answer.split_once("</html>").expect("the page is whole");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    is_told(told.trim_start());
}
