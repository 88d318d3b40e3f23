//! Tokens that are taken back before they expire.

use std::time::Duration;

use serde_json::{Value, json};
use streamnest_core::Tenant;
use streamnest_gateway::Revocation;

use super::ask;
use crate::{
    engine::say,
    server::Server,
    socket::Socket,
    token::{authentication, bearer, options, seconds, token, token_with},
};
#[tokio::test]
async fn who_administers_revokes_within_its_tenant() {
    let server = Server::with_options(options()).await;
    let open = async |token: &str| Socket::open_with(&server, token).await;
    let old = |more: Value| {
        let mut claims = json!({"iat": seconds(-10), "tenant": "press"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let root = token_with("root", old(json!({"scope": "admin"})));
    let (ada, bob) = (token_with("ada", old(json!({}))), token_with("bob", old(json!({"jti": "t1"}))));
    // Of the same names in another tenant.
    let (other_ada, other_bob) = (
        token_with("ada", json!({"iat": seconds(-10), "tenant": "radio"})),
        token_with("bob", json!({"iat": seconds(-10), "tenant": "radio", "jti": "t1"})),
    );
    let (mut of_ada, mut of_bob) = (open(&ada).await, open(&bob).await);
    let (mut other_of_ada, mut other_of_bob) = (open(&other_ada).await, open(&other_bob).await);
    let revoke = async |token: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("authorization", &*bearer(token))];
        server.ask("POST", "/admin/revocations", &headers, &body.to_string()).await
    };
    revoke(&ada, json!({"subject": "bob"})).await.error(403, "forbidden");
    for body in
        [json!({}), json!({"subject": "a", "jti": "b"}), json!({"tenant": "radio"}), json!({"token": "t1"})]
    {
        revoke(&root, body).await.error(400, "invalid_body");
    }
    for (body, told) in [
        (json!({"jti": "x".repeat(129)}), "1 to 128"),
        (json!({"jti": ""}), "1 to 128"),
        (json!({"subject": "x".repeat(256)}), "1 to 255"),
        (json!({"subject": ""}), "1 to 255"),
        (json!({"subject": "ada\n"}), "control character"),
        (json!({"jti": bob}), "`jti` claim"),
        (json!({"subject": bob}), "`sub`"),
    ] {
        let message = revoke(&root, body).await.error(400, "invalid_revocation");
        assert!(message.contains(told), "{message}");
        assert!(!message.contains("eyJ"), "{message}");
    }
    assert_eq!(ask(&server, &bob).await.status, 200, "what was refused has revoked nothing");
    let answer = revoke(&root, json!({"subject": "ada"})).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"connections": 1})));
    assert_eq!(of_ada.until_close().await.0, Some(4401));
    ask(&server, &ada).await.error(401, "token_revoked");
    assert_eq!(revoke(&root, json!({"jti": "t1"})).await.json(), json!({"connections": 1}));
    assert_eq!(of_bob.until_close().await.0, Some(4401));
    ask(&server, &bob).await.error(401, "token_revoked");
    assert_eq!(ask(&server, &token_with("bob", json!({"tenant": "press"}))).await.status, 200);
    for socket in [&mut other_of_ada, &mut other_of_bob] {
        socket.send(json!({"type": "ping"})).await;
        socket.expect("pong").await;
    }
    // Where nobody is asked who they are there is nothing to revoke.
    let open = Server::start().await;
    let json = [("content-type", "application/json")];
    open.ask("POST", "/admin/revocations", &json, r#"{"subject":"ada"}"#).await.error(404, "not_found");
}

#[tokio::test]
async fn what_is_revoked_ends_at_once_and_comes_back_only_with_a_newer_token() {
    let server = Server::with_options(options()).await;
    let open = async |token: &str| Socket::open_with(&server, token).await;
    let old = json!({"iat": seconds(-10)});
    let (ada, eve) = (token_with("ada", old.clone()), token_with("eve", old));
    let (mut of_ada, mut of_eve) = (open(&ada).await, open(&eve).await);
    let body = r#"{"input":{},"executionId":"a"}"#;
    let headers = [("content-type", "application/json"), ("authorization", &*bearer(&ada))];
    server.ask("POST", "/workflows/held/executions", &headers, body).await;
    let stream = server.ask("GET", "/executions/a/events", &headers[1..], "");
    let revoke = async {
        while server.gateway.sockets().connections() < 2 {
            tokio::task::yield_now().await;
        }
        let followed = crate::engine::id("a").within(&Tenant::of_subject("ada").unwrap());
        let log = server.logs.get(&followed).unwrap();
        log.subscribers_become(|count| count > 0).await;
        server.gateway.revoke(&Revocation::subject("ada")).unwrap();
    };
    let (stream, ()) = tokio::join!(stream, revoke);
    assert!(stream.body.contains("running"), "{stream:?}");
    assert_eq!(of_ada.until_close().await.0, Some(4401));
    ask(&server, &ada).await.error(401, "token_revoked");
    of_eve.send(json!({"type": "ping"})).await;
    of_eve.expect("pong").await;
    assert_eq!(
        ask(&server, &token_with("ada", json!({"iat": seconds(2)}))).await.status,
        401,
        "from the future"
    );
    let named = token_with("bob", json!({"jti": "t1"}));
    assert_eq!(ask(&server, &named).await.status, 200);
    server.gateway.revoke(&Revocation::token("t1")).unwrap();
    ask(&server, &named).await.error(401, "token_revoked");
    assert_eq!(ask(&server, &token("bob")).await.status, 200);
}

#[tokio::test]
async fn a_long_poll_gives_nothing_that_came_after_its_token_was_revoked_or_had_expired() {
    let server = Server::with_options(options()).await;
    let ada = token_with("ada", json!({"iat": seconds(-10)}));
    let headers = [("content-type", "application/json"), ("authorization", &*bearer(&ada))];
    let body = r#"{"input":{},"executionId":"a"}"#;
    server.ask("POST", "/workflows/held/executions", &headers, body).await;
    let own = crate::engine::id("a").within(&Tenant::of_subject("ada").unwrap());
    let log = server.logs.get(&own).unwrap();
    let writer = server.logs.writer(&own).unwrap();
    let path = "/v1/stream/executions/a?offset=now&live=long-poll";
    let poll = async |token: &str| server.ask("GET", path, &[("authorization", &bearer(token))], "").await;
    let expires = seconds(5);
    let late = async {
        log.subscribers_become(|count| count > 0).await;
        while seconds(0) < expires {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        say(&writer, 0, 1).await;
    };
    let short = token_with("ada", json!({"exp": expires}));
    let (answer, ()) = tokio::join!(poll(&short), late);
    answer.error(401, "token_expired");
    let revoked = async {
        log.subscribers_become(|count| count > 0).await;
        server.gateway.revoke(&Revocation::subject("ada")).unwrap();
        say(&writer, 1, 2).await;
    };
    let (answer, ()) = tokio::join!(poll(&ada), revoked);
    answer.error(401, "token_revoked");
}

#[tokio::test]
async fn revocations_are_bounded() {
    let authentication = authentication().with_max_revocations(1);
    let server = Server::with_options(options().with_authentication(Some(authentication))).await;
    server.gateway.revoke(&Revocation::token("a")).unwrap();
    server.gateway.revoke(&Revocation::token("a")).unwrap();
    let error = server.gateway.revoke(&Revocation::token("b")).unwrap_err();
    assert_eq!(error.code(), "too_many_revocations");
    let error = server.gateway.revoke(&Revocation::token(token("ada"))).unwrap_err();
    assert_eq!(error.code(), "invalid_revocation");
}
