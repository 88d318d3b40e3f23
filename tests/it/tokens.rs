//! A program that takes tokens, by a flag or by its options, and the client that shows one.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::json;
use streamnest::{AuthOptions, Error, StreamingOptions, Streamnest};
use streamnest_client::{Client, Item};
use streamnest_tests::{http, server::Server, workflows::Steps};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::flags::{Serving, app, flags};

const SECRET: &str = "a secret for these tests, of more than 32 bytes";

/// A token of `subject` that is good for so many seconds.
fn token(subject: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let claims = json!({"sub": subject, "iat": now, "exp": now + seconds});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A folder with a secret in it, and the flags that name it.
fn secret() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, format!("{SECRET}\n")).unwrap();
    (folder, path.to_str().unwrap().into())
}

async fn status(address: std::net::SocketAddr, token: Option<&str>) -> u16 {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|value| ("authorization", &**value)).collect();
    http::json(address, "GET", "/executions", &headers, None).await.0.as_u16()
}

#[tokio::test]
async fn a_program_that_is_given_a_key_asks_who_its_clients_are() {
    let (_folder, path) = secret();
    let server = Serving::start(&["--jwt-secret-file", &path]).await;
    assert_eq!(status(server.address, None).await, 401);
    assert_eq!(status(server.address, Some("x.y.z")).await, 401);
    assert_eq!(status(server.address, Some(&token("ada", 60))).await, 200);
    // What the token does not say is refused where the program is told to look for it.
    let flags = ["--jwt-secret-file", &path, "--jwt-issuer", "https://id.example.org"];
    let strict = Serving::start(&flags).await;
    assert_eq!(status(strict.address, Some(&token("ada", 60))).await, 401);
    let short = Serving::start(&["--jwt-secret-file", &path, "--jwt-expires-in", "30s"]).await;
    assert_eq!(status(short.address, Some(&token("ada", 3600))).await, 401);
    assert_eq!(status(short.address, Some(&token("ada", 20))).await, 200);
    let other = Serving::start(&["--jwt-secret-file", &path, "--jwt-algorithm", "HS512"]).await;
    assert_eq!(status(other.address, Some(&token("ada", 60))).await, 401);
}

#[tokio::test]
async fn with_a_key_it_may_listen_everywhere() {
    let (_folder, path) = secret();
    // That nothing can listen on another machine's address is told only once it would be allowed.
    let flags = flags(&["--listen", "192.0.2.1:0", "--jwt-secret-file", &path]).unwrap();
    assert_eq!(flags.serve(&app().await).await.unwrap_err().code(), "listen");
}

