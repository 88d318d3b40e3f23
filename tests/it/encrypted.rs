//! The client and a server that encrypts, whose certificate a private authority vouches for.

use std::{fs, time::Duration};

use serde_json::json;
use streamnest_client::{Client, ClientOptions, Error, Item, RootCertificates};
use streamnest_tests::program::Program;

use crate::flags::Serving;

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");

fn pem(name: &str) -> String {
    format!("{}/../crates/gateway/tests/it/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

async fn server() -> Serving {
    Serving::start(&["--tls-cert", &pem("tls-vouched.crt"), "--tls-key", &pem("tls-vouched")]).await
}

fn client(url: &str, roots: RootCertificates) -> Client {
    Client::new(url).unwrap().with_options(ClientOptions::default().with_root_certificates(roots))
}

/// Why a start through this client fails, at once.
async fn refused(client: Client) -> Error {
    client.start("steps", json!({"tokens": 1})).await.unwrap_err()
}

#[tokio::test]
async fn a_run_is_followed_by_tls_from_whom_the_given_authority_vouches_for() {
    let server = server().await;
    let text = std::fs::read_to_string(pem("authority.crt")).unwrap();
    for (url, roots) in [
        (
            format!("https://localhost:{}", server.address.port()),
            RootCertificates::File(pem("authority.crt").into()),
        ),
        (format!("wss://{}", server.address), RootCertificates::Pem(text.into())),
    ] {
        let client = client(&url, roots);
        let started = client.start("steps", json!({"tokens": 300})).await.unwrap();
        let mut run = client.subscribe(started.execution_id).connect().await.unwrap();
        let mut sequences = Vec::new();
        while let Some(item) = tokio::time::timeout(Duration::from_secs(20), run.next()).await.unwrap() {
            match item.unwrap() {
                Item::Entry(entry) => sequences.push(entry.sequence.get()),
                other => panic!("{other:?}"),
            }
        }
        assert!(sequences.len() > 2);
        assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
        assert_eq!(run.statistics().connections, 1);
    }
}

#[tokio::test]
async fn a_program_shows_the_certificate_that_its_files_hold_now_and_who_follows_a_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let put = |certificate: &str, key: &str| {
        fs::copy(pem(key), folder.path().join("key.pem")).unwrap();
        fs::copy(pem(certificate), folder.path().join("cert.pem")).unwrap();
    };
    put("tls.crt", "tls");
    let options = r#"
        [gateway.tls]
        certificate_file = "FOLDER/cert.pem"
        key_file = "FOLDER/key.pem"
        reload = "100ms"
    "#;
    let options = options.replace("FOLDER", folder.path().to_str().unwrap());
    let file = folder.path().join("options.toml");
    fs::write(&file, options).unwrap();
    let flags = ["--config", file.to_str().unwrap()];
    let program = Program::start_with(SERVER, &folder.path().join("data"), &flags).await;
    let url = format!("https://localhost:{}", program.address.port());
    let by = |certificate: &str| client(&url, RootCertificates::File(pem(certificate).into()));
    let started = by("tls.crt").start("steps", json!({"tokens": 100, "pause_ms": 20})).await.unwrap();
    let mut run = by("tls.crt").subscribe(started.execution_id).connect().await.unwrap();
    put("tls-next.crt", "tls-next");
    tokio::time::timeout(Duration::from_secs(20), async {
        while by("tls-next.crt").start("steps", json!({"tokens": 1})).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the new certificate is shown");
    assert_eq!(refused(by("tls.crt")).await.code(), "tls_failed");
    let mut sequences = Vec::new();
    while let Some(item) = tokio::time::timeout(Duration::from_secs(20), run.next()).await.unwrap() {
        match item.unwrap() {
            Item::Entry(entry) => sequences.push(entry.sequence.get()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    assert_eq!(run.statistics().connections, 1);
    println!("entries={} connections=1 over_the_change=1", sequences.len());
}

#[tokio::test]
async fn a_server_that_nobody_trusted_vouches_for_hears_no_request() {
    let server = server().await;
    let url = format!("https://localhost:{}", server.address.port());
    for roots in [RootCertificates::File(pem("tls").into()), RootCertificates::Pem("".into())] {
        let error = refused(client(&url, roots)).await;
        assert_eq!((error.code(), error.is_retryable()), ("root_certificates", false), "{error}");
    }
    let missing = refused(client(&url, RootCertificates::File("/nowhere/ca.pem".into()))).await;
    assert!(missing.to_string().contains("/nowhere/ca.pem"), "{missing}");
    let other = RootCertificates::File(pem("tls-next.crt").into());
    let error = refused(client(&url, other)).await;
    assert!(matches!(&error, Error::Tls { address, .. } if address.starts_with("localhost:")), "{error}");
    assert_eq!((error.code(), error.is_retryable()), ("tls_failed", false));
    // Nor one that is asked by a name that its certificate has not.
    let elsewhere = format!("https://127.0.0.2:{}", server.address.port());
    let vouched = || RootCertificates::File(pem("authority.crt").into());
    let error = refused(client(&elsewhere, vouched())).await;
    assert!(matches!(error.code(), "tls_failed" | "connect_failed"), "{error}");
    // Nor one that does not encrypt, and a client that does not encrypt is not served.
    let plain = Serving::start(&[]).await;
    let error = refused(client(&format!("wss://{}", plain.address), vouched())).await;
    assert_eq!(error.code(), "tls_failed", "{error}");
    let error = refused(Client::new(&format!("ws://{}", server.address)).unwrap()).await;
    assert!(matches!(error, Error::Broken { .. }), "{error}");
}
