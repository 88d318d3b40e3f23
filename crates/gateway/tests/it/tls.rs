//! TLS, certificates that change, and HTTP/2. The certificates beside it were made for these tests and vouch for nothing.

use std::{fs, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::{GatewayOptions, TlsOptions};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};
use tokio_util::task::AbortOnDropHandle;

use crate::{engine::say, server::Server};

pub(crate) const FIRST: (&str, &str) = (include_str!("keys/tls.crt.pem"), include_str!("keys/tls.pem"));
const NEXT: (&str, &str) = (include_str!("keys/tls-next.crt.pem"), include_str!("keys/tls-next.pem"));

/// A folder with a certificate and its key.
pub(crate) fn files(pair: (&str, &str)) -> (TempDir, TlsOptions) {
    let folder = tempfile::tempdir().unwrap();
    let options = TlsOptions::new(folder.path().join("crt.pem"), folder.path().join("key.pem"));
    write(&options, pair);
    (folder, options)
}

fn write(options: &TlsOptions, (certificate, key): (&str, &str)) {
    fs::write(&options.key_file, key).unwrap();
    fs::write(&options.certificate_file, certificate).unwrap();
}

/// Connects, if the server shows this certificate.
pub(crate) async fn connect(
    server: &Server,
    certificate: &str,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn server(options: TlsOptions) -> Server {
    Server::with_options(GatewayOptions::default().with_tls(Some(options))).await
}

#[tokio::test]
async fn a_socket_is_encrypted_from_end_to_end() {
    let (_folder, options) = files(FIRST);
    let server = server(options).await;
    let writer = server.held("a").await;
    let request = format!("wss://localhost:{}/ws", server.address.port()).into_client_request().unwrap();
    let stream = connect(&server, FIRST.0, "http/1.1").await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let subscribe = json!({"type": "subscribe_execution", "payload": {"executionId": "a"}});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    say(&writer, 0, 200).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let mut sequences = Vec::new();
    while sequences.last() != Some(&202) {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            let frame: Value = serde_json::from_str(&text).unwrap();
            sequences.extend(frame["sequence"].as_u64());
        }
    }
    assert_eq!(sequences, (1..=202).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_speaks_without_encryption_gets_nothing() {
    let (_folder, options) = files(FIRST);
    let server = server(options.clone()).await;
    let mut stream = server.send("GET", "/healthz", &[], "").await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    // Nor does who says nothing keep its place.
    let short =
        GatewayOptions::default().with_tls(Some(options)).with_request_timeout(Duration::from_millis(200));
    let server = Server::with_options(short).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_certificate_that_changes_is_shown_and_a_broken_one_is_not() {
    let (_folder, options) = files(FIRST);
    let options = options.with_reload(Duration::from_millis(1));
    let server = server(options.clone()).await;
    let writer = server.held("a").await;
    let request = format!("wss://localhost:{}/ws", server.address.port()).into_client_request().unwrap();
    let stream = connect(&server, FIRST.0, "http/1.1").await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let subscribe =
        json!({"type": "subscribe_execution", "payload": {"executionId": "a", "events": ["token"]}});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    // A key that does not belong to it, then half a file: the one before goes on.
    fs::write(&options.key_file, NEXT.1).unwrap();
    connect(&server, FIRST.0, "http/1.1").await.unwrap();
    fs::write(&options.certificate_file, &NEXT.0[..100]).unwrap();
    connect(&server, FIRST.0, "http/1.1").await.unwrap();
    write(&options, NEXT);
    tokio::time::timeout(Duration::from_secs(10), async {
        while connect(&server, NEXT.0, "http/1.1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the new certificate is shown");
    assert!(connect(&server, FIRST.0, "http/1.1").await.is_err(), "the old one is not any more");
    // Who was there before goes on by the certificate that it knows.
    say(&writer, 0, 10).await;
    let mut heard = Vec::new();
    while heard.len() < 10 {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            let frame: Value = serde_json::from_str(&text).unwrap();
            heard.extend(frame["payload"]["content"].as_str().map(String::from));
        }
    }
    assert_eq!(heard, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn many_event_streams_share_one_connection_of_http_2() {
    let (_folder, options) = files(FIRST);
    let server = server(options).await;
    let mut writers = Vec::new();
    for n in 0..20 {
        writers.push(server.held(&format!("run-{n}")).await);
    }
    let stream = connect(&server, FIRST.0, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut bodies = Vec::new();
    for n in 0..20 {
        let uri = format!("https://localhost:{}/executions/run-{n}/events", server.address.port());
        let request = Request::get(uri).body(Empty::<hyper::body::Bytes>::new()).unwrap();
        let response = sender.clone().send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        bodies.push(response.into_body());
    }
    for writer in &writers {
        say(writer, 0, 50).await;
        writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    }
    for body in bodies {
        let text = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert_eq!(text.matches("\ndata: ").count(), 52, "{text}");
    }
    assert_eq!(server.gateway.sockets().connections(), 0);
    driving.abort();
}

#[tokio::test]
async fn a_certificate_that_is_none_is_refused_by_name() {
    let (_folder, options) = files((NEXT.0, FIRST.1));
    let logs = crate::server::registry(streamnest_log::LogOptions::default());
    let made = |options: TlsOptions| {
        let engine = Arc::new(crate::engine::Engine::new(logs.clone()));
        let options = GatewayOptions::default().with_tls(Some(options));
        streamnest_gateway::Gateway::new(engine, logs.clone(), options).unwrap_err().to_string()
    };
    assert!(made(options.clone()).contains("`tls` has a certificate and a key that do not belong together"));
    fs::write(&options.certificate_file, "").unwrap();
    assert!(made(options.clone()).contains("holds no certificate"));
    fs::remove_file(&options.certificate_file).unwrap();
    assert!(made(options).contains("cannot be read"));
}

#[tokio::test]
async fn an_address_of_one_connection_has_one_event_stream_over_http_2() {
    let (_folder, options) = files(FIRST);
    let options = GatewayOptions::default().with_tls(Some(options)).with_max_connections_per_address(Some(1));
    let server = Server::with_options(options).await;
    let _writer = server.held("a").await;
    let stream = connect(&server, FIRST.0, "h2").await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(connection);
    let follow = async || {
        let uri = format!("https://localhost:{}/executions/a/events", server.address.port());
        let request = Request::get(uri).body(Empty::<hyper::body::Bytes>::new()).unwrap();
        sender.clone().send_request(request).await.unwrap()
    };
    let first = follow().await;
    assert_eq!((first.status(), follow().await.status()), (StatusCode::OK, StatusCode::TOO_MANY_REQUESTS));
    drop(first);
    tokio::time::timeout(Duration::from_secs(10), async {
        while follow().await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("its place is free again");
    driving.abort();
}

#[tokio::test]
async fn event_streams_of_one_connection_of_http_2_count_one_by_one_for_its_address() {
    let (_folder, options) = files(FIRST);
    let options = GatewayOptions::default().with_tls(Some(options)).with_max_connections_per_address(Some(3));
    let server = Server::with_options(options).await;
    let _writer = server.held("a").await;
    let stream = connect(&server, FIRST.0, "h2").await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(connection);
    let follow = async || {
        let uri = format!("https://localhost:{}/executions/a/events", server.address.port());
        let request = Request::get(uri).body(Empty::<hyper::body::Bytes>::new()).unwrap();
        sender.clone().send_request(request).await.unwrap()
    };
    // The first one counts with its connection, each further one for itself.
    let (first, second, third) = (follow().await, follow().await, follow().await);
    assert_eq!([first.status(), second.status(), third.status()], [200, 200, 200]);
    let refused = follow().await;
    assert_eq!(refused.status(), 429);
    let said = refused.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&said).contains("max_connections_per_address"), "{said:?}");
    // A stream that ends makes room.
    drop(first);
    tokio::time::timeout(Duration::from_secs(10), async {
        while follow().await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("there is room again");
    driving.abort();
}

#[tokio::test]
async fn browsers_are_told_to_come_encrypted_only_to_names_that_are_not_this_machines() {
    let year = "max-age=31536000";
    for (age, name, expected) in [
        (None, "streams.example.org", Some(year)),
        (None, "localhost", None),
        (None, "127.0.0.1", None),
        (None, "[::1]", None),
        (Some(300), "streams.example.org", Some("max-age=300")),
        (Some(0), "streams.example.org", None),
    ] {
        let (_folder, options) = files(FIRST);
        let mut options = GatewayOptions::default()
            .with_tls(Some(options))
            .with_allowed_hosts(vec!["streams.example.org".into()]);
        if let Some(age) = age {
            options = options.with_hsts_max_age(Duration::from_secs(age));
        }
        let server = Server::with_options(options).await;
        for protocol in ["http/1.1", "h2"] {
            let stream = connect(&server, FIRST.0, protocol).await.unwrap();
            let response = match protocol {
                "h2" => {
                    let (mut sender, connection) =
                        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
                    let _driving = AbortOnDropHandle::new(tokio::spawn(connection));
                    let uri = format!("https://{name}/healthz");
                    let request = Request::get(uri).body(Empty::<hyper::body::Bytes>::new()).unwrap();
                    sender.send_request(request).await.unwrap()
                }
                _ => {
                    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                    let _driving = AbortOnDropHandle::new(tokio::spawn(connection));
                    let request = Request::get("/healthz").header("host", name);
                    let request = request.body(Empty::<hyper::body::Bytes>::new()).unwrap();
                    sender.send_request(request).await.unwrap()
                }
            };
            assert_eq!(response.status(), 200);
            let told =
                response.headers().get("strict-transport-security").map(|value| value.to_str().unwrap());
            assert_eq!(told, expected, "{name} {age:?} {protocol}");
        }
    }
}
