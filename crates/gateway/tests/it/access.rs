//! Who may do what: tenants, scopes, patterns, and a policy of one's own.

use serde_json::{Value, json};
use streamnest_core::{ExecutionId, Tenant};
use streamnest_gateway::{AccessPolicy, Action, ClaimsPolicy, Principal, Resource};

use crate::{
    engine::{id, say},
    server::{Answer, Server},
    socket::Socket,
    token::{bearer, options, token, token_with},
};

async fn ask(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let authorization = bearer(token);
    let headers = [("content-type", "application/json"), ("authorization", &*authorization)];
    server.ask(method, path, &headers, body).await
}

async fn start(server: &Server, token: &str, name: &str) -> Answer {
    let body = json!({"input": {}, "executionId": name}).to_string();
    ask(server, token, "POST", "/workflows/held/executions", &body).await
}

fn of(tenant: &str, name: &str) -> ExecutionId {
    id(name).within(&Tenant::new(tenant).unwrap())
}

fn listed(answer: &Answer) -> Vec<String> {
    let ids = answer.json()["executions"].as_array().unwrap().clone();
    ids.iter().map(|one| one["executionId"].as_str().unwrap().into()).collect()
}

#[tokio::test]
async fn an_answer_is_signed_by_who_the_token_names_and_by_nobody_else() {
    let server = Server::with_options(options()).await;
    let ada = token("ada");
    start(&server, &ada, "a").await;
    let answer = async |body: Value| {
        let mut signal = json!({"ask": "ask1", "answer": {"publish": true}});
        signal.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        ask(&server, &ada, "POST", "/executions/a/signals", &signal.to_string()).await
    };
    let says_so = "`by` is who the token names, `ada`; leave it out";
    assert!(answer(json!({"by": "grace"})).await.error(422, "invalid_answer").contains(says_so));
    assert_eq!(answer(json!({})).await.status, 200);
    assert_eq!(answer(json!({"by": "ada"})).await.status, 200);

    let mut socket = Socket::open_with(&server, &ada).await;
    let signal = |by: Value| {
        let payload = json!({"executionId": "a", "ask": "ask1", "answer": {"publish": true}, "by": by});
        json!({"type": "signal", "id": "1", "payload": payload})
    };
    socket.send(signal(json!("grace"))).await;
    assert!(socket.expect_error("invalid_answer").await.contains(says_so));
    socket.send(signal(json!("ada"))).await;
    socket.expect("signal_accepted").await;
    let taken = server.engine.answered_by.lock().unwrap().clone();
    assert_eq!(taken, vec![Some("ada".to_owned()); 3]);

    // Where nobody is asked who they are, it is what they say.
    let open_to_all = Server::start().await;
    open_to_all.held("a").await;
    let said = r#"{"ask":"ask1","answer":{"publish":true},"by":"Grace"}"#;
    assert_eq!(open_to_all.post("/executions/a/signals", said).await.status, 200);
    assert_eq!(*open_to_all.engine.answered_by.lock().unwrap(), [Some("Grace".to_owned())]);
}

#[tokio::test]
async fn two_tenants_use_one_id_and_never_meet() {
    let server = Server::with_options(options()).await;
    let acme = token_with("ada", json!({"tenant": "acme"}));
    let other = token_with("ada", json!({"tenant": "other"}));
    for token in [&acme, &other] {
        let answer = start(&server, token, "a").await;
        assert_eq!((answer.status, &answer.json()["attached"]), (202, &json!(false)), "{answer:?}");
    }
    say(&server.logs.writer(&of("acme", "a")).unwrap(), 0, 1).await;
    ask(&server, &acme, "POST", "/executions/a/cancel", "{}").await;
    let status =
        async |token: &str| ask(&server, token, "GET", "/executions/a", "").await.json()["status"].clone();
    assert_eq!((status(&acme).await, status(&other).await), (json!("cancelled"), json!("running")));
    // A third, without a tenant, is one of its own, whatever it is called.
    let lonely = token("acme");
    ask(&server, &lonely, "GET", "/executions/a", "").await.error(404, "unknown_execution");
    assert_eq!(listed(&ask(&server, &lonely, "GET", "/executions", "").await), [""; 0]);
    assert_eq!(listed(&ask(&server, &other, "GET", "/executions", "").await), ["a"]);
}

