//! Who is let in, and for how long.

mod keys;
mod renewal;
mod revoked;

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use streamnest_core::Tenant;

use crate::{
    engine::say,
    server::{Answer, Server},
    socket::Socket,
    token::{authentication, bearer, options, seconds, token, token_with},
};

async fn ask(server: &Server, token: &str) -> Answer {
    server.ask("GET", "/executions", &[("authorization", &bearer(token))], "").await
}

#[tokio::test]
async fn without_a_token_only_health_and_the_page_are_there() {
    let server = Server::with_options(options()).await;
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    // A supervisor may send whatever it sends to all.
    for path in ["/healthz", "/readyz", "/healthz?ticket=abc", "/readyz?ticket=abc"] {
        for authorization in ["Basic YTpi", "Bearer x.y.z", "Bearer", ""] {
            let answer = server.ask("GET", path, &[("authorization", authorization)], "").await;
            assert_eq!(answer.status, 200, "{path} with {authorization:?}");
        }
        server.ask("GET", path, &[("host", "evil.example")], "").await.error(403, "host_not_allowed");
    }
    for path in
        ["/workflows", "/executions", "/executions/a", "/executions/a/events", "/v1/stream/a", "/nowhere"]
    {
        let answer = server.get(path).await;
        answer.error(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("bearer"), "{path}");
    }
    for (method, path) in [
        ("POST", "/workflows/held/executions"),
        ("POST", "/executions/a/cancel"),
        ("POST", "/executions/a/signals"),
        ("DELETE", "/executions/a"),
        ("PUT", "/v1/stream/a"),
        ("POST", "/tickets"),
    ] {
        let json = [("content-type", "application/json")];
        server.ask(method, path, &json, "{}").await.error(401, "unauthenticated");
    }
    let basic = [("authorization", "Basic YTpi")];
    server.ask("GET", "/executions", &basic, "").await.error(401, "invalid_token");
}

#[tokio::test]
async fn a_socket_may_show_its_token_in_each_of_the_ways() {
    let authentication = authentication().with_cookie(Some("session".into())).with_query_parameter(true);
    let server = Server::with_options(options().with_authentication(Some(authentication))).await;
    let token = token("ada");
    let ping = json!({"type": "ping"});
    let (header, cookie) = (bearer(&token), format!("a=b; session={token}"));
    let protocols = format!("streamnest.v1, bearer.{token}");
    let origin = format!("http://{}", server.address);
    let headers: [&[(&'static str, &str)]; 3] = [
        &[("authorization", &header)],
        &[("sec-websocket-protocol", &protocols)],
        &[("cookie", &cookie), ("origin", &origin)],
    ];
    for headers in headers {
        let (mut socket, response) = Socket::shake(&server, "/ws", headers).await.unwrap();
        let protocol = response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap());
        assert!(protocol.is_none_or(|protocol| protocol == "streamnest.v1"), "{protocol:?}");
        socket.expect("connected").await;
        socket.send(ping.clone()).await;
        socket.expect("pong").await;
    }
    let (mut socket, _) = Socket::shake(&server, &format!("/ws?access_token={token}"), &[]).await.unwrap();
    socket.expect("connected").await;
    socket.send(ping.clone()).await;
    socket.expect("pong").await;
    let mut socket = Socket::open(&server).await;
    socket.send(json!({"type": "authentication", "id": "1", "payload": {"token": token}})).await;
    let success = socket.expect("authentication_success").await;
    assert_eq!((&success["replyTo"], &success["payload"]["subject"]), (&json!("1"), &json!("ada")));
    assert!(success["payload"]["expiresAt"].as_i64().unwrap() > seconds(3000) * 1_000_000);
    socket.send(ping).await;
    socket.expect("pong").await;
}

#[tokio::test]
async fn a_ticket_opens_one_socket_or_stream_once() {
    let server = Server::with_options(options()).await;
    let headers = [("content-type", "application/json"), ("authorization", &*bearer(&token("ada")))];
    let answer = server.ask("POST", "/tickets", &headers, "{}").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let path = format!("/ws?ticket={}", answer.json()["ticket"].as_str().unwrap());
    let (mut socket, _) = Socket::shake(&server, &path, &[]).await.unwrap();
    socket.expect("connected").await;
    socket.send(json!({"type": "ping"})).await;
    socket.expect("pong").await;
    let (mut again, _) = Socket::shake(&server, &path, &[]).await.unwrap();
    assert_eq!(again.until_close().await.0, Some(4401));
    let ticket = server.ask("POST", "/tickets", &headers, "{}").await.json()["ticket"].clone();
    let path = format!("/executions?limit=1&ticket={}", ticket.as_str().unwrap());
    assert_eq!(server.get(&path).await.status, 200);
    server.get(&path).await.error(401, "invalid_token");
}

#[tokio::test]
async fn tickets_are_bounded_in_number_and_age() {
    let authentication = authentication().with_max_tickets(1).with_ticket_ttl(Duration::from_secs(2));
    let server = Server::with_options(options().with_authentication(Some(authentication))).await;
    let headers = [("content-type", "application/json"), ("authorization", &*bearer(&token("ada")))];
    let ticket = async || server.ask("POST", "/tickets", &headers, "{}").await.json();
    let path = |ticket: &Value| format!("/executions?ticket={}", ticket["ticket"].as_str().unwrap());
    let (replaced, kept) = (ticket().await, ticket().await);
    server.get(&path(&replaced)).await.error(401, "invalid_token");
    assert_eq!(server.get(&path(&kept)).await.status, 200);
    let old = ticket().await;
    while server.logs.now().as_micros() <= old["expiresAt"].as_u64().unwrap() {
        tokio::task::yield_now().await;
    }
    server.get(&path(&old)).await.error(401, "invalid_token");
}

#[tokio::test]
async fn a_cookie_counts_only_from_a_page_that_is_known() {
    let server = Server::with_options(
        options().with_authentication(Some(authentication().with_cookie(Some("s".into())))),
    )
    .await;
    let cookie = format!("s={}", token("ada"));
    let own = format!("http://{}", server.address);
    let get = async |headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", &*cookie)];
        all.extend(headers);
        server.ask("GET", "/executions", &all, "").await
    };
    get(&[]).await.error(403, "origin_not_allowed");
    get(&[("origin", "https://evil.example")]).await.error(403, "origin_not_allowed");
    get(&[("sec-fetch-site", "cross-site")]).await.error(403, "origin_not_allowed");
    assert_eq!(get(&[("sec-fetch-site", "same-origin")]).await.status, 200);
    assert_eq!(get(&[("origin", &own)]).await.status, 200);
    let twice = format!("{cookie}; s=x");
    server
        .ask("GET", "/executions", &[("cookie", &twice), ("origin", &own)], "")
        .await
        .error(400, "repeated_header");
    // Where no cookie is named, none is read.
    let other = Server::with_options(options()).await;
    let headers = [("cookie", &*cookie), ("origin", &*format!("http://{}", other.address))];
    other.ask("GET", "/executions", &headers, "").await.error(401, "unauthenticated");
}