#[tokio::test]
async fn keys_that_are_none_are_refused_by_name() {
    let refused = async |arguments: &[&str]| flags(arguments).unwrap().serve(&app().await).await.unwrap_err();
    let error = refused(&["--jwt-secret-file", "/nowhere/secret"]).await;
    assert!(matches!(&error, Error::KeyFile { path, .. } if path.ends_with("secret")), "{error}");
    assert_eq!(error.code(), "key_file");
    let (folder, path) = secret();
    fs::write(&path, "short").unwrap();
    let error = refused(&["--jwt-secret-file", &path]).await.to_string();
    assert!(error.contains("option `--jwt-secret-file` has a secret of 5 bytes"), "{error}");
    let error = refused(&["--jwt-public-key-file", &path]).await.to_string();
    assert!(error.contains("option `--jwt-public-key-file` has a public key that cannot be read"), "{error}");
    let set = folder.path().join("set.json");
    fs::write(&set, r#"{"keys":[]}"#).unwrap();
    let error = refused(&["--jwks-file", set.to_str().unwrap()]).await.to_string();
    assert!(
        error.contains("option `--jwks-file` has") && error.contains("holds no key for signatures"),
        "{error}"
    );
    let good = secret();
    let error =
        refused(&["--jwt-secret-file", &good.1, "--jwks-file", "/nowhere/set.json"]).await.to_string();
    assert!(error.contains("option `--jwks-file` has the key set /nowhere/set.json"), "{error}");
    let error = refused(&["--jwt-secret-file", &good.1, "--jwt-cookie", "a b"]).await.to_string();
    assert!(error.contains("option `--jwt-cookie` is \"a b\""), "{error}");
    let error = flags(&["--jwt-issuer", "https://id.example.org"]).unwrap_err().to_string();
    assert!(error.contains("not provided") && error.contains("--jwt-secret-file <FILE>|"), "{error}");
    let error = flags(&["--jwt-algorithm", "none"]).unwrap_err().to_string();
    assert!(error.contains("legal are HS256, HS384"), "{error}");
}

#[tokio::test]
async fn a_key_is_given_in_one_place() {
    let options =
        StreamingOptions::default().with_authentication(AuthOptions::default().with_secret_key(SECRET));
    let app = Streamnest::builder().workflow(Steps::default()).options(options).build().await.unwrap();
    let (_folder, path) = secret();
    let error = flags(&["--jwt-secret-file", &path]).unwrap().serve(&app).await.unwrap_err().to_string();
    assert!(error.contains("option `--jwt-secret-file` is set by the program already"), "{error}");
}

#[tokio::test]
async fn options_name_a_key_or_turn_it_off() {
    let server = |authentication: AuthOptions| async move {
        let options = StreamingOptions::default().with_authentication(authentication);
        Server::start(Streamnest::builder().workflow(Steps::default()).options(options)).await
    };
    let on = server(AuthOptions::default().with_secret_key(SECRET)).await;
    assert_eq!(status(on.address, None).await, 401);
    assert_eq!(status(on.address, Some(&token("ada", 60))).await, 200);
    let off = server(AuthOptions::default().with_enabled(false)).await;
    assert_eq!(status(off.address, None).await, 200);
}

#[tokio::test]
async fn a_client_follows_a_run_for_longer_than_its_tokens_live() {
    let options =
        StreamingOptions::default().with_authentication(AuthOptions::default().with_secret_key(SECRET));
    let server = Server::start(Streamnest::builder().workflow(Steps::default()).options(options)).await;
    let client = Client::new(&format!("http://{}", server.address)).unwrap();
    // Each is renewed at half of its life; the other half is for a machine that has much to do.
    let client = client.with_token_provider(|| async { Ok(token("ada", 9)) });
    let started = client.start("steps", json!({"tokens": 110, "pause_ms": 100})).await.unwrap();
    let mut run = client.subscribe(started.execution_id).connect().await.unwrap();
    let mut sequences = Vec::new();
    while let Some(item) = tokio::time::timeout(Duration::from_secs(60), run.next()).await.unwrap() {
        match item.unwrap() {
            Item::Entry(entry) => sequences.push(entry.sequence.get()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    let statistics = run.statistics();
    println!("entries={} connections={}", statistics.entries, statistics.connections);
    assert_eq!((statistics.connections, statistics.gaps, statistics.duplicates), (1, 0, 0));
    // A token that is never renewed ends with 4401, also for one who would come back.
    let old = Client::new(&format!("http://{}", server.address)).unwrap().with_token(token("ada", -60));
    let error = old.start("steps", json!({"tokens": 1})).await.unwrap_err();
    assert!(
        matches!(
            error,
            streamnest_client::Error::Upgrade { status: 401, .. }
                | streamnest_client::Error::Closed { code: Some(4401), .. }
        ),
        "{error}"
    );
}

/// Serves a key set on a port of its own, for as long as the test runs.
async fn key_set() -> String {
    let pem = include_bytes!("../../crates/gateway/tests/it/keys/p256.pem");
    let key = EncodingKey::from_ec_pem(pem).unwrap();
    let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    let body = json!({"keys": [jwk]}).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys.json", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn a_key_set_by_url_is_named_by_a_flag_a_file_or_an_option() {
    let url = key_set().await;
    let pem = include_bytes!("../../crates/gateway/tests/it/keys/p256.pem");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"sub": "ada", "exp": now + 60});
    let good =
        encode(&Header::new(Algorithm::ES256), &claims, &EncodingKey::from_ec_pem(pem).unwrap()).unwrap();
    let by_flag = Serving::start(&["--jwks-url", &url]).await;
    assert_eq!(status(by_flag.address, None).await, 401);
    assert_eq!(status(by_flag.address, Some(&good)).await, 200);
    assert_eq!(status(by_flag.address, Some(&token("ada", 60))).await, 401);

    let (folder, _) = secret();
    let file = folder.path().join("streamnest.toml");
    fs::write(&file, format!("[gateway.authentication]\njwks_url = {url:?}\n")).unwrap();
    let option = AuthOptions::default().with_jwks_url(&url);
    for options in
        [StreamingOptions::from_file(&file).unwrap(), StreamingOptions::default().with_authentication(option)]
    {
        let server = Server::start(Streamnest::builder().workflow(Steps::default()).options(options)).await;
        assert_eq!(status(server.address, None).await, 401);
        assert_eq!(status(server.address, Some(&good)).await, 200);
    }

    let refused = async |arguments: &[&str]| {
        flags(arguments).unwrap().serve(&app().await).await.unwrap_err().to_string()
    };
    let plain = refused(&["--jwks-url", "http://id.example.org/keys.json"]).await;
    assert!(
        plain.contains("option `--jwks-url` has the key set") && plain.contains("is not https"),
        "{plain}"
    );
    let rootless =
        refused(&["--jwks-url", "https://id.example.org/keys.json", "--jwks-ca-file", "/nowhere/ca.pem"]);
    assert!(rootless.await.contains("/nowhere/ca.pem"));
    let error = flags(&["--jwks-ca-file", "/nowhere/ca.pem"]).unwrap_err().to_string();
    assert!(error.contains("--jwks-url"), "{error}");
}
