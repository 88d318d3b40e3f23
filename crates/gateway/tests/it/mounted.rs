//! The router inside another program.

use std::sync::Arc;

use axum::{Router, routing::get};
use serde_json::json;
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::{Gateway, GatewayOptions};
use streamnest_log::LogOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    engine::{Engine, id, say},
    server::{Answer, PATIENCE, registry},
    socket::{Socket, sequences},
};

#[tokio::test]
async fn a_gateway_mounted_into_an_axum_program_serves_websockets_there() {
    let logs = registry(LogOptions::default());
    let engine = Arc::new(Engine::new(logs.clone()));
    let gateway = Gateway::new(engine, logs.clone(), GatewayOptions::default()).unwrap();
    let program = Router::new().route("/mine", get(|| async { "mine" })).nest("/runs", gateway.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, program).await });

    let writer = logs.create(&id("a")).await.unwrap();
    say(&writer, 0, 5_000).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let request = format!("ws://{address}/runs/ws");
    let (stream, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let mut socket = Socket { stream };
    socket.expect("connected").await;
    socket.subscribe(json!({"executionId": "a"})).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    assert_eq!(sequences(&socket.until_end().await), (1..=5_001).collect::<Vec<_>>());

    let mut asking = TcpStream::connect(address).await.unwrap();
    let body = r#"{"input":{},"executionId":"b"}"#;
    let request = format!(
        "POST /runs/workflows/echo/executions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    asking.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    asking.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::parse(&answer).json()["links"]["events"], "/runs/executions/b/events");

    let (closed, ()) = tokio::join!(socket.until_close(), gateway.shut_down());
    assert_eq!(closed.0, Some(1001));
    serving.abort();
    assert!(tokio::time::timeout(PATIENCE, serving).await.is_ok());
}
