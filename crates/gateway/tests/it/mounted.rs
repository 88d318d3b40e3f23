//! The router inside another program.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::get};
use serde_json::json;
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::{Gateway, GatewayOptions, RateLimitOptions, TlsOptions};
use streamnest_log::LogOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    engine::{Engine, id, say},
    server::{Answer, PATIENCE, registry},
    socket::{Socket, sequences},
    token,
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

#[tokio::test]
async fn links_lead_to_where_it_is_mounted_however_the_token_comes() {
    let logs = registry(LogOptions::default());
    let engine = Arc::new(Engine::new(logs.clone()));
    let authentication = token::authentication().with_query_parameter(true);
    let options = GatewayOptions::default().with_authentication(Some(authentication));
    let gateway = Gateway::new(engine, logs, options).unwrap();
    let program = Router::new().nest("/runs", gateway.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, program).await });
    let ada = token::token_with("ada", json!({"scope": "admin"}));
    let ask = async |method: &str, path: &str, more: &str, body: &str| {
        let mut asking = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{method} /runs{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{more}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        asking.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        asking.read_to_end(&mut answer).await.unwrap();
        Answer::parse(&answer)
    };
    let header = format!("authorization: Bearer {ada}\r\n");
    // A ticket changes nothing, so it gets no links.
    let by_query = format!("?access_token={ada}");
    let ways = [(String::new(), header.as_str()), (by_query, "")];
    for (number, (query, more)) in ways.iter().enumerate() {
        let path = format!("/workflows/held/executions{query}");
        let started = ask("POST", &path, more, r#"{"input":{}}"#).await;
        let links = &started.json()["links"];
        let id = started.json()["executionId"].as_str().unwrap().to_owned();
        assert_eq!(links["events"], format!("/runs/executions/{id}/events"), "{query}");
        let made = ask("PUT", &format!("/v1/stream/s{number}{query}"), more, "").await;
        let location = format!("http://{address}/runs/v1/stream/s{number}");
        assert_eq!((made.status, made.header("location")), (201, Some(&*location)), "{made:?}");
    }
    serving.abort();
}

/// What was logged at `warn`.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<u8>>>);

impl Warnings {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Takes down what this thread logs.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let own = self.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
        tracing::subscriber::set_default(subscriber.with_writer(move || own.clone()).finish())
    }
}

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn status(address: SocketAddr) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /runs/executions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    Answer::parse(&answer).status
}

#[tokio::test]
async fn limits_by_address_count_where_the_program_tells_addresses_and_warn_once_where_it_does_not() {
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    for (limited, tells, expected, warned) in
        [(true, true, [200, 200, 429], 0), (true, false, [200; 3], 1), (false, false, [200; 3], 0)]
    {
        warnings.0.lock().unwrap().clear();
        let logs = registry(LogOptions::default());
        let limits = RateLimitOptions::unlimited().with_max_requests_per_user(Some(2));
        let options = GatewayOptions::default().with_rate_limit(limited.then_some(limits));
        let gateway = Gateway::new(Arc::new(Engine::new(logs.clone())), logs, options).unwrap();
        let program = Router::new().nest("/runs", gateway.router());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            match tells {
                true => {
                    let served = program.into_make_service_with_connect_info::<SocketAddr>();
                    axum::serve(listener, served).await
                }
                false => axum::serve(listener, program).await,
            }
        });
        let came = [status(address).await, status(address).await, status(address).await];
        assert_eq!(came, expected, "limited: {limited}, tells: {tells}");
        let text = warnings.text();
        assert_eq!(text.matches("requests come without an address").count(), warned, "{text}");
        if warned > 0 {
            assert!(text.contains("rate_limit.max_requests_per_user"), "{text}");
            assert!(text.contains("into_make_service_with_connect_info::<SocketAddr>()"), "{text}");
        }
        serving.abort();
    }
}

/// What a server warns of when it starts to listen on `address`.
async fn warned(warnings: &Warnings, options: GatewayOptions, address: &str) -> String {
    warnings.0.lock().unwrap().clear();
    let logs = registry(LogOptions::default());
    let gateway = Gateway::new(Arc::new(Engine::new(logs.clone())), logs, options).unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    gateway.serve(listener, async {}).await.unwrap();
    warnings.text()
}

#[tokio::test]
async fn a_server_for_strangers_says_at_its_start_that_it_asks_nobody_or_that_tokens_come_in_clear() {
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    let open = GatewayOptions::default;
    let asking = crate::token::options;
    let keys = |name: &str| format!("{}/tests/it/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    let tls = TlsOptions::new(keys("tls.crt"), keys("tls"));
    for (options, address, is_open, is_clear) in [
        (open(), "0.0.0.0:0", true, false),
        (open().with_tls(Some(tls.clone())), "0.0.0.0:0", true, false),
        (open(), "[::]:0", true, false),
        (open(), "127.0.0.1:0", false, false),
        (asking(), "0.0.0.0:0", false, true),
        (asking(), "127.0.0.1:0", false, false),
        (asking().with_tls(Some(tls)), "0.0.0.0:0", false, false),
        (asking().with_trusted_proxies(vec!["10.0.0.0/8".into()]), "0.0.0.0:0", false, false),
    ] {
        if let Err(error) = TcpListener::bind(address).await {
            assert!(address.starts_with('['), "{address}: {error}");
            println!("this machine has no IPv6, so nothing listens on {address}: {error}");
            continue;
        }
        let text = warned(&warnings, options, address).await;
        assert_eq!(
            text.contains("everybody who reaches it may start, read, answer, cancel"),
            is_open,
            "{text}"
        );
        assert_eq!(text.contains("tokens cross the network in clear"), is_clear, "{text}");
    }
}

#[tokio::test]
async fn a_server_for_strangers_that_limits_nothing_says_so_at_its_start() {
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    let limits = || Some(RateLimitOptions::default());
    let open = GatewayOptions::default;
    let asking = crate::token::options;
    for (options, address, named) in [
        (asking(), "0.0.0.0:0", &["max_connections_per_address", "rate_limit"][..]),
        (asking().with_rate_limit(limits()), "0.0.0.0:0", &["max_connections_per_address"]),
        (asking().with_max_connections_per_address(Some(64)), "0.0.0.0:0", &["rate_limit"]),
        (asking().with_rate_limit(limits()).with_max_connections_per_address(Some(64)), "0.0.0.0:0", &[]),
        (asking(), "127.0.0.1:0", &[]),
        (open(), "0.0.0.0:0", &["max_connections_per_address", "rate_limit"]),
        (open(), "127.0.0.1:0", &[]),
    ] {
        let text = warned(&warnings, options, address).await;
        assert_eq!(text.contains("what one of them may take is not limited"), !named.is_empty(), "{text}");
        for name in ["max_connections_per_address", "rate_limit"] {
            assert_eq!(text.contains(name), named.contains(&name), "{name}: {text}");
        }
    }
}
