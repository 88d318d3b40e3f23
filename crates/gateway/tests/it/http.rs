//! Requests over HTTP, and who may not make them.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::GatewayOptions;
use tokio_tungstenite::tungstenite;

use crate::{
    engine::{id, say},
    server::Server,
    socket::Socket,
};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn workflows_are_listed_and_shown() {
    let server = Server::start().await;
    let list = server.get("/workflows").await;
    assert_eq!(list.status, 200);
    assert_eq!(list.header("cache-control"), Some("no-store"));
    assert_eq!(list.json()["workflows"][1]["name"], "held");
    let one = server.get("/workflows/echo").await.json();
    assert_eq!(one["inputSchema"], json!({"type": "object"}));
    assert!(one["graph"]["nodes"].is_array());
    assert!(server.get("/workflows/none").await.error(404, "unknown_workflow").contains("echo, held"));
}

#[tokio::test]
async fn an_execution_is_started_shown_cancelled_and_deleted() {
    let server = Server::start().await;
    let body = r#"{"input":{},"executionId":"t:1","onDisconnect":"cancel"}"#;
    let started = server.post("/workflows/held/executions", body).await;
    assert_eq!(started.status, 202, "{started:?}");
    let started = started.json();
    assert_eq!((&started["executionId"], &started["attached"]), (&json!("t:1"), &json!(false)));
    assert_eq!(started["links"]["events"], "/executions/t:1/events");
    assert_eq!(started["links"]["signals"], "/executions/t:1/signals");
    assert_eq!(server.post("/workflows/held/executions", body).await.json()["attached"], true);
    server
        .post("/workflows/echo/executions", r#"{"input":{},"executionId":"t:1"}"#)
        .await
        .error(409, "conflict");

    let shown = server.get("/executions/t:1").await.json();
    assert_eq!((&shown["workflow"], &shown["status"]), (&json!("held"), &json!("running")));
    assert_eq!(shown["first"], started["position"]);
    server.ask("DELETE", "/executions/t:1", &[JSON], "").await.error(409, "still_running");
    for _ in 0..2 {
        let cancelled = server.post("/executions/t:1/cancel", r#"{"reason":"enough"}"#).await;
        assert_eq!((cancelled.status, cancelled.json()), (202, json!({"executionId": "t:1"})));
    }
    assert_eq!(server.get("/executions/t:1").await.json()["status"], "cancelled");
    assert_eq!(server.ask("DELETE", "/executions/t%3A1", &[JSON], "").await.status, 202);
    server.get("/executions/t:1").await.error(404, "unknown_execution");
    server.ask("DELETE", "/executions/t:1", &[JSON], "").await.error(404, "unknown_execution");
    server.post("/executions/t:1/cancel", "").await.error(404, "unknown_execution");
}

#[tokio::test]
async fn an_answer_to_a_question_is_taken_or_refused_with_the_reason() {
    let server = Server::start().await;
    server.post("/workflows/held/executions", r#"{"input":{},"executionId":"a"}"#).await;
    let path = "/executions/a/signals";
    let taken = server.post(path, r#"{"ask":"ask1","answer":{"publish":true},"by":"Ada"}"#).await;
    assert_eq!(
        (taken.status, taken.json()),
        (200, json!({"executionId": "a", "ask": "ask1", "repeated": false}))
    );
    for (body, status, code, word) in [
        (r#"{"ask":"ask1","answer":{}}"#, 422, "invalid_answer", "`publish` is missing"),
        (r#"{"ask":"ask2","answer":{}}"#, 409, "already_answered", "ask2"),
        (r#"{"ask":"ask3","answer":{}}"#, 409, "ask_closed", "its deadline passed"),
        (r#"{"ask":"ask4","answer":{}}"#, 413, "answer_too_large", "limit"),
        (r#"{"ask":"ask5","answer":{}}"#, 503, "store_unavailable", "try again"),
        (r#"{"ask":"ask6","answer":null}"#, 404, "unknown_ask", "never asked `ask6`"),
        (r#"{"ask":"first","answer":1}"#, 400, "invalid_body", "of the form `ask1`"),
        (r#"{"ask":"ask1"}"#, 400, "invalid_body", "`answer`"),
        (r#"{"answer":1}"#, 400, "invalid_body", "`ask`"),
        (r#"{"ask":"ask1","answer":1,"who":"me"}"#, 400, "invalid_body", "`who`"),
        (
            r#"{"ask":"ask1","answer":[{"publish":true,"publish":false}]}"#,
            400,
            "invalid_body",
            "stands twice",
        ),
        ("", 400, "invalid_body", "`ask`"),
    ] {
        let message = server.post(path, body).await.error(status, code);
        assert!(message.contains(word), "{message}");
    }
    let unknown = server.post("/executions/none/signals", r#"{"ask":"ask1","answer":1}"#).await;
    unknown.error(404, "unknown_execution");
    let plain = ("content-type", "text/plain");
    server.ask("POST", path, &[plain], "{}").await.error(415, "unsupported_media_type");
    let foreign = ("origin", "http://evil.example");
    server.ask("POST", path, &[JSON, foreign], "{}").await.error(403, "origin_not_allowed");
}

#[tokio::test]
async fn executions_are_listed_in_pages_of_a_bounded_size() {
    let server = Server::with_options(GatewayOptions::default().with_max_page_executions(3)).await;
    for name in ["a", "b", "c", "d"] {
        server.held(name).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        let executions = page["executions"].as_array().unwrap().iter();
        executions.map(|execution| execution["executionId"].as_str().unwrap().into()).collect()
    };
    let first = server.get("/executions").await.json();
    assert_eq!((ids(&first), &first["next"]), (vec!["d".into(), "c".into(), "b".into()], &json!("b")));
    let second = server.get("/executions?limit=2&after=b").await.json();
    assert_eq!((ids(&second), second.get("next")), (vec!["a".into()], None));
    for bad in ["limit=0", "limit=4", "limit=x", "after=a/b", "limit=1&limit=2", "page=1"] {
        server.get(&format!("/executions?{bad}")).await.error(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let server = Server::with_options(GatewayOptions::default().with_max_body_bytes(1_000)).await;
    let path = "/workflows/echo/executions";
    for (body, status, code) in [
        ("", 400, "invalid_body"),
        ("{", 400, "invalid_body"),
        ("[]", 400, "invalid_body"),
        (r#"{"input":{},"inputs":{}}"#, 400, "invalid_body"),
        (r#"{"input":{},"executionId":"a/b"}"#, 400, "invalid_body"),
        (r#"{"input":1}"#, 422, "invalid_input"),
    ] {
        assert!(!server.post(path, body).await.error(status, code).is_empty());
    }
    let large = format!(r#"{{"input":{{"x":"{}"}}}}"#, "x".repeat(1_000));
    assert!(server.post(path, &large).await.error(413, "body_too_large").contains("max_body_bytes"));
    server.post("/workflows/none/executions", r#"{"input":{}}"#).await.error(404, "unknown_workflow");
    assert_eq!(server.engine.starts.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_idempotency_key_starts_once() {
    let server = Server::start().await;
    let path = "/workflows/held/executions";
    let start = |key: &'static str, body: &'static str| {
        let server = &server;
        async move { server.ask("POST", path, &[JSON, ("idempotency-key", key)], body).await }
    };
    let (one, two) =
        tokio::join!(start("k1", r#"{"input":{"a":1}}"#), start("k1", r#"{ "input": {"a": 1} }"#));
    let again = start("k1", r#"{"input":{"a":1}}"#).await;
    for answer in [&one, &two, &again] {
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json()["executionId"], one.json()["executionId"]);
    }
    assert_eq!(server.engine.starts.load(Ordering::SeqCst), 1);
    start("k1", r#"{"input":{"a":2}}"#).await.error(422, "idempotency_key_reused");
    assert_ne!(start("k2", r#"{"input":{"a":1}}"#).await.json()["executionId"], one.json()["executionId"]);
    // A start that failed does not use the key up.
    start("k3", r#"{"input":1}"#).await.error(422, "invalid_input");
    assert_eq!(start("k3", r#"{"input":{}}"#).await.status, 202);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let server = Server::start().await;
    for path in ["/nothing", "/executions/a/nothing", "/v1/stream/", "/executions/a/price"] {
        server.get(path).await.error(404, "not_found");
    }
    server.get("/executions/none").await.error(404, "unknown_execution");
    server.get("/v1/stream/x").await.error(404, "unknown_stream");
    server.get("/v1/stream/executions/none").await.error(404, "unknown_execution");
    server.get("/v1/stream/__ds/subscriptions/a").await.error(501, "not_supported");
    server.get("/executions/a%20b").await.error(400, "invalid_execution_id");
    server.get("/executions/%FF").await.error(404, "not_found");
    let answer = server.ask("PUT", "/executions", &[JSON], "").await;
    answer.error(405, "method_not_allowed");
    assert!(answer.header("allow").unwrap().contains("get"));
    server.get("/ws").await.error(426, "upgrade_required");
    assert_eq!(server.get("/ws").await.header("sec-websocket-version"), Some("13"));
    assert_eq!(server.get("/healthz").await.json(), json!({"status": "ok"}));
    assert_eq!(server.get("/readyz").await.json(), json!({"status": "ready"}));
    assert!(server.get("/").await.header("content-type").unwrap().starts_with("text/html"));
}

#[tokio::test]
async fn what_changes_something_has_to_be_json() {
    let server = Server::start().await;
    server.held("a").await;
    let body = r#"{"input":{}}"#;
    for content_type in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonx")]
    {
        let headers: Vec<_> = content_type.map(|value| ("content-type", value)).into_iter().collect();
        for (method, path) in [
            ("POST", "/workflows/echo/executions"),
            ("POST", "/executions/a/cancel"),
            ("DELETE", "/executions/a"),
        ] {
            server.ask(method, path, &headers, body).await.error(415, "unsupported_media_type");
        }
    }
    let charset = [("content-type", "Application/JSON; charset=utf-8")];
    assert_eq!(server.ask("POST", "/workflows/echo/executions", &charset, body).await.status, 202);
}

#[tokio::test]
async fn another_page_can_neither_start_nor_read_nor_cancel() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 3).await;
    let own = format!("http://{}", server.address);
    for origin in ["http://evil.example", "null", "http://localhost:1", &format!("{own}.evil.example")] {
        let from = ("origin", origin);
        for (method, path) in [
            ("POST", "/workflows/echo/executions"),
            ("POST", "/executions/a/cancel"),
            ("DELETE", "/executions/a"),
            ("GET", "/executions"),
            ("GET", "/executions/a"),
            ("GET", "/executions/a/events"),
            ("OPTIONS", "/workflows/echo/executions"),
        ] {
            let answer = server.ask(method, path, &[JSON, from], r#"{"input":{}}"#).await;
            answer.error(403, "origin_not_allowed");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        for path in ["/ws", "/"] {
            let Err(tungstenite::Error::Http(refused)) = Socket::shake(&server, path, &[from]).await else {
                panic!("a WebSocket was opened from {origin}");
            };
            assert_eq!(refused.status(), 403);
        }
    }
    assert_eq!(server.engine.starts.load(Ordering::SeqCst), 1, "only the test started something");
    assert!(!writer.log().head().sealed);
    assert_eq!(server.ask("GET", "/executions/a", &[("origin", &own)], "").await.status, 200);
    Socket::shake(&server, "/ws", &[("origin", &own)]).await.unwrap();
}

#[tokio::test]
async fn another_page_cannot_embed_a_stream_but_link_to_the_console() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    let fetched =
        |site, mode, dest| [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
    for site in ["cross-site", "same-site"] {
        for headers in [fetched(site, "no-cors", "image"), fetched(site, "navigate", "iframe")] {
            server.ask("GET", "/executions/a/events", &headers, "").await.error(403, "origin_not_allowed");
        }
        assert_eq!(server.ask("GET", "/", &fetched(site, "navigate", "document"), "").await.status, 200);
    }
    assert_eq!(writer.log().subscribers(), 0);
    for headers in [fetched("same-origin", "cors", "empty"), fetched("none", "navigate", "document")] {
        assert_eq!(server.ask("GET", "/executions/a", &headers, "").await.status, 200);
    }
}

#[tokio::test]
async fn a_name_that_was_pointed_at_this_machine_is_refused() {
    let server = Server::start().await;
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.1.2.3", ""] {
        let headers = [JSON, ("host", host)];
        for (method, path) in [("GET", "/"), ("GET", "/executions"), ("POST", "/workflows/echo/executions")] {
            let answer = server.ask(method, path, &headers, r#"{"input":{}}"#).await;
            assert!(matches!(answer.status, 400 | 403), "{host}: {answer:?}");
            assert!(
                ["host_not_allowed", "invalid_host"]
                    .contains(&answer.json()["error"]["code"].as_str().unwrap())
            );
        }
    }
    // The page of such a name is of the same origin as its host: only the host tells.
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    assert!(Socket::shake(&server, "/ws", &rebound).await.is_err());
    for host in ["localhost", "LOCALHOST:99", "[::1]:8080", "127.0.0.1"] {
        assert_eq!(server.ask("GET", "/healthz", &[("host", host)], "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn an_allowed_page_gets_the_answers_that_its_browser_asks_for() {
    let options = GatewayOptions::default()
        .with_allowed_origins(vec!["https://app.example".into()])
        .with_allowed_hosts(vec!["run.example".into()]);
    let server = Server::with_options(options).await;
    let from = ("origin", "https://app.example");
    let asks =
        [from, ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type")];
    let preflight = server.ask("OPTIONS", "/workflows/echo/executions", &asks, "").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("post"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("content-type"));
    let started = server.ask("POST", "/workflows/echo/executions", &[JSON, from], r#"{"input":{}}"#).await;
    assert_eq!(started.status, 202);
    assert_eq!(started.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(started.header("vary"), Some("origin"));
    Socket::shake(&server, "/ws", &[from]).await.unwrap();
    assert_eq!(server.ask("GET", "/healthz", &[("host", "run.example:99")], "").await.status, 200);
    let own = server.get("/healthz").await;
    assert_eq!(own.header("access-control-allow-origin"), None);
    assert_eq!(own.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn an_execution_that_ended_stays_to_be_read() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    writer.finish(StatusUpdate::completed(json!({"x": 1}))).await.unwrap();
    let shown = server.get("/executions/a").await.json();
    assert_eq!(shown["status"], "completed");
    assert_eq!(server.logs.get(&id("a")).unwrap().head().last.get(), 2);
}

#[tokio::test]
async fn a_refused_host_or_origin_says_how_to_allow_it() {
    let server = Server::start().await;
    for (name, value, code, ways) in [
        ("host", "evil.example", "host_not_allowed", ["`--allow-host`", "`GatewayOptions::allowed_hosts`"]),
        (
            "origin",
            "http://evil.example",
            "origin_not_allowed",
            ["`--allow-origin`", "`GatewayOptions::allowed_origins`"],
        ),
    ] {
        let message = server.ask("GET", "/healthz", &[(name, value)], "").await.error(403, code);
        assert!(message.contains("evil.example"), "{message}");
        ways.iter().for_each(|way| assert!(message.contains(way), "{message}"));
    }
}
