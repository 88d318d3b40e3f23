//! Connections that are held for as long as they can be, against a server that waits for short.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use streamnest_gateway::GatewayOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use super::{sockets::narrow, watch::Watch};
use crate::{
    engine::{id, token as entry},
    rubbish::{masked, raw},
    server::{PATIENCE, Server},
    token::{authentication, bearer, options, token},
};

/// The longest that the server waits for anything here.
const SHORT: Duration = Duration::from_secs(1);

fn impatient() -> GatewayOptions {
    options()
        .with_authentication(Some(authentication().with_deadline(SHORT)))
        .with_request_timeout(SHORT)
        .with_slow_reader_limit(SHORT)
        .with_heartbeat_interval(SHORT)
        .with_pong_timeout(SHORT)
        .with_close_timeout(SHORT)
}

/// Whether the server lets go of a connection by itself.
async fn let_go(mut stream: TcpStream) -> bool {
    timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.is_ok()
}

pub(crate) async fn run(watch: &mut Watch) {
    let server = Server::with_options(impatient()).await;
    // Slowloris: a byte now and then, so that each of them is no silence.
    let authorization = bearer(&token("eve"));
    for (name, head) in [
        ("a head that drips", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ".to_owned()),
        (
            "a body that drips",
            format!(
                "POST /workflows/echo/executions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 authorization: {authorization}\r\ncontent-length: 10000\r\n\r\n"
            ),
        ),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let dripping = async {
            while stream.write_all(b"x").await.is_ok() {
                sleep(SHORT / 10).await
            }
        };
        let ended = timeout(PATIENCE, dripping).await.is_ok();
        watch.took(name, true, ended).await;
    }
    let silent = TcpStream::connect(server.address).await.unwrap();
    watch.took("a connection that says nothing", true, let_go(silent).await).await;

    let code = raw(&server).await;
    watch.took("a socket that never says who it is", true, let_go(code).await).await;
    let mut stream = raw(&server).await;
    let frame = masked(0x81, br#"{"type":"ping"}"#);
    let dripping = async {
        for byte in frame.iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(SHORT / 10).await;
        }
    };
    let ended = timeout(PATIENCE, dripping).await.is_ok();
    watch.took("a socket that drips, and never says who it is", true, ended).await;

    let mut stream = raw(&server).await;
    let authentication = json!({"type": "authentication", "payload": {"token": token("eve")}}).to_string();
    stream.write_all(&masked(0x81, authentication.as_bytes())).await.unwrap();
    let mut came = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut came)).await.is_ok();
    let told = came.windows(2).any(|bytes| bytes == 4440_u16.to_be_bytes());
    watch.took("a socket that answers no ping", true, ended && told).await;

    // More than a socket holds, for one who reads nothing of it.
    let json = [("authorization", bearer(&token("eve"))), ("content-type", "application/json".into())];
    let json: Vec<_> = json.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let start = json!({"input": {}, "executionId": "long"}).to_string();
    assert_eq!(server.ask("POST", "/workflows/held/executions", &json, &start).await.status, 202);
    let own = id("long").within(&streamnest_core::Tenant::of_subject("eve").unwrap());
    let writer = server.logs.writer(&own).unwrap();
    let filler = "x".repeat(4_000);
    for _ in 0..500 {
        writer.append([entry("generate", &filler)]).await.unwrap();
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let head = format!(
        "GET /executions/long/events HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\r\n",
        bearer(&token("eve"))
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let left = timeout(PATIENCE, writer.log().subscribers_become(|count| count == 0));
    // It has to have begun before it can be over.
    timeout(PATIENCE, writer.log().subscribers_become(|count| count == 1)).await.unwrap();
    watch.took("an event stream that nobody reads", true, left.await.is_ok()).await;
    drop(stream);
    let mut socket = narrow(&server, &bearer(&token("eve"))).await;
    let subscribe = json!({"type": "subscribe_execution", "payload": {"executionId": "long"}});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    timeout(PATIENCE, writer.log().subscribers_become(|count| count == 1)).await.unwrap();
    let left = timeout(PATIENCE, writer.log().subscribers_become(|count| count == 0)).await;
    watch.took("a socket that nobody reads", true, left.is_ok()).await;
    drop(socket);
    server.stopped().await;
}
