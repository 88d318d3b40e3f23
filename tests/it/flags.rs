//! What the standard flags of a program do.

use std::net::SocketAddr;

use clap::Parser as _;
use serde_json::json;
use streamnest::{App, Error, ServerFlags, Streamnest};
use streamnest_client::{Client, ClientOptions, RootCertificates};
use streamnest_tests::{http, program::Program, workflows::Steps};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Its workflow is that of [`app`].
const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");

pub(crate) fn flags(arguments: &[&str]) -> Result<ServerFlags, clap::Error> {
    ServerFlags::try_parse_from(["program", "--log", "error", "--memory"].iter().chain(arguments))
}

pub(crate) async fn app() -> App {
    Streamnest::builder().workflow(Steps::default()).build().await.unwrap()
}

/// A program that serves by these flags on a free port, which it says itself, until it is dropped.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    // Ends before its directory does.
    _program: Program,
    _directory: TempDir,
}

impl Serving {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = Program::start_with(SERVER, directory.path(), arguments).await;
        Self { address: program.address, _program: program, _directory: directory }
    }

    /// How the server answers a page's request to start a run.
    async fn started(&self, headers: &[(&str, &str)]) -> u16 {
        let body = json!({"input": {"tokens": 1}});
        let path = "/workflows/steps/executions";
        http::json(self.address, "POST", path, headers, Some(&body)).await.0.as_u16()
    }
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused_unless_the_flag_accepts_it() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = flags(&["--listen", listen]).unwrap().serve(&app().await).await.unwrap_err();
        assert!(matches!(&error, Error::NotLoopback { address } if address.to_string() == listen), "{error}");
        assert_eq!(error.code(), "not_loopback");
        assert!(error.to_string().contains("--insecure-no-auth"), "{error}");
    }
    // With the flag the refusal is gone; that nothing can listen on another machine's address is told instead.
    let flags = flags(&["--listen", "192.0.2.1:0", "--insecure-no-auth"]).unwrap();
    let error = flags.serve(&app().await).await.unwrap_err();
    assert_eq!(error.code(), "listen");
}

#[tokio::test]
async fn a_page_is_let_in_by_its_origin() {
    let page = [("origin", "https://app.example.org")];
    let other = [("origin", "https://other.example.org")];
    let closed = Serving::start(&[]).await;
    assert_eq!(closed.started(&page).await, 403);
    let open = Serving::start(&["--allow-origin", "https://app.example.org"]).await;
    assert_eq!(open.started(&page).await, 202);
    assert_eq!(open.started(&other).await, 403);
}

#[tokio::test]
async fn a_name_is_let_in_by_the_flag() {
    let answer = async |server: &Serving| {
        let address = server.address;
        let stream = tokio_tungstenite::client_async(
            "ws://runs.example.org/ws",
            TcpStream::connect(address).await.unwrap(),
        );
        match stream.await {
            Ok(_) => 101,
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(answer(&Serving::start(&[]).await).await, 403);
    assert_eq!(answer(&Serving::start(&["--allow-host", "runs.example.org"]).await).await, 101);
}

#[tokio::test]
async fn what_can_match_nothing_is_refused_by_its_flag() {
    for (flag, value, reason) in [
        ("--allow-host", "*.example.org", "has \"*.example.org\", but takes no patterns; name each host"),
        (
            "--allow-origin",
            "https://*.example.org",
            "has \"https://*.example.org\", but takes no patterns; name each origin",
        ),
    ] {
        let error = flags(&[flag, value]).unwrap().serve(&app().await).await.unwrap_err();
        assert_eq!(error.code(), "invalid_option");
        assert_eq!(error.to_string(), format!("option `{flag}` {reason}"));
    }
    let server = Serving::start(&["--allow-origin", "https://app.example.org:443"]).await;
    assert_eq!(server.started(&[("origin", "https://app.example.org")]).await, 202);
}

#[test]
fn a_wrong_log_filter_is_refused_and_named() {
    let error = ServerFlags::try_parse_from(["program", "--log", "streamnest=loud"]).unwrap_err();
    assert_eq!(error.kind(), clap::error::ErrorKind::ValueValidation);
    let text = error.to_string();
    assert!(text.contains("'streamnest=loud' for '--log <FILTER>'"), "{text}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_its_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let listen = address.to_string();
    let error = flags(&["--listen", &listen]).unwrap().serve(&app().await).await.unwrap_err();
    assert!(matches!(&error, Error::Listen { address: told, .. } if *told == address), "{error}");
    let text = format!("{error:?}");
    assert!(
        text.starts_with(&format!("cannot listen on {listen}; choose another by `--listen`: ")),
        "{text}"
    );
    assert!(text.contains("in use"), "{text}");
}

/// A certificate, and the key of it or of another, that were made for the gateway's tests.
fn pem(name: &str) -> String {
    format!("{}/../crates/gateway/tests/it/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn connections_are_encrypted_by_the_flags() {
    let server = Serving::start(&["--tls-cert", &pem("tls.crt"), "--tls-key", &pem("tls")]).await;
    // Who trusts the certificate is served by TLS, and who does not speak it is told nothing.
    let roots = RootCertificates::File(pem("tls.crt").into());
    let trusting = ClientOptions::default().with_root_certificates(roots);
    let url = format!("https://localhost:{}", server.address.port());
    let client = Client::new(&url).unwrap().with_options(trusting);
    let started = client.start("steps", json!({"tokens": 1})).await.unwrap();
    assert!(!started.attached);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    // The one goes only with the other, and only if they belong together.
    let error = flags(&["--tls-cert", &pem("tls.crt")]).unwrap_err().to_string();
    assert!(error.contains("--tls-key"), "{error}");
    let other = flags(&["--tls-cert", &pem("tls.crt"), "--tls-key", &pem("tls-next")]).unwrap();
    let error = other.serve(&app().await).await.unwrap_err();
    assert_eq!(error.code(), "invalid_option");
    assert!(error.to_string().contains("option `--tls-cert` has a certificate and a key"), "{error}");
}
