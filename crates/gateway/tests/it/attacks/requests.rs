//! Requests over HTTP.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::watch::Watch;
use crate::token::{bearer, token, token_with};

/// Its name; method, path, headers and body; the status that it gets.
type Attempt<'a> = (&'a str, &'a str, String, Vec<(&'a str, &'a str)>, &'a str, u16);

/// The status of what comes back for bytes that are sent as they are; 0 if nothing does.
async fn status_of(watch: &Watch, bytes: &[u8]) -> u16 {
    let mut stream = tokio::net::TcpStream::connect(watch.server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

pub(crate) async fn run(watch: &mut Watch) {
    let eve = bearer(&token_with("eve", json!({"scope": "admin produce"})));
    watch.secret(eve.trim_start_matches("Bearer "));
    let json = ("content-type", "application/json");
    let with = |more: &'static [(&'static str, &'static str)]| more.to_vec();
    let deep = "[".repeat(10_000);
    let wide = format!("{{\"input\":{{}},\"executionId\":\"{}\"}}", "x".repeat(1 << 20));
    let cases: Vec<Attempt<'_>> = vec![
        ("another's run", "GET", "/executions/run-of-ada".into(), with(&[]), "", 404),
        ("another's events", "GET", "/executions/run-of-ada/events".into(), with(&[]), "", 404),
        (
            "another's events from a position",
            "GET",
            "/executions/run-of-ada/events?from=0000000000000000_0000000000000000".into(),
            with(&[]),
            "",
            404,
        ),
        ("stopping another's run", "POST", "/executions/run-of-ada/cancel".into(), with(&[]), "{}", 404),
        (
            "answering for another",
            "POST",
            "/executions/run-of-ada/signals".into(),
            with(&[]),
            r#"{"ask":"ask1","answer":{"publish":true}}"#,
            404,
        ),
        ("forgetting another's run", "DELETE", "/executions/run-of-ada".into(), with(&[]), "", 404),
        (
            "producing into another's run",
            "POST",
            "/v1/stream/executions/run-of-ada".into(),
            with(&[]),
            r#"{"type":"token"}"#,
            404,
        ),
        ("another's run as a stream", "GET", "/v1/stream/executions/run-of-ada".into(), with(&[]), "", 404),
        (
            "the key of another tenant in a path",
            "GET",
            "/v1/stream/executions/~ada/run-of-ada".into(),
            with(&[]),
            "",
            400,
        ),
        ("the same, escaped", "GET", "/v1/stream/executions/~ada%2Frun-of-ada".into(), with(&[]), "", 400),
        (
            "the key of another tenant in an id",
            "GET",
            "/executions/~ada%2Frun-of-ada".into(),
            with(&[]),
            "",
            400,
        ),
        ("out of a stream's folder", "GET", "/v1/stream/../executions/run-of-ada".into(), with(&[]), "", 400),
        (
            "the same, escaped twice",
            "GET",
            "/v1/stream/%2e%2e/executions/run-of-ada".into(),
            with(&[]),
            "",
            400,
        ),
        ("what the protocol keeps for itself", "GET", "/v1/stream/__ds/keys".into(), with(&[]), "", 501),
        ("an empty segment", "GET", "/v1/stream//executions/run-of-ada".into(), with(&[]), "", 400),
        ("an id with a line break", "GET", "/executions/a%0d%0aset-cookie:x".into(), with(&[]), "", 400),
        ("an id with NUL", "GET", "/executions/a%00b".into(), with(&[]), "", 400),
        ("a line for the log in an id", "GET", "/executions/a%0aINFO%20forged".into(), with(&[]), "", 400),
        (
            "a line for the log in a workflow's name",
            "POST",
            "/workflows/held%0aINFO%20forged/executions".into(),
            with(&[]),
            r#"{"input":{}}"#,
            404,
        ),
        ("a line for the log in no path", "GET", "/nowhere%0aINFO%20forged".into(), with(&[]), "", 404),
        ("an id that is no UTF-8", "GET", "/executions/%ff%fe".into(), with(&[]), "", 404),
        ("an id of dots", "GET", "/executions/%2e%2e".into(), with(&[]), "", 400),
        ("an id without end", "GET", format!("/executions/{}", "x".repeat(4_000)), with(&[]), "", 400),
        ("out of the page's folder", "GET", "/console/../../../etc/passwd".into(), with(&[]), "", 404),
        ("the same, escaped", "GET", "/console/%2e%2e%2f%2e%2e%2fetc%2fpasswd".into(), with(&[]), "", 404),
        (
            "a position that is none",
            "GET",
            "/executions/x/events?from=%27%20OR%201=1".into(),
            with(&[]),
            "",
            400,
        ),
        ("JSON without end", "POST", "/workflows/held/executions".into(), with(&[]), &deep, 400),
        ("a body over the limit", "POST", "/workflows/held/executions".into(), with(&[]), &wide, 413),
        (
            "an id with a line break in JSON",
            "POST",
            "/workflows/held/executions".into(),
            with(&[]),
            r#"{"input":{},"executionId":"a\nb"}"#,
            400,
        ),
        (
            "an id with a slash in JSON",
            "POST",
            "/workflows/held/executions".into(),
            with(&[]),
            r#"{"input":{},"executionId":"~ada/run-of-ada"}"#,
            400,
        ),
        (
            "a field too many",
            "POST",
            "/workflows/held/executions".into(),
            with(&[]),
            r#"{"input":{},"tenant":"ada"}"#,
            400,
        ),
        (
            "a page of another origin",
            "GET",
            "/executions".into(),
            with(&[("origin", "https://evil.example")]),
            "",
            403,
        ),
        ("a page of no origin", "GET", "/executions".into(), with(&[("origin", "null")]), "", 403),
        (
            "a page embedded elsewhere",
            "GET",
            "/executions".into(),
            with(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]),
            "",
            403,
        ),
        (
            "a name that was pointed here",
            "GET",
            "/executions".into(),
            with(&[("host", "evil.example")]),
            "",
            403,
        ),
        (
            "a form's content type",
            "POST",
            "/executions/x/cancel".into(),
            with(&[("content-type", "text/plain")]),
            "{}",
            415,
        ),
        ("a method that nobody knows", "BREW", "/executions".into(), with(&[]), "", 405),
        (
            "a token in the address",
            "GET",
            format!("/executions?access_token={}", token("ada")),
            with(&[]),
            "",
            400,
        ),
        ("a ticket that nobody gave", "GET", "/executions?ticket=0000".into(), with(&[]), "", 400),
        ("a ticket where nobody looks for one", "GET", "/healthz?ticket=0000".into(), with(&[]), "", 200),
    ];
    for (name, method, path, more, body, expected) in cases {
        let mut headers = vec![("authorization", &*eve)];
        if !more.iter().any(|(name, _)| *name == "content-type") {
            headers.push(json);
        }
        headers.extend(more);
        let answer = watch.server.ask(method, &path, &headers, body).await;
        watch.took(name, expected, answer.status).await;
    }
    let end = "connection: close\r\n\r\n";
    // What looks like one of the server's own names to one reader and is none to another.
    let hosts = [
        ("[::1]&:80", 400),
        ("[::1]x", 400),
        ("[::1].evil.example:80", 400),
        ("localhost:+80", 400),
        ("localhost:65536", 400),
        ("localhost:80.evil.example", 400),
        ("evil.example@localhost", 400),
        ("localhost@evil.example", 400),
        ("localhost&", 403),
        ("127.0.0.1&:80", 403),
        ("127.0.0.1.evil.example:80", 403),
    ];
    for (host, expected) in hosts {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n{end}");
        let status = status_of(watch, request.as_bytes()).await;
        watch.took(format!("the host {host}"), expected, status).await;
    }
    let raw: [(&str, String, u16); 6] = [
        (
            "two lengths",
            "POST /executions/x/cancel HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"
                .into(),
            400,
        ),
        (
            "headers without end",
            format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "a: b\r\n".repeat(2_000)),
            431,
        ),
        ("no host", format!("GET /executions HTTP/1.1\r\n{end}"), 400),
        (
            "two hosts",
            format!("GET /executions HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n{end}"),
            400,
        ),
        (
            "two tokens",
            format!(
                "GET /executions HTTP/1.1\r\nhost: localhost\r\nauthorization: {eve}\r\nauthorization: {eve}\r\n{end}"
            ),
            400,
        ),
        ("no HTTP at all", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".into(), 400),
    ];
    for (name, bytes, expected) in raw {
        let status = status_of(watch, bytes.as_bytes()).await;
        watch.took(name, expected, status).await;
    }
}
