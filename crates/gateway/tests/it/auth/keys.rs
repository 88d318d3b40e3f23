//! Keys for tokens, one by one and in sets that change.

use std::{fs, time::Duration};

use jsonwebtoken::{Algorithm as Jwa, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use streamnest_core::Tenant;
use streamnest_gateway::{Algorithm, AuthenticationOptions, GatewayOptions, TokenKey};

use super::ask;
use crate::{
    server::Server,
    socket::Socket,
    token::{SECRET, authentication, bearer, options, seconds, sign, token_with},
};
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
        include_str!("../keys/rsa.pem"),
        include_str!("../keys/rsa.pub.pem"),
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
        include_str!("../keys/p256.pem"),
        include_str!("../keys/p256.pub.pem"),
        &[(Algorithm::Es256, Jwa::ES256)],
    ),
    (
        "ec",
        include_str!("../keys/p384.pem"),
        include_str!("../keys/p384.pub.pem"),
        &[(Algorithm::Es384, Jwa::ES384)],
    ),
    (
        "ed",
        include_str!("../keys/ed25519.pem"),
        include_str!("../keys/ed25519.pub.pem"),
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
    let mixed = TokenKey::public(include_str!("../keys/rsa.pub.pem"), [Algorithm::Rs256, Algorithm::Hs256]);
    assert!(refused(AuthenticationOptions::new(mixed)).contains("Hs256"));
    let none = TokenKey::public(include_str!("../keys/rsa.pub.pem"), []);
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
    // However many others there are, one that a token names is not out of its reach.
    let server = serve(keys(8, false).with_key(TokenKey::secret(secret(8)).with_id("8"))).await;
    assert_eq!(ask(&server, &by(8, Some("8"))).await.status, 200);
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
