//! A program that strangers reach, in a process of its own: what its flags and its file say about them has its effect.

mod limits;
mod tokens;

use std::{
    fs,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use http_body_util::BodyExt as _;
use hyper::header::HeaderMap;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use streamnest_tests::{http, program::Program};
use tempfile::TempDir;

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
const SECRET: &str = "a secret for these tests, of more than 32 bytes";

/// A folder for the program's data, with the secret in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), SECRET).unwrap();
    folder
}

/// A program by a file of options, in which `FOLDER` stands for the folder.
async fn program(folder: &TempDir, options: &str, flags: &[&str]) -> Program {
    let path = folder.path().join("options.toml");
    fs::write(&path, options.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    let data = folder.path().join("data");
    let flags = [&["--config", path.to_str().unwrap()], flags].concat();
    Program::start_with(SERVER, &data, &flags).await
}

/// The time, in seconds since 1970.
fn seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs().cast_signed()
}

/// A token of `subject` that is good for so many seconds, with more claims.
fn token(subject: &str, lives: i64, more: &Value) -> String {
    let mut claims = json!({"sub": subject, "iat": seconds(), "exp": seconds() + lives});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A token for an hour, as it stands in a header.
fn bearer(subject: &str) -> String {
    format!("Bearer {}", token(subject, 3600, &json!({})))
}

/// What is answered: status, headers and the code of an error.
async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> (u16, HeaderMap, String) {
    let (response, _) = http::request(address, method, path, headers, body).await;
    let (head, body) = response.into_parts();
    if head.headers.get("content-type").is_some_and(|value| value == "text/event-stream") {
        return (head.status.as_u16(), head.headers, String::new());
    }
    let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap_or_default();
    let code = body["error"]["code"].as_str().unwrap_or_default().into();
    (head.status.as_u16(), head.headers, code)
}
