//! Bounds that are about time and sizes of HTTP.

use std::time::{Duration, Instant};

use streamnest_gateway::{Gateway, GatewayOptions};
use streamnest_log::LogOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    engine::Engine,
    server::{Answer, Server, registry},
};

#[tokio::test]
async fn who_does_not_end_its_request_is_let_go() {
    let options = GatewayOptions::default().with_request_timeout(Duration::from_millis(200));
    let server = Server::with_options(options).await;
    let since = Instant::now();
    // A head that never ends, and a body that never comes.
    let mut head = TcpStream::connect(server.address).await.unwrap();
    head.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    let mut body = TcpStream::connect(server.address).await.unwrap();
    let request = "POST /workflows/echo/executions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                   content-type: application/json\r\ncontent-length: 10\r\n\r\n";
    body.write_all(request.as_bytes()).await.unwrap();
    let (mut of_head, mut of_body) = (Vec::new(), Vec::new());
    let (read_head, read_body) = tokio::join!(head.read_to_end(&mut of_head), body.read_to_end(&mut of_body));
    assert!(read_head.is_ok() && read_body.is_ok());
    let message = Answer::parse(&of_body).error(408, "request_timeout");
    assert!(message.contains("request_timeout"), "{message}");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_gateway_with_a_bad_option_is_not_made() {
    let logs = registry(LogOptions::default());
    let engine = std::sync::Arc::new(Engine::new(logs.clone()));
    let error = Gateway::new(engine, logs, GatewayOptions::default().with_max_message_bytes(0)).unwrap_err();
    assert_eq!(error.code(), "invalid_option");
    assert!(error.to_string().contains("`max_message_bytes`"));
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(br#"{"status":"ok"}"#) {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        }
    }
}
