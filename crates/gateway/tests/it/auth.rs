//! Who is let in, and for how long.

use std::{fs, time::Duration};

use futures_util::SinkExt as _;
use jsonwebtoken::{Algorithm as Jwa, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use streamnest_core::Tenant;
use streamnest_gateway::{Algorithm, AuthenticationOptions, GatewayOptions, Revocation, TokenKey};
use streamnest_log::Writer;

use crate::{
    engine::say,
    server::{Answer, Server},
    socket::{Socket, contents},
    token::{SECRET, authentication, bearer, options, seconds, sign, token, token_with},
};

async fn ask(server: &Server, token: &str) -> Answer {
    server.ask("GET", "/executions", &[("authorization", &bearer(token))], "").await
}

/// Checks that a server of `options` is not made, because of this.
fn refused(authentication: AuthenticationOptions) -> String {
    let error = GatewayOptions::default().with_authentication(Some(authentication)).validate().unwrap_err();
    assert_eq!(error.code(), "invalid_option");
    error.to_string()
}

/// A kind of key, one of it, its public half, and what it is used with.
type KeyPair = (&'static str, &'static str, &'static str, &'static [(Algorithm, Jwa)]);

const KEYS: [KeyPair; 4] = [
    (
        "rsa",
        include_str!("keys/rsa.pem"),
        include_str!("keys/rsa.pub.pem"),
        &[
            (Algorithm::Rs256, Jwa::RS256),
            (Algorithm::Rs384, Jwa::RS384),
            (Algorithm::Rs512, Jwa::RS512),
            (Algorithm::Ps256, Jwa::PS256),
            (Algorithm::Ps384, Jwa::PS384),
            (Algorithm::Ps512, Jwa::PS512),
        ],
    ),
    (
        "ec",
        include_str!("keys/p256.pem"),
        include_str!("keys/p256.pub.pem"),
        &[(Algorithm::Es256, Jwa::ES256)],
    ),
    (
        "ec",
        include_str!("keys/p384.pem"),
        include_str!("keys/p384.pub.pem"),
        &[(Algorithm::Es384, Jwa::ES384)],
    ),
    (
        "ed",
        include_str!("keys/ed25519.pem"),
        include_str!("keys/ed25519.pub.pem"),
        &[(Algorithm::EdDsa, Jwa::EdDSA)],
    ),
];

fn signing(kind: &str, pem: &str) -> EncodingKey {
    match kind {
        "rsa" => EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        "ec" => EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
        _ => EncodingKey::from_ed_pem(pem.as_bytes()).unwrap(),
    }
}

fn jwk(kind: &str, pem: &str, algorithm: Jwa, id: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(&signing(kind, pem), algorithm).unwrap();
    jwk.common.key_id = Some(id.into());
    serde_json::to_value(jwk).unwrap()
}

/// A token of `ada` for an hour, by a key of a set.
fn signed(kind: &str, pem: &str, algorithm: Jwa, id: &str) -> String {
    let header = Header { kid: Some(id.into()), ..Header::new(algorithm) };
    encode(&header, &json!({"sub": "ada", "exp": seconds(3600)}), &signing(kind, pem)).unwrap()
}

#[tokio::test]
async fn tokens_of_every_algorithm_are_taken_where_it_is_allowed_and_nowhere_else() {
    let claims = json!({"sub": "ada", "exp": seconds(3600)});
    for (kind, private, public, algorithms) in KEYS {
        for (allowed, _) in algorithms {
            let key = TokenKey::public(public, [*allowed]);
            let server = Server::with_options(
                GatewayOptions::default().with_authentication(Some(AuthenticationOptions::new(key))),
            )
            .await;
            for (algorithm, jwa) in algorithms {
                let token = encode(&Header::new(*jwa), &claims, &signing(kind, private)).unwrap();
                let status = ask(&server, &token).await.status;
                assert_eq!(
                    status,
                    if algorithm == allowed { 200 } else { 401 },
                    "{algorithm:?} for {allowed:?}"
                );
            }
        }
    }
    for (algorithm, jwa) in
        [(Algorithm::Hs256, Jwa::HS256), (Algorithm::Hs384, Jwa::HS384), (Algorithm::Hs512, Jwa::HS512)]
    {
        let key = TokenKey::Secret { secret: SECRET.into(), algorithms: vec![algorithm], id: None };
        let options = GatewayOptions::default().with_authentication(Some(AuthenticationOptions::new(key)));
        let server = Server::with_options(options).await;
        assert_eq!(ask(&server, &sign(&Header::new(jwa), &claims, SECRET)).await.status, 200);
    }
}

#[tokio::test]
async fn keys_and_options_that_protect_nothing_are_refused_at_start() {
    assert!(refused(AuthenticationOptions::new(TokenKey::secret("x".repeat(31)))).contains("31 bytes"));
    let foreign = TokenKey::Secret { secret: SECRET.into(), algorithms: vec![Algorithm::Rs256], id: None };
    assert!(refused(AuthenticationOptions::new(foreign)).contains("Rs256"));
    let mixed = TokenKey::public(include_str!("keys/rsa.pub.pem"), [Algorithm::Rs256, Algorithm::Hs256]);
    assert!(refused(AuthenticationOptions::new(mixed)).contains("Hs256"));
    let none = TokenKey::public(include_str!("keys/rsa.pub.pem"), []);
    assert!(refused(AuthenticationOptions::new(none)).contains("without an RS"));
    let broken =
        TokenKey::public("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", [Algorithm::Es256]);
    assert!(refused(AuthenticationOptions::new(broken)).contains("cannot be read"));
    let missing = TokenKey::set_file("/nonexistent/keys.json", [Algorithm::Es256]);
    assert!(refused(AuthenticationOptions::new(missing)).contains("/nonexistent/keys.json"));
    assert!(refused(authentication().with_leeway(Duration::from_secs(301))).contains("leeway"));
    assert!(refused(authentication().with_deadline(Duration::ZERO)).contains("deadline"));
    assert!(refused(authentication().with_cookie(Some("a b".into()))).contains("cookie"));
    let shown = format!("{:?}", authentication());
    assert!(shown.contains("[redacted]") && !shown.contains(SECRET), "{shown}");
}

#[tokio::test]
async fn no_key_is_out_of_reach_and_tokens_without_a_name_of_theirs_are_tried_with_eight() {
    let secret = |n: usize| format!("{n:02}{SECRET}");
    let by = |n: usize, kid: Option<&str>| {
        let header = Header { kid: kid.map(Into::into), ..Header::new(Jwa::HS256) };
        sign(&header, &json!({"sub": "ada", "exp": seconds(60)}), &secret(n))
    };
    let keys = |count, named: bool| {
        let key = |n| match named {
            true => TokenKey::secret(secret(n)).with_id(n.to_string()),
            false => TokenKey::secret(secret(n)),
        };
        (1..count).fold(AuthenticationOptions::new(key(0)), |all, n| all.with_key(key(n)))
    };
    let serve =
        async |keys| Server::with_options(GatewayOptions::default().with_authentication(Some(keys))).await;
    let told = refused(keys(9, false));
    assert!(told.contains("more than 8 keys for HS256") && told.contains("`kid`"), "{told}");
    let server = serve(keys(8, false)).await;
    assert_eq!(ask(&server, &by(7, None)).await.status, 200);
    let server = serve(keys(9, true)).await;
    assert_eq!(ask(&server, &by(8, Some("8"))).await.status, 200);
    assert_eq!(
        (ask(&server, &by(7, None)).await.status, ask(&server, &by(8, None)).await.status),
        (200, 401)
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let mut unnamed = jwk("ec", KEYS[1].1, Jwa::ES256, "");
    unnamed.as_object_mut().unwrap().remove("kid");
    fs::write(&path, json!({"keys": vec![unnamed; 9]}).to_string()).unwrap();
    let told = refused(AuthenticationOptions::new(TokenKey::set_file(&path, [Algorithm::Es256])));
    assert!(told.contains("keys.json") && told.contains("more than 8 keys for ES256"), "{told}");
}

#[tokio::test]
async fn a_set_of_keys_in_a_file_may_change_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let (old, new) = (jwk("rsa", KEYS[0].1, Jwa::RS256, "old"), jwk("ec", KEYS[1].1, Jwa::ES256, "new"));
    let write = |keys: Value| fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
    write(json!([old, {"kty": "unheard of", "kid": "x"}]));
    let key = TokenKey::set_file(&path, [Algorithm::Rs256, Algorithm::Es256]);
    // It is read for each token.
    let authentication = AuthenticationOptions::new(key).with_key_refresh(Duration::from_nanos(1));
    let server =
        Server::with_options(GatewayOptions::default().with_authentication(Some(authentication))).await;
    let (by_old, by_new) =
        (signed("rsa", KEYS[0].1, Jwa::RS256, "old"), signed("ec", KEYS[1].1, Jwa::ES256, "new"));
    assert_eq!((ask(&server, &by_old).await.status, ask(&server, &by_new).await.status), (200, 401));
    write(json!([old, new]));
    assert_eq!((ask(&server, &by_old).await.status, ask(&server, &by_new).await.status), (200, 200));
    write(json!([new]));
    assert_eq!((ask(&server, &by_old).await.status, ask(&server, &by_new).await.status), (401, 200));
    // While somebody writes it, the keys stay.
    fs::write(&path, "{\"keys\": [").unwrap();
    assert_eq!(ask(&server, &by_new).await.status, 200);
    // A name that is right with a key that is another's is no way in.
    assert_eq!(ask(&server, &signed("rsa", KEYS[0].1, Jwa::RS256, "new")).await.status, 401);
    // A socket gets its answer, though the set is old again as soon as it was read.
    let mut socket = Socket::open(&server).await;
    socket.send(json!({"type": "authentication", "payload": {"token": by_new}})).await;
    socket.expect("authentication_success").await;
}

#[tokio::test]
async fn a_key_that_is_withdrawn_ends_who_came_by_it_and_a_set_without_keys_withdraws_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let (old, new) = (jwk("rsa", KEYS[0].1, Jwa::RS256, "old"), jwk("ec", KEYS[1].1, Jwa::ES256, "new"));
    let write = |keys: Value| fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
    write(json!([old, new]));
    let set = TokenKey::set_file(&path, [Algorithm::Rs256, Algorithm::Es256]);
    let keys = authentication().with_key(set).with_key_refresh(Duration::from_nanos(1));
    let server = Server::with_options(options().with_authentication(Some(keys))).await;
    let open = async |token: &str| {
        let headers = [("authorization", &*bearer(token))];
        let (mut socket, _) = Socket::shake(&server, "/ws", &headers).await.unwrap();
        socket.expect("connected").await;
        socket
    };
    let (by_old, by_new) =
        (signed("rsa", KEYS[0].1, Jwa::RS256, "old"), signed("ec", KEYS[1].1, Jwa::ES256, "new"));
    let by_secret = token_with("root", json!({"scope": "admin operate"}));
    let (mut of_old, mut of_new, mut of_secret) =
        (open(&by_old).await, open(&by_new).await, open(&by_secret).await);
    let headers = [("content-type", "application/json"), ("authorization", &*bearer(&by_old))];
    let ticket = server.ask("POST", "/tickets", &headers, "{}").await.json()["ticket"].clone();
    server.ask("POST", "/workflows/held/executions", &headers, r#"{"input":{},"executionId":"a"}"#).await;
    let stream = server.ask("GET", "/executions/a/events", &headers[1..], "");
    let withdraw = async {
        let followed = crate::engine::id("a").within(&Tenant::of_subject("ada").unwrap());
        server.logs.get(&followed).unwrap().subscribers_become(|count| count > 0).await;
        // The same key with other words about it is the same one.
        let mut renewed = new.clone();
        renewed["x5t"] = json!("abc");
        write(json!([renewed]));
    };
    let (stream, ()) = tokio::join!(stream, withdraw);
    assert!(stream.body.contains("running") && !stream.body.contains("completed"), "{stream:?}");
    assert_eq!(of_old.until_close().await.0, Some(4401));
    ask(&server, &by_old).await.error(401, "invalid_token");
    server.get(&format!("/executions?ticket={}", ticket.as_str().unwrap())).await.error(401, "token_revoked");
    of_new.send(json!({"type": "ping"})).await;
    of_new.expect("pong").await;
    write(json!([]));
    assert_eq!(of_new.until_close().await.0, Some(4401));
    ask(&server, &by_new).await.error(401, "invalid_token");
    // What is no set says nothing about keys: there are none before and after, and it is counted.
    fs::write(&path, "").unwrap();
    let headers = [("authorization", &*bearer(&by_secret))];
    loop {
        let metrics = server.ask("GET", "/metrics", &headers, "").await.body;
        if !metrics.contains("streamnest_key_set_readings_total{outcome=\"failed\"} 0\n") {
            break;
        }
    }
    ask(&server, &by_new).await.error(401, "invalid_token");
    write(json!([new]));
    while ask(&server, &by_new).await.status != 200 {}
    of_secret.send(json!({"type": "ping"})).await;
    of_secret.expect("pong").await;
}

#[tokio::test]
async fn a_set_without_keys_is_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    for keys in [json!([]), json!([{"kty": "unheard of"}])] {
        fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
        let set = TokenKey::set_file(&path, [Algorithm::Es256]);
        assert!(refused(AuthenticationOptions::new(set)).contains("holds no key"), "{keys}");
    }
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
    let authentication = authentication()
        .with_deadline(Duration::from_millis(200))
        .with_max_unauthenticated_message_bytes(1_000);
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
    let (mut socket, _) = Socket::shake(&server, "/ws", &[("authorization", &bearer(&token))]).await.unwrap();
    socket.expect("connected").await;
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
async fn a_token_is_renewed_in_place_without_a_gap_and_only_by_the_same_subject() {
    let server = Server::with_options(options()).await;
    // It is renewed at half of that, and a machine that has much to do has the other half for it.
    let expires = seconds(8);
    let first = token_with("ada", json!({"exp": expires}));
    let (mut socket, _) = Socket::shake(&server, "/ws", &[("authorization", &bearer(&first))]).await.unwrap();
    socket.expect("connected").await;
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

#[tokio::test]
async fn who_administers_revokes_within_its_tenant() {
    let server = Server::with_options(options()).await;
    let open = async |token: &str| {
        let (mut socket, _) =
            Socket::shake(&server, "/ws", &[("authorization", &bearer(token))]).await.unwrap();
        socket.expect("connected").await;
        socket
    };
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

#[tokio::test]
async fn what_is_revoked_ends_at_once_and_comes_back_only_with_a_newer_token() {
    let server = Server::with_options(options()).await;
    let open = async |token: &str| {
        let (mut socket, _) =
            Socket::shake(&server, "/ws", &[("authorization", &bearer(token))]).await.unwrap();
        socket.expect("connected").await;
        socket
    };
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
