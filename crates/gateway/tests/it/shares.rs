//! What one user may take of what all share.

use std::sync::atomic::Ordering;

use serde_json::json;
use streamnest_core::Tenant;
use streamnest_gateway::{GatewayOptions, RateLimitOptions, Revocation};
use streamnest_log::{LogOptions, durable::StreamOptions};
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::{
    engine::say,
    server::{Answer, PATIENCE, Server},
    socket::Socket,
    token::{authentication, bearer, options, token, token_with},
};

const START: &str = "/workflows/held/executions";

async fn ask(
    server: &Server,
    token: &str,
    method: &str,
    path: &str,
    more: (&str, &str),
    body: &str,
) -> Answer {
    let authorization = bearer(token);
    let headers = [("content-type", "application/json"), ("authorization", &*authorization), more];
    server.ask(method, path, &headers, body).await
}

async fn start_once(server: &Server, token: &str, key: &str, body: &str) -> Answer {
    ask(server, token, "POST", START, ("idempotency-key", key), body).await
}

fn few_keys(options: GatewayOptions) -> GatewayOptions {
    options.with_max_idempotency_keys(4)
}

#[tokio::test]
async fn starts_of_a_stranger_forget_no_key_of_another_tenant() {
    let server = Server::with_options(few_keys(options())).await;
    let (ada, mallory) = (token("ada"), token("mallory"));
    let first = start_once(&server, &ada, "order-1", r#"{"input": {}}"#).await.json();
    for count in 0..10 {
        // Some are refused, and some begin.
        let (key, input) = (format!("k{count}"), if count % 2 == 0 { "{}" } else { "1" });
        let answer = start_once(&server, &mallory, &key, &format!(r#"{{"input": {input}}}"#)).await;
        assert_eq!(answer.status, if count % 2 == 0 { 202 } else { 422 });
    }
    assert_eq!(start_once(&server, &ada, "order-1", r#"{"input": {}}"#).await.json(), first);
}

#[tokio::test]
async fn refused_starts_take_no_place_of_keys_that_are_known() {
    // Where nobody is asked who they are, an address has its share: here all come from one.
    let server = Server::with_options(few_keys(GatewayOptions::default())).await;
    let json = ("content-type", "application/json");
    let start = async |key: &str, body: &str| {
        server.ask("POST", START, &[json, ("idempotency-key", key)], body).await
    };
    let mut orders = Vec::new();
    for key in (0..4).map(|n| format!("order-{n}")) {
        let answer = start(&key, r#"{"input": {}}"#).await.json();
        orders.push((key, answer));
    }
    for count in 0..10 {
        start(&format!("k{count}"), r#"{"input": 1}"#).await.error(422, "invalid_input");
    }
    for (key, answer) in orders {
        assert_eq!(start(&key, r#"{"input": {}}"#).await.json(), answer, "{key}");
    }
}

#[tokio::test]
async fn a_start_that_was_refused_for_any_reason_goes_through_with_the_same_key_when_it_is_put_right() {
    let limits = RateLimitOptions::default()
        .with_max_connections(None)
        .with_max_requests_per_user(None)
        .with_max_executions_per_user(Some(1))
        .with_window(Duration::from_millis(500));
    let server = Server::with_options(options().with_rate_limit(Some(limits))).await;
    let ask = async |token: &str, path: &str, headers: [(&str, &str); 2], body: &str| {
        let authorization = bearer(token);
        let [one, two] = headers;
        server.ask("POST", path, &[("authorization", &*authorization), one, two], body).await
    };
    let (json, text) = (("content-type", "application/json"), ("content-type", "text/plain"));
    let long = "x".repeat(256);
    let good = r#"{"input": {}}"#;
    for (n, (path, content_type, key, body, status, code)) in [
        (START, json, "k", r#"{"input": 1}"#, 422, "invalid_input"),
        (START, json, "k", r#"{"input": {}, "extra": 1}"#, 400, "invalid_body"),
        (START, json, "k", "", 400, "invalid_body"),
        (START, text, "k", good, 415, "unsupported_media_type"),
        (START, json, &*long, good, 400, "invalid_header"),
        ("/workflows/none/executions", json, "k", good, 404, "unknown_workflow"),
    ]
    .into_iter()
    .enumerate()
    {
        // Everybody has a share of starts and keys of their own.
        let ada = token(&format!("ada-{n}"));
        ask(&ada, path, [content_type, ("idempotency-key", key)], body).await.error(status, code);
        let after = Instant::now();
        let started = loop {
            let answer = ask(&ada, START, [json, ("idempotency-key", "k")], good).await;
            match answer.status {
                // What was over the limit leaves nothing behind either.
                429 if after.elapsed() < PATIENCE => sleep(Duration::from_millis(50)).await,
                _ => break answer,
            }
        };
        assert_eq!(
            (started.status, &started.json()["attached"]),
            (202, &json!(false)),
            "{code}: {started:?}"
        );
    }
    assert_eq!(server.engine.starts.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn who_goes_away_while_a_start_is_under_way_hears_of_the_same_execution_by_its_key() {
    let server = Server::with_options(GatewayOptions::default()).await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "order-1")];
    let body = r#"{"input": {"slow": true}}"#;
    drop(server.send("POST", START, &headers, body).await);
    server.engine.go.notify_one();
    timeout(PATIENCE, async {
        while server.engine.starts.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it starts though nobody waits for it");
    server.engine.go.notify_one();
    let answer = server.ask("POST", START, &headers, body).await;
    assert_eq!(answer.status, 202);
    assert_eq!(server.engine.starts.load(Ordering::SeqCst), 1);
    let page = server.get("/executions").await.json();
    let ids: Vec<_> = page["executions"].as_array().unwrap().iter().map(|run| &run["executionId"]).collect();
    assert_eq!(ids, [&answer.json()["executionId"]]);
}

#[tokio::test]
async fn who_may_not_start_learns_nothing_of_a_key() {
    let server = Server::with_options(options()).await;
    let reader = token_with("ada", json!({"scope": "read"}));
    start_once(&server, &token("ada"), "order-1", r#"{"input": {}}"#).await;
    start_once(&server, &reader, "order-1", r#"{"input": {}}"#).await.error(403, "forbidden");
}

#[tokio::test]
async fn tickets_of_one_user_replace_no_other_users() {
    let server = Server::with_options(
        GatewayOptions::default().with_authentication(Some(authentication().with_max_tickets(3))),
    )
    .await;
    let (ada, mallory) = (token("ada"), token("mallory"));
    let ticket = async |token: &str| {
        let answer = ask(&server, token, "POST", "/tickets", ("accept", "*/*"), "{}").await;
        assert_eq!(answer.status, 201);
        answer.json()["ticket"].as_str().unwrap().to_owned()
    };
    let mine = ticket(&ada).await;
    let first = ticket(&mallory).await;
    for _ in 0..10 {
        ticket(&mallory).await;
    }
    let read = async |ticket: &str| server.get(&format!("/executions?ticket={ticket}")).await.status;
    assert_eq!((read(&first).await, read(&mine).await), (401, 200));
}

#[tokio::test]
async fn revocations_of_one_tenant_leave_places_to_others_and_are_all_kept() {
    let authentication = authentication().with_max_revocations(6).with_max_revocations_per_tenant(3);
    let server =
        Server::with_options(GatewayOptions::default().with_authentication(Some(authentication))).await;
    let admin_of = |tenant: &str| token_with("root", json!({"tenant": tenant, "scope": "admin"}));
    let (evil, good) = (admin_of("evil"), admin_of("good"));
    let revoke = async |token: &str, jti: &str| {
        let body = json!({"jti": jti}).to_string();
        ask(&server, token, "POST", "/admin/revocations", ("accept", "*/*"), &body).await
    };
    for count in 0..10 {
        let answer = revoke(&evil, &format!("t{count}")).await;
        match count {
            0..3 => assert_eq!(answer.status, 200),
            _ => {
                let message = answer.error(507, "too_many_revocations_of_tenant");
                assert!(message.contains("max_revocations_per_tenant"), "{message}");
            }
        }
    }
    // What is revoked already takes no second place.
    assert_eq!(revoke(&evil, "t0").await.status, 200);
    assert_eq!(revoke(&good, "stolen").await.status, 200);
    let named = |tenant: &str, jti: &str| token_with("ada", json!({"tenant": tenant, "jti": jti}));
    let read = async |token: &str| ask(&server, token, "GET", "/executions", ("accept", "*/*"), "").await;
    for (tenant, jti) in [("evil", "t0"), ("evil", "t2"), ("good", "stolen")] {
        read(&named(tenant, jti)).await.error(401, "token_revoked");
    }
    assert_eq!(read(&named("evil", "t3")).await.status, 200);
    // The way out for a tenant whose share is used up.
    server.gateway.revoke(&Revocation::tenant(Tenant::new("evil").unwrap())).unwrap();
    read(&named("evil", "t3")).await.error(401, "token_revoked");
    assert_eq!(read(&named("good", "t3")).await.status, 200);
}

#[tokio::test]
async fn a_connection_that_is_turned_away_replaces_no_other_of_its_user() {
    let options = options().with_max_connections(2).with_max_connections_per_user(2);
    let server = Server::with_options(options).await;
    let ada = token("ada");
    let mut open = [Socket::open_with(&server, &ada).await, Socket::open_with(&server, &ada).await];
    let mut third = Socket::open_with(&server, &ada).await;
    assert_eq!(third.until_close().await.0, Some(4429));
    for socket in &mut open {
        socket.send(json!({"type": "ping"})).await;
        socket.expect("pong").await;
    }
}

#[tokio::test]
async fn views_of_many_executions_of_one_user_leave_places_to_others_and_are_for_readers() {
    let options = options().with_max_event_subscriptions(3).with_max_event_subscriptions_per_user(2);
    let server = Server::with_options(options).await;
    let open = async |token: &str| Socket::open_with(&server, token).await;
    let follow = || json!({"type": "subscribe_events", "id": "1", "payload": {"eventTypes": ["token"]}});
    // Who may read nothing takes no place, whatever else it may do.
    for scope in ["", "start cancel produce operate"] {
        for who in ["a", "b", "c", "d"] {
            let mut socket = open(&token_with(who, json!({"tenant": "evil", "scope": scope}))).await;
            socket.send(follow()).await;
            let message = socket.expect_error("forbidden").await;
            assert!(message.contains("`read`"), "{message}");
        }
    }
    let mut of_ada = Vec::new();
    for _ in 0..3 {
        of_ada.push(open(&token("ada")).await);
    }
    for socket in &mut of_ada[..2] {
        socket.send(follow()).await;
        socket.expect("events_subscription_confirmed").await;
    }
    of_ada[2].send(follow()).await;
    let refused = of_ada[2].expect("error").await["payload"].clone();
    assert_eq!(
        (&refused["code"], &refused["retryable"], &refused["retryAfterMs"]),
        (&json!("too_many_event_views_of_user"), &json!(true), &json!(1000))
    );
    assert!(refused["message"].as_str().unwrap().contains("max_event_subscriptions_per_user"), "{refused}");
    // One that is replaced takes no second place.
    of_ada[0].send(follow()).await;
    of_ada[0].expect("events_subscription_confirmed").await;
    let mut of_eve = open(&token_with("eve", json!({"scope": "admin"}))).await;
    of_eve.send(follow()).await;
    of_eve.expect("events_subscription_confirmed").await;
    drop(of_eve);
    // Who leaves makes room.
    let mut of_bob = open(&token("bob")).await;
    let confirmed = tokio::time::timeout(crate::server::PATIENCE, async {
        loop {
            of_bob.send(follow()).await;
            match of_bob.next().await["type"].as_str() {
                Some("events_subscription_confirmed") => break,
                _ => sleep(Duration::from_millis(10)).await,
            }
        }
    });
    confirmed.await.expect("the place of one who left is free");
}

#[tokio::test]
async fn long_polls_of_one_user_are_bounded_and_leave_places_to_others() {
    let server =
        Server::with_options(options().with_max_event_streams_per_user(2).with_max_stream_readers(3)).await;
    let produces = |who: &str| token_with(who, json!({"scope": "read produce"}));
    let (greedy, other) = (produces("greedy"), produces("other"));
    for token in [&greedy, &other] {
        assert_eq!(ask(&server, token, "PUT", "/v1/stream/x", ("accept", "*/*"), "").await.status, 201);
    }
    let poll = "/v1/stream/x?offset=now&live=long-poll";
    let authorization = bearer(&greedy);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(server.send("GET", poll, &[("authorization", &authorization)], "").await);
    }
    // They may not have come yet; one that waits in the place of theirs lasts until the append.
    let refused = tokio::time::timeout(crate::server::PATIENCE, async {
        loop {
            let mut stream = server.send("GET", poll, &[("authorization", &authorization)], "").await;
            let mut bytes = Vec::new();
            let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes);
            if tokio::time::timeout(Duration::from_millis(200), read).await.is_ok() {
                break Answer::parse(&bytes);
            }
            held.push(stream);
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("one more than the limit is refused");
    let message = refused.error(429, "too_many_event_streams");
    assert!(message.contains("max_event_streams_per_user"), "{message}");
    let authorization = bearer(&other);
    let mut waits = server.send("GET", poll, &[("authorization", &authorization)], "").await;
    let mut bytes = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut waits, &mut bytes);
    assert!(tokio::time::timeout(Duration::from_millis(200), read).await.is_err(), "another user waits");
}

#[tokio::test]
async fn streams_of_one_user_leave_places_to_others() {
    let streams = StreamOptions::default().with_max_streams(5).with_max_streams_per_user(2);
    let server = Server::with_options(options().with_streams(streams)).await;
    let produces = |who: &str| token_with(who, json!({"scope": "read produce"}));
    let (hog, victim) = (produces("hog"), produces("victim"));
    let put = async |token: &str, path: &str| ask(&server, token, "PUT", path, ("accept", "*/*"), "").await;
    assert_eq!(put(&hog, "/v1/stream/a").await.status, 201);
    assert_eq!(put(&hog, "/v1/stream/executions/a").await.status, 201);
    for path in ["/v1/stream/b", "/v1/stream/executions/b"] {
        let message = put(&hog, path).await.error(429, "too_many_streams_of_user");
        assert!(message.contains("StreamOptions::max_streams_per_user"), "{message}");
    }
    // What it has it may ask for again, and others have room.
    assert_eq!(put(&hog, "/v1/stream/a").await.status, 200);
    assert_eq!(put(&victim, "/v1/stream/a").await.status, 201);
    assert_eq!(put(&victim, "/v1/stream/executions/a").await.status, 201);
    assert_eq!(ask(&server, &hog, "DELETE", "/v1/stream/a", ("accept", "*/*"), "").await.status, 204);
    assert_eq!(put(&hog, "/v1/stream/b").await.status, 201);
    // An execution that has ended takes no place, and can be read.
    put(&hog, "/v1/stream/executions/b").await.error(429, "too_many_streams_of_user");
    let end = ask(&server, &hog, "POST", "/v1/stream/executions/a", ("stream-closed", "true"), "").await;
    assert_eq!(end.status, 204);
    assert_eq!(put(&hog, "/v1/stream/executions/b").await.status, 201);
    for _ in 0..2 {
        let path = "/v1/stream/executions/a";
        assert_eq!(ask(&server, &hog, "POST", path, ("stream-closed", "true"), "").await.status, 204);
        assert_eq!(ask(&server, &hog, "GET", path, ("accept", "*/*"), "").await.status, 200);
        assert_ne!(ask(&server, &victim, "DELETE", path, ("accept", "*/*"), "").await.status, 204);
    }
}

#[tokio::test]
async fn names_of_subscriptions_of_a_reader_keep_none_from_the_owner_and_can_be_deleted() {
    let logs = LogOptions::default().with_max_subscriptions(4).with_max_subscriptions_per_user(2);
    let server = Server::with(options(), logs).await;
    let of_acme = |who: &str, scope: &str| token_with(who, json!({"tenant": "acme", "scope": scope}));
    let (ada, eve) = (of_acme("ada", "read start cancel"), of_acme("eve", "read"));
    let start = json!({"input": {}, "executionId": "a"}).to_string();
    assert_eq!(ask(&server, &ada, "POST", START, ("accept", "*/*"), &start).await.status, 202);
    let (ada_shows, eve_shows) = (bearer(&ada), bearer(&eve));
    let (mut of_eve, _) = Socket::shake(&server, "/ws", &[("authorization", &eve_shows)]).await.unwrap();
    let (mut of_ada, _) = Socket::shake(&server, "/ws", &[("authorization", &ada_shows)]).await.unwrap();
    of_eve.expect("connected").await;
    of_ada.expect("connected").await;
    let ack = |name: &str| {
        let payload = json!({"executionId": "a", "subscription": name, "sequence": 1});
        json!({"type": "ack", "payload": payload})
    };
    for name in ["1", "2", "3", "4"] {
        of_eve.send(ack(name)).await;
    }
    for _ in 0..2 {
        of_eve.expect_error("too_many_subscription_names_of_user").await;
    }
    of_ada.send(ack("dash")).await;
    of_ada.send(json!({"type": "ping"})).await;
    assert_eq!(of_ada.next().await["type"], "pong");

    let delete = async |token: &str, name: &str| {
        ask(&server, token, "DELETE", &format!("/executions/a/subscriptions/{name}"), ("accept", "*/*"), "")
            .await
    };
    delete(&eve, "dash").await.error(403, "subscription_of_another");
    assert_eq!(delete(&eve, "1").await.status, 204);
    assert_eq!(delete(&ada, "2").await.status, 204);
    delete(&ada, "2").await.error(404, "unknown_subscription");
    let listed = ask(&server, &ada, "GET", "/executions/a/subscriptions", ("accept", "*/*"), "").await;
    let listed = listed.json()["subscriptions"].as_array().unwrap().clone();
    assert_eq!(listed.iter().map(|one| &one["subscription"]).collect::<Vec<_>>(), ["dash"]);
}

#[tokio::test]
async fn a_name_of_a_subscription_is_moved_by_who_gave_it_and_by_who_may_cancel() {
    let server = Server::with_options(options()).await;
    let of_acme = |who: &str, scope: &str| token_with(who, json!({"tenant": "acme", "scope": scope}));
    let owner = of_acme("owner", "read start cancel");
    for id in ["a", "b"] {
        let start = json!({"input": {}, "executionId": id}).to_string();
        assert_eq!(ask(&server, &owner, "POST", START, ("accept", "*/*"), &start).await.status, 202);
        let own = crate::engine::id(id).within(&Tenant::new("acme").unwrap());
        say(&server.logs.writer(&own).unwrap(), 0, 5).await;
    }
    let open = async |token: &str| Socket::open_with(&server, token).await;
    let ack = |name: &str, sequence: u64| {
        let payload = json!({"executionId": "a", "subscription": name, "sequence": sequence});
        json!({"type": "ack", "id": "ack", "payload": payload})
    };
    let acknowledged = async || {
        let listed = ask(&server, &owner, "GET", "/executions/a/subscriptions", ("accept", "*/*"), "").await;
        listed.json()["subscriptions"][0]["acknowledged"].clone()
    };
    let heard = async |socket: &mut Socket| {
        socket.send(json!({"type": "ping"})).await;
        assert_eq!(socket.next().await["type"], "pong");
    };
    let (worker, eve) = (of_acme("worker", "read"), of_acme("eve", "read"));
    let (mut first, mut second) = (open(&worker).await, open(&worker).await);
    first.send(ack("billing", 2)).await;
    heard(&mut first).await;
    // Another connection of the same user, as that of a second worker or of the first one after it came back.
    second.send(ack("billing", 3)).await;
    heard(&mut second).await;
    assert_eq!(acknowledged().await, 3);

    let mut of_eve = open(&eve).await;
    of_eve.send(ack("billing", 5)).await;
    let told = of_eve.expect_error("subscription_of_another").await;
    assert!(told.contains("`billing`"), "{told}");
    for delivery in ["at-most-once", "at-least-once", "exactly-once"] {
        let payload = json!({"executionId": "a", "subscription": "billing", "delivery": delivery});
        of_eve.send(json!({"type": "subscribe_execution", "payload": payload})).await;
        of_eve.expect_error("subscription_of_another").await;
    }
    assert_eq!(acknowledged().await, 3, "eve has moved nothing");
    // The same name of another execution is free, and without a name everybody follows who may read.
    let payload = json!({"executionId": "b", "subscription": "billing", "delivery": "at-most-once"});
    of_eve.send(json!({"type": "subscribe_execution", "payload": payload})).await;
    of_eve.expect("subscription_confirmed").await;

    let mut of_owner = open(&owner).await;
    of_owner.send(ack("billing", 4)).await;
    heard(&mut of_owner).await;
    assert_eq!(acknowledged().await, 4, "who may cancel the execution may use the names of others");
    second.send(ack("billing", 5)).await;
    heard(&mut second).await;
    assert_eq!(acknowledged().await, 5, "it is still the worker's");
}

#[tokio::test]
async fn only_who_started_an_execution_attaches_to_it() {
    let server = Server::with_options(options()).await;
    let of_acme = |who: &str, scope: &str| token_with(who, json!({"tenant": "acme", "scope": scope}));
    let (ada, bob) = (of_acme("ada", "read start"), of_acme("bob", "start"));
    let body = json!({"input": {}, "executionId": "a"}).to_string();
    let start = async |token: &str| ask(&server, token, "POST", START, ("accept", "*/*"), &body).await;
    assert_eq!(start(&ada).await.json()["attached"], false);
    assert_eq!(start(&ada).await.json()["attached"], true);
    start(&bob).await.error(409, "conflict");
    // With a key it is the same.
    start_once(&server, &bob, "key", &body).await.error(409, "conflict");
    assert_eq!(start_once(&server, &ada, "key", &body).await.json()["attached"], true);
}