#[tokio::test]
async fn a_query_parameter_counts_only_if_it_is_enabled_and_one_token_is_enough() {
    let server = Server::with_options(options()).await;
    server.get(&format!("/executions?access_token={}", token("ada"))).await.error(401, "unauthenticated");
    let enabled = options().with_authentication(Some(authentication().with_query_parameter(true)));
    let server = Server::with_options(enabled).await;
    assert_eq!(server.get(&format!("/executions?access_token={}&limit=1", token("ada"))).await.status, 200);
    let path = format!("/executions?access_token={}", token("ada"));
    let both = [("authorization", &*bearer(&token("ada")))];
    server.ask("GET", &path, &both, "").await.error(400, "several_tokens");
}

#[tokio::test]
async fn who_does_not_say_who_it_is_is_let_go() {
    let authentication =
        authentication().with_deadline(Duration::from_secs(2)).with_max_unauthenticated_message_bytes(1_000);
    let server = Server::with_options(options().with_authentication(Some(authentication))).await;
    assert_eq!(Socket::open(&server).await.until_close().await.0, Some(4408));
    let mut early = Socket::open(&server).await;
    early.send(json!({"type": "get_status", "id": "1"})).await;
    early.expect_error("unauthenticated").await;
    assert_eq!(early.until_close().await.0, Some(4401));
    let mut large = Socket::open(&server).await;
    let _ = large.stream.send(tokio_tungstenite::tungstenite::Message::text("x".repeat(1_001))).await;
    loop {
        match large.message().await.unwrap() {
            tokio_tungstenite::tungstenite::Message::Close(Some(close)) => {
                let close = (u16::from(close.code), close.reason.to_string());
                assert_eq!(close, (1009, "message is over the limit of 1000 bytes".to_owned()));
                break;
            }
            other => assert!(other.is_text(), "{other:?}"),
        }
    }
    // Who is known may say more at once, and stay.
    let mut known = Socket::open(&server).await;
    known.send(json!({"type": "authentication", "payload": {"token": token("ada")}})).await;
    known.expect("authentication_success").await;
    known.send(json!({"type": "ping", "payload": {}, "id": "x".repeat(128)})).await;
    known.expect("pong").await;
    known.send(json!({"type": "nonsense", "payload": {"x": "x".repeat(2_000)}})).await;
    known.expect_error("unknown_type").await;
}

#[tokio::test]
async fn a_token_that_is_not_renewed_ends_its_connection_and_nothing_follows() {
    let server = Server::with_options(options()).await;
    // It is told at half of that, with time enough between the two for a machine that has much to do.
    let expires = seconds(8);
    let token = token_with("ada", json!({"exp": expires}));
    let mut socket = Socket::open_with(&server, &token).await;
    socket.send(json!({"type": "start_execution", "payload": {"workflow": "held", "input": {}, "executionId": "a"}})).await;
    socket.expect("execution_started").await;
    socket.subscribe(json!({"executionId": "a"})).await;
    let own = crate::engine::id("a").within(&Tenant::of_subject("ada").unwrap());
    let writer = server.logs.writer(&own).unwrap();
    let (close, frames) = socket.until_close().await;
    assert_eq!(close, Some(4401));
    assert!(seconds(0) >= expires);
    let warned = frames.iter().find(|frame| frame["type"] == "token_expiring").expect("it is told before");
    assert_eq!(warned["payload"]["expiresAt"], json!(expires * 1_000_000));
    say(&writer, 0, 1).await;
    assert!(socket.message().await.is_err(), "nothing follows the close frame");
    // Expired, it opens nothing any more.
    ask(&server, &token).await.error(401, "token_expired");
}

#[tokio::test]
async fn an_event_stream_ends_with_its_token() {
    let server = Server::with_options(options()).await;
    let expires = seconds(5);
    let token = token_with("ada", json!({"exp": expires}));
    let headers = [("content-type", "application/json"), ("authorization", &*bearer(&token))];
    let body = r#"{"input":{},"executionId":"a"}"#;
    assert_eq!(server.ask("POST", "/workflows/held/executions", &headers, body).await.status, 202);
    let answer = server.ask("GET", "/executions/a/events", &headers[1..], "").await;
    assert!(answer.body.contains("running") && !answer.body.contains("completed"), "{answer:?}");
    assert!(seconds(0) >= expires);
}