#[tokio::test]
async fn what_is_anothers_is_what_does_not_exist_in_every_way_to_ask() {
    let server = Server::with_options(options()).await;
    assert_eq!(start(&server, &token("ada"), "run-of-ada").await.status, 202);
    let eve = token_with("eve", json!({"scope": "admin"}));
    let ways = [
        ("GET", "/executions/ID", ""),
        ("GET", "/executions/ID/events", ""),
        ("GET", "/executions/ID/subscriptions", ""),
        ("GET", "/executions?after=ID", ""),
        ("POST", "/executions/ID/cancel", "{}"),
        ("POST", "/executions/ID/signals", r#"{"ask":"ask1","answer":{"publish":true}}"#),
        ("DELETE", "/executions/ID", ""),
        ("GET", "/v1/stream/executions/ID", ""),
        ("HEAD", "/v1/stream/executions/ID", ""),
        ("POST", "/v1/stream/executions/ID", r#"{"type":"token"}"#),
        ("DELETE", "/v1/stream/executions/ID", ""),
    ];
    for (method, path, body) in ways {
        let answer = async |name: &str| {
            let answer = ask(&server, &eve, method, &path.replace("ID", name), body).await;
            (answer.status, answer.body.replace(name, "ID"))
        };
        let (theirs, none) = (answer("run-of-ada").await, answer("nothing-is-called-this").await);
        assert_eq!((theirs.0, &theirs), (404, &none), "{method} {path}");
    }
    let mut socket = Socket::open_with(&server, &eve).await;
    let commands = [
        json!({"type": "subscribe_execution", "payload": {"executionId": "run-of-ada"}}),
        json!({"type": "subscribe_execution", "payload": {"executionId": "run-of-ada", "from": "0000000000000000_0000000000000000"}}),
        json!({"type": "cancel_execution", "payload": {"executionId": "run-of-ada"}}),
        json!({"type": "signal", "payload": {"executionId": "run-of-ada", "ask": "ask1", "answer": {"publish": true}}}),
        json!({"type": "ack", "payload": {"executionId": "run-of-ada", "subscription": "s", "sequence": 0}}),
    ];
    for command in commands {
        socket.send(command).await;
        socket.expect_error("unknown_execution").await;
    }
}

#[tokio::test]
async fn what_a_cache_keeps_of_a_stream_is_for_one_user_only() {
    let server = Server::with_options(options()).await;
    let scope = json!("read start cancel produce");
    let [ada, eve] =
        ["acme", "other"].map(|tenant| token_with("x", json!({"tenant": tenant, "scope": scope})));
    let path = "/v1/stream/a";
    let ask_with = async |token: &str, method: &str, path: &str, header: (&str, &str)| {
        let authorization = bearer(token);
        let headers = [("authorization", &*authorization), ("content-type", "text/plain"), header];
        server.ask(method, path, &headers, if method == "PUT" { "secret" } else { "" }).await
    };
    for token in [&ada, &eve] {
        assert_eq!(ask_with(token, "PUT", path, ("accept", "*/*")).await.status, 201);
    }
    let mut tags = Vec::new();
    for query in ["", "?offset=-1&live=long-poll", "?offset=now", "?offset=0000000000000000_0000000000000001"]
    {
        for method in ["GET", "HEAD"] {
            let answer = ask_with(&ada, method, &format!("{path}{query}"), ("accept", "*/*")).await;
            let control = answer.header("cache-control").unwrap();
            assert!(control.contains("private") || control == "no-store", "{method} {query}: {control}");
            assert_eq!(answer.header("vary"), Some("authorization, cookie"), "{method} {query}");
            tags.extend(answer.header("etag").map(String::from));
        }
    }
    let read = ask_with(&ada, "GET", path, ("accept", "*/*")).await;
    assert_eq!(read.body, "secret");
    let tag = read.header("etag").unwrap();
    assert_eq!(ask_with(&ada, "GET", path, ("if-none-match", tag)).await.status, 304);
    // Whoever holds the tag learns nothing by it: another tenant gets its own stream, a stranger what does not exist.
    assert_eq!(ask_with(&eve, "GET", path, ("if-none-match", tag)).await.status, 200);
    let lonely = token_with("z", json!({"scope": scope}));
    for tag in &tags {
        let answer = ask_with(&lonely, "GET", path, ("if-none-match", tag)).await;
        assert_eq!((answer.status, answer.header("cache-control")), (404, Some("no-store")));
    }
    assert_eq!(server.ask("GET", path, &[("if-none-match", tag)], "").await.status, 401);
}

#[tokio::test]
async fn a_view_over_many_shows_only_what_may_be_read() {
    let server = Server::with_options(options()).await;
    let (acme, other) =
        (token_with("ada", json!({"tenant": "acme"})), token_with("eve", json!({"tenant": "other"})));
    let part = token_with("bob", json!({"tenant": "acme", "executions": ["b*"]}));
    for (token, name) in [(&acme, "a"), (&acme, "b1"), (&other, "b1"), (&other, "c")] {
        assert_eq!(start(&server, token, name).await.status, 202);
    }
    let mut sockets = Vec::new();
    for (token, scope) in [(&acme, json!([])), (&part, json!([])), (&other, json!(["b1"]))] {
        let mut socket = Socket::open_with(&server, token).await;
        let payload = json!({"eventTypes": ["token"], "scope": {"executionIds": scope}});
        socket.send(json!({"type": "subscribe_events", "payload": payload})).await;
        socket.expect("events_subscription_confirmed").await;
        sockets.push(socket);
    }
    for (n, own) in
        [of("acme", "a"), of("acme", "b1"), of("other", "b1"), of("other", "c")].iter().enumerate()
    {
        say(&server.logs.writer(own).unwrap(), n, n + 1).await;
    }
    let mut seen = Vec::new();
    for (socket, count) in sockets.iter_mut().zip([2, 1, 1]) {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(socket.expect("token").await["payload"]["content"].as_str().unwrap().to_owned());
        }
        texts.sort();
        assert!(socket.is_silent().await);
        seen.push(texts);
    }
    assert_eq!(seen, [vec!["0", "1"], vec!["1"], vec!["2"]]);
}

#[tokio::test]
async fn a_scope_or_a_pattern_that_is_missing_forbids_what_may_be_seen() {
    let server = Server::with_options(options()).await;
    let team = |more: Value| {
        let mut claims = json!({"tenant": "acme"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        token_with("ada", claims)
    };
    let all = team(json!({}));
    assert_eq!(start(&server, &all, "run-1").await.status, 202);
    let reader = team(json!({"scope": "openid read"}));
    assert_eq!(ask(&server, &reader, "GET", "/executions/run-1", "").await.status, 200);
    for (method, path, body) in [
        ("POST", "/executions/run-1/cancel", "{}"),
        ("POST", "/executions/run-1/signals", r#"{"ask":"ask1","answer":{"publish":true}}"#),
        ("DELETE", "/executions/run-1", ""),
        ("POST", "/workflows/held/executions", r#"{"input":{}}"#),
        ("PUT", "/v1/stream/notes", ""),
        ("PUT", "/v1/stream/executions/run-2", ""),
    ] {
        ask(&server, &reader, method, path, body).await.error(403, "forbidden");
    }
    // Whether an id is taken is nobody's business who may not use it.
    let narrow = team(json!({"executions": ["mine-*"]}));
    assert_eq!(
        start(&server, &narrow, "run-1").await.body.replace("run-1", ""),
        start(&server, &narrow, "run-9").await.body.replace("run-9", "")
    );
    start(&server, &narrow, "run-1").await.error(403, "forbidden");
    ask(&server, &narrow, "GET", "/executions/run-1", "").await.error(404, "unknown_execution");
    assert_eq!(start(&server, &narrow, "mine-1").await.status, 202);
    assert_eq!(listed(&ask(&server, &narrow, "GET", "/executions", "").await), ["mine-1"]);
    assert_eq!(listed(&ask(&server, &all, "GET", "/executions", "").await), ["mine-1", "run-1"]);
    // Streams have owners too, and patterns of their own.
    let producer = team(json!({"scope": ["read", "produce"], "streams": ["notes/*"]}));
    assert_eq!(ask(&server, &producer, "PUT", "/v1/stream/notes/1", "").await.status, 201);
    assert_eq!(ask(&server, &all, "GET", "/v1/stream/notes/1", "").await.status, 200);
    let told = ask(&server, &producer, "GET", "/v1/stream/other", "").await.error(404, "unknown_stream");
    assert_eq!(told, "there is no stream `other`; make it first");
    ask(&server, &narrow, "GET", "/v1/stream/notes/1", "").await.error(404, "unknown_stream");
    ask(&server, &token("eve"), "GET", "/v1/stream/notes/1", "").await.error(404, "unknown_stream");
    let admin = team(json!({"scope": "admin", "executions": []}));
    assert_eq!(ask(&server, &admin, "POST", "/executions/run-1/cancel", "{}").await.status, 202);
    let none = team(json!({"scope": "openid"}));
    ask(&server, &none, "GET", "/executions/run-1", "").await.error(404, "unknown_execution");
}

#[tokio::test]
async fn a_page_is_full_of_what_may_be_seen_and_leads_to_the_next() {
    let server = Server::with_options(options()).await;
    let (ada, eve) = (token("ada"), token("eve"));
    for n in 0..5 {
        assert_eq!(start(&server, &ada, &format!("a{n}")).await.status, 202);
        assert_eq!(start(&server, &eve, &format!("e{n}")).await.status, 202);
    }
    let first = ask(&server, &ada, "GET", "/executions?limit=3", "").await;
    assert_eq!(
        (listed(&first), &first.json()["next"]),
        (vec!["a4".into(), "a3".into(), "a2".into()], &json!("a2"))
    );
    let last = ask(&server, &ada, "GET", "/executions?limit=3&after=a2", "").await;
    assert_eq!((listed(&last), last.json().get("next")), (vec!["a1".into(), "a0".into()], None));
}

#[tokio::test]
async fn idempotency_keys_are_everybodys_own() {
    let server = Server::with_options(options()).await;
    let start = async |token: &str| {
        let authorization = bearer(token);
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &*authorization),
            ("idempotency-key", "1"),
        ];
        let answer = server.ask("POST", "/workflows/held/executions", &headers, r#"{"input":{}}"#).await;
        answer.json()["executionId"].as_str().unwrap().to_owned()
    };
    let (ada, eve) = (token("ada"), token("eve"));
    let first = start(&ada).await;
    assert_ne!(start(&eve).await, first);
    assert_eq!(start(&ada).await, first);
}

/// Nobody stops anything on the day that a token names as holy.
struct Sabbath;

impl AccessPolicy for Sabbath {
    fn allows(&self, principal: &Principal, action: Action, resource: Resource<'_>) -> bool {
        let rests = principal.claim::<bool>("rests").unwrap_or(false);
        (!rests || action != Action::Cancel) && ClaimsPolicy.allows(principal, action, resource)
    }
}

#[tokio::test]
async fn a_policy_of_ones_own_decides_by_claims_of_ones_own() {
    let server = Server::with_policy(options(), std::sync::Arc::new(Sabbath)).await;
    let (rests, works) = (token_with("ada", json!({"rests": true})), token("ada"));
    assert_eq!(start(&server, &rests, "a").await.status, 202);
    ask(&server, &rests, "POST", "/executions/a/cancel", "{}").await.error(403, "forbidden");
    assert_eq!(ask(&server, &works, "POST", "/executions/a/cancel", "{}").await.status, 202);
}

#[tokio::test]
async fn the_sixth_connection_of_a_user_replaces_the_first_and_says_so() {
    let server = Server::with_options(options()).await;
    let (ada, eve) = (token("ada"), token("eve"));
    let mut other = Socket::open_with(&server, &eve).await;
    let mut first = Socket::open_with(&server, &ada).await;
    let mut rest = Vec::new();
    for _ in 0..5 {
        rest.push(Socket::open_with(&server, &ada).await);
    }
    assert_eq!(first.until_close().await.0, Some(4409));
    for socket in rest.iter_mut().chain([&mut other]) {
        socket.send(json!({"type": "ping"})).await;
        socket.expect("pong").await;
    }
    let server = Server::with_options(options().with_max_connections_per_user(1)).await;
    let mut first = Socket::open_with(&server, &ada).await;
    let mut second = Socket::open_with(&server, &ada).await;
    assert_eq!(first.until_close().await.0, Some(4409));
    second.send(json!({"type": "ping"})).await;
    second.expect("pong").await;
}

#[tokio::test]
async fn event_streams_of_one_user_are_bounded() {
    let server = Server::with_options(options().with_max_event_streams_per_user(1)).await;
    let (ada, eve) = (token("ada"), token("eve"));
    for token in [&ada, &eve] {
        assert_eq!(start(&server, token, "a").await.status, 202);
    }
    let authorization = bearer(&ada);
    let stream = server.send("GET", "/executions/a/events", &[("authorization", &authorization)], "").await;
    let log = server.logs.get(&id("a").within(&Tenant::of_subject("ada").unwrap())).unwrap();
    log.subscribers_become(|count| count == 1).await;
    let refused = ask(&server, &ada, "GET", "/executions/a/events", "").await;
    refused.error(429, "too_many_event_streams");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(stream);
    log.subscribers_become(|count| count == 0).await;
    ask(&server, &ada, "POST", "/executions/a/cancel", "{}").await;
    assert_eq!(ask(&server, &ada, "GET", "/executions/a/events", "").await.status, 200);
}
