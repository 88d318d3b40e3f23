//! A token that takes the place of another on a connection.

use std::time::Duration;

use serde_json::{Value, json};
use streamnest_core::Tenant;
use streamnest_log::Writer;

use crate::{
    engine::say,
    server::Server,
    socket::{Socket, contents},
    token::{bearer, options, seconds, token, token_with},
};
#[tokio::test]
async fn a_token_is_renewed_in_place_without_a_gap_and_only_by_the_same_subject() {
    let server = Server::with_options(options()).await;
    // It is renewed at half of that, and a machine that has much to do has the other half for it.
    let expires = seconds(8);
    let first = token_with("ada", json!({"exp": expires}));
    let mut socket = Socket::open_with(&server, &first).await;
    socket.send(json!({"type": "start_execution", "payload": {"workflow": "held", "input": {}, "executionId": "a"}})).await;
    socket.expect("execution_started").await;
    socket.subscribe(json!({"executionId": "a", "events": ["token"]})).await;
    let own = crate::engine::id("a").within(&Tenant::of_subject("ada").unwrap());
    let writer = server.logs.writer(&own).unwrap();
    let mut entries = Vec::new();
    let mut renewed = false;
    for n in 0_usize.. {
        say(&writer, n, n + 1).await;
        let frame = socket.next().await;
        match frame["type"].as_str().unwrap() {
            "token_expiring" => {
                socket.send(json!({"type": "authentication", "payload": {"token": token("ada")}})).await;
                renewed = true;
            }
            "token" => entries.push(frame),
            _ => {}
        }
        if renewed && seconds(0) > expires {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    say(&writer, 999_999, 1_000_000).await;
    while contents(&entries).last().unwrap() != "999999" {
        let frame = socket.next().await;
        if frame["type"] == "token" {
            entries.push(frame);
        }
    }
    let expected: Vec<_> = (0..entries.len() - 1).map(|n| n.to_string()).collect();
    assert_eq!(contents(&entries)[..entries.len() - 1], expected[..]);
    socket.send(json!({"type": "authentication", "payload": {"token": token("eve")}})).await;
    socket.expect_error("other_subject").await;
    assert_eq!(socket.until_close().await.0, Some(4401));
}

#[tokio::test]
async fn a_new_token_that_may_read_less_ends_what_was_followed_by_the_one_before() {
    let server = Server::with_options(options()).await;
    let headers = [("content-type", "application/json"), ("authorization", &*bearer(&token("ada")))];
    for id in ["a", "b"] {
        let body = json!({"input": {}, "executionId": id}).to_string();
        server.ask("POST", "/workflows/held/executions", &headers, &body).await;
    }
    let (mut socket, _) = Socket::shake(&server, "/ws", &headers[1..]).await.unwrap();
    socket.expect("connected").await;
    for id in ["a", "b"] {
        socket.subscribe(json!({"executionId": id, "events": ["token"]})).await;
    }
    renew(&mut socket, json!({"executions": ["a"]})).await;
    let told = socket.expect_error("forbidden").await;
    assert!(told.contains("`b`"), "{told}");
    socket.expect("authentication_success").await;
    for id in ["b", "a"] {
        say(&of_ada(&server, id), 0, 1).await;
    }
    let entry = socket.expect("token").await;
    assert_eq!(entry["executionId"], "a", "{entry}");
}

/// Shows a new token of `ada` with these claims.
async fn renew(socket: &mut Socket, more: Value) {
    let token = token_with("ada", more);
    socket.send(json!({"type": "authentication", "payload": {"token": token}})).await;
}

fn of_ada(server: &Server, id: &str) -> Writer {
    let own = crate::engine::id(id).within(&Tenant::of_subject("ada").unwrap());
    server.logs.writer(&own).unwrap()
}

/// The next entries of tokens as `execution:content`, each execution's in order.
async fn seen(socket: &mut Socket, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let entry = socket.expect("token").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        seen.push(format!("{}:{}", text(&entry["executionId"]), text(&entry["payload"]["content"])));
    }
    seen.sort();
    seen
}

#[tokio::test]
async fn a_view_goes_on_without_a_gap_by_tokens_that_differ_in_what_each_token_has_of_its_own() {
    let server = Server::with_options(options()).await;
    let headers = [("content-type", "application/json"), ("authorization", &*bearer(&token("ada")))];
    let body = json!({"input": {}, "executionId": "a"}).to_string();
    server.ask("POST", "/workflows/held/executions", &headers, &body).await;
    let (mut socket, _) = Socket::shake(&server, "/ws", &headers[1..]).await.unwrap();
    socket.expect("connected").await;
    socket.subscribe(json!({"executionId": "a", "events": ["token"], "subscription": "one"})).await;
    socket.send(json!({"type": "subscribe_events", "payload": {"eventTypes": ["token"]}})).await;
    socket.expect("events_subscription_confirmed").await;
    let writer = of_ada(&server, "a");
    for n in 0..5_usize {
        // Some are said before the new token is heard and some after; nobody waits in between.
        say(&writer, n * 20, n * 20 + 10).await;
        let of_its_own = json!({
            "iat": seconds(0) - 1, "nbf": seconds(0) - 1, "exp": seconds(3600 + i64::try_from(n).unwrap()), "jti": format!("token-{n}"),
            "auth_time": seconds(0) - i64::try_from(n).unwrap(), "nonce": format!("nonce-{n}"), "sid": n, "at_hash": format!("hash-{n}"),
        });
        renew(&mut socket, of_its_own).await;
        say(&writer, n * 20 + 10, n * 20 + 20).await;
        // Each comes twice: once by its own subscription and once by the view.
        let (mut one, mut view, mut renewed) = (Vec::new(), Vec::new(), 0);
        while one.len() + view.len() < 40 || renewed == 0 {
            let frame = socket.next().await;
            match frame["type"].as_str().unwrap() {
                "token" if frame["subscription"] == "one" => one.push(frame),
                "token" => view.push(frame),
                "authentication_success" => renewed += 1,
                other => panic!("{other}: {frame}"),
            }
        }
        let said: Vec<_> = (n * 20..n * 20 + 20).map(|n| n.to_string()).collect();
        assert_eq!(contents(&one), said);
        assert_eq!(contents(&view), said);
    }
}

#[tokio::test]
async fn a_view_shows_what_the_newest_token_may_read() {
    let server = Server::with_options(options()).await;
    let headers = [("content-type", "application/json"), ("authorization", &*bearer(&token("ada")))];
    for id in ["a", "b", "c"] {
        let body = json!({"input": {}, "executionId": id}).to_string();
        server.ask("POST", "/workflows/held/executions", &headers, &body).await;
    }
    let (mut socket, _) = Socket::shake(&server, "/ws", &headers[1..]).await.unwrap();
    socket.expect("connected").await;
    let scope = json!({"executionIds": ["a", "b"]});
    socket
        .send(json!({"type": "subscribe_events", "payload": {"eventTypes": ["token"], "scope": scope}}))
        .await;
    socket.expect("events_subscription_confirmed").await;
    for (n, (executions, expected)) in
        [(json!(["a"]), vec!["a:1"]), (json!(["b", "c"]), vec!["b:2"]), (json!(["*"]), vec!["a:3", "b:3"])]
            .into_iter()
            .enumerate()
    {
        renew(&mut socket, json!({"executions": executions})).await;
        socket.expect("authentication_success").await;
        for id in ["c", "b", "a"] {
            say(&of_ada(&server, id), n + 1, n + 2).await;
        }
        assert_eq!(seen(&mut socket, expected.len()).await, expected);
    }
    // What it may not read any more has ended for it, and nothing of it comes later.
    renew(&mut socket, json!({"scope": "start"})).await;
    socket.expect("authentication_success").await;
    say(&of_ada(&server, "a"), 9, 10).await;
    socket.send(json!({"type": "ping"})).await;
    assert_eq!(socket.next().await["type"], "pong");
}
