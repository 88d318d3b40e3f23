//! Who already is somebody, and wants to be more.

use std::fs;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use streamnest_gateway::{Algorithm as Allowed, AuthenticationOptions, GatewayOptions, TokenKey};

use super::watch::Watch;
use crate::{
    engine::{id, say},
    server::Server,
    socket::{Socket, contents},
    token::{bearer, seconds, token, token_with},
};

/// Every entry that somebody gets of a run, by event stream up to now.
async fn text(watch: &Watch, authorization: &str, path: &str) -> String {
    watch.server.ask("GET", path, &[("authorization", authorization)], "").await.body
}

pub(crate) async fn run(watch: &mut Watch) {
    let eve = bearer(&token_with("eve", json!({"scope": "admin produce"})));
    let headers = [("authorization", &*eve), ("content-type", "application/json")];
    // The id of another's run is free in one's own tenant, and leads nowhere else.
    let start = json!({"input": {}, "executionId": "run-of-ada"}).to_string();
    let started = watch.server.ask("POST", "/workflows/held/executions", &headers, &start).await;
    watch.took("taking the id of another's run", 202, started.status).await;
    let own = id("run-of-ada").within(&streamnest_core::Tenant::of_subject("eve").unwrap());
    let writer = watch.server.logs.writer(&own).unwrap();
    say(&writer, 900_000, 900_003).await;
    let read = text(watch, &eve, "/v1/stream/executions/run-of-ada").await;
    let came: Vec<Value> = serde_json::from_str(&read).unwrap();
    watch.took("reading it", "[\"900000\", \"900001\", \"900002\"]", format!("{:?}", contents(&came))).await;
    // A position of another's run, in a run of one's own.
    let ada = bearer(&token("ada"));
    let ada_read = text(watch, &ada, "/v1/stream/executions/run-of-ada").await;
    let of_ada: Vec<Value> = serde_json::from_str(&ada_read).unwrap();
    let foreign = of_ada[1]["position"].as_str().unwrap().to_owned();
    for path in [
        format!("/executions/run-of-ada/events?from={foreign}"),
        format!("/v1/stream/executions/run-of-ada?offset={foreign}"),
        format!("/v1/stream/executions/run-of-ada?offset={foreign}&live=sse"),
    ] {
        let mut stream = watch.server.send("GET", &path, &[("authorization", &eve)], "").await;
        let mut came = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut came);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), reading).await;
        let came = String::from_utf8_lossy(&came).into_owned();
        let is_foreign = of_ada.iter().any(|entry| {
            let content = entry["payload"]["content"].as_str().unwrap_or("none");
            came.contains(&format!("\"content\":\"{content}\""))
        });
        watch.took(format!("a foreign position at {path}"), false, is_foreign).await;
    }
    // A second subscription, on a socket that may have the first.
    let (mut socket, _) = Socket::shake(&watch.server, "/ws", &[("authorization", &eve)]).await.unwrap();
    socket.expect("connected").await;
    socket.subscribe(json!({"executionId": "run-of-ada", "from": "now", "subscription": "a"})).await;
    let colleague = bearer(&token_with("mallory", json!({"tenant": "acme", "executions": "mallory-*"})));
    let start = json!({"input": {}, "executionId": "mallory-1"}).to_string();
    let headers = [("authorization", &*colleague), ("content-type", "application/json")];
    assert_eq!(watch.server.ask("POST", "/workflows/held/executions", &headers, &start).await.status, 202);
    let (mut second, _) =
        Socket::shake(&watch.server, "/ws", &[("authorization", &colleague)]).await.unwrap();
    second.expect("connected").await;
    second.subscribe(json!({"executionId": "mallory-1", "subscription": "a"})).await;
    second.expect("status").await;
    for (name, subscription) in [("a second subscription", "b"), ("the same name once more", "a")] {
        let payload = json!({"executionId": "run-of-ada", "subscription": subscription});
        second.send(json!({"type": "subscribe_execution", "payload": payload})).await;
        let came = second.next().await["payload"]["code"].as_str().unwrap_or_default().to_owned();
        watch.took(format!("{name}, to another's run"), "unknown_execution", came).await;
    }
    // What is said with line breaks and NUL stands in its field and nowhere else.
    say_with_breaks(watch, &eve).await;
    scopes(watch).await;
    ticket(watch).await;
    revocations(watch).await;
    rotation(watch).await;
}

/// An operator's mistake and a tenant's flood: neither is kept, and no token that is sent stands in what is logged.
async fn revocations(watch: &mut Watch) {
    let root = bearer(&token_with("root", json!({"tenant": "revoking", "scope": "admin"})));
    let stolen = token_with("ada", json!({"tenant": "revoking", "jti": "stolen"}));
    watch.secret(&stolen);
    let headers = [("authorization", &*root), ("content-type", "application/json")];
    let huge = "a".repeat(1_000_000);
    for (name, body) in [
        ("a whole token as `token`", json!({"token": stolen})),
        ("a whole token as `jti`", json!({"jti": stolen})),
        ("a whole token as `subject`", json!({"subject": stolen})),
        ("a `jti` of a megabyte", json!({"jti": huge})),
        ("a subject of a megabyte", json!({"subject": huge})),
    ] {
        let came = watch.server.ask("POST", "/admin/revocations", &headers, &body.to_string()).await.status;
        watch.took(format!("{name}, revoked"), 400, came).await;
    }
    let revoked = json!({"jti": "stolen"}).to_string();
    let came = watch.server.ask("POST", "/admin/revocations", &headers, &revoked).await.status;
    assert_eq!(came, 200);
    let shown = bearer(&stolen);
    let came = watch.server.ask("GET", "/executions", &[("authorization", &shown)], "").await.status;
    watch.took("a token that is revoked by its `jti`", 401, came).await;
}

/// Every scope but the one that is needed, within one tenant, by every door: what is seen and not allowed is 403, what is not seen 404.
async fn scopes(watch: &mut Watch) {
    let grace =
        bearer(&token_with("grace", json!({"tenant": "scopes", "scope": "start produce cancel read"})));
    let headers = [("authorization", &*grace), ("content-type", "application/json")];
    let ended = json!({"input": {}, "executionId": "ended"}).to_string();
    let started = watch.server.ask("POST", "/workflows/echo/executions", &headers, &ended).await;
    assert_eq!(started.status, 202, "{started:?}");
    let stands = async || watch.server.ask("GET", "/executions/ended", &headers, "").await.json();
    let mut patience = 1_000;
    while stands().await["status"] != "completed" && patience > 0 {
        patience -= 1;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(stands().await["status"], "completed", "what is not to be forgotten could be");
    for path in ["/v1/stream/executions/outside", "/v1/stream/plain"] {
        assert_eq!(watch.server.ask("PUT", path, &headers, "").await.status, 201, "{path}");
    }
    let close = [headers[0], headers[1], ("stream-closed", "true")];
    let closed = watch.server.ask("POST", "/v1/stream/executions/outside", &close, "").await;
    assert_eq!(closed.status, 204, "{closed:?}");
    let start = r#"{"input":{},"executionId":"of-eve"}"#;
    let answer = r#"{"ask":"ask1","answer":{"publish":true}}"#;
    for (needed, method, path, body) in [
        ("cancel", "DELETE", "/executions/ended", ""),
        ("cancel", "DELETE", "/v1/stream/executions/ended", ""),
        ("cancel", "DELETE", "/executions/outside", ""),
        ("cancel", "DELETE", "/v1/stream/executions/outside", ""),
        ("cancel", "POST", "/executions/ended/cancel", "{}"),
        ("produce", "DELETE", "/v1/stream/plain", ""),
        ("produce", "POST", "/v1/stream/plain", "[1]"),
        ("produce", "PUT", "/v1/stream/new", ""),
        ("produce", "PUT", "/v1/stream/executions/new", ""),
        ("produce", "POST", "/v1/stream/executions/outside", r#"{"type":"token"}"#),
        ("start", "POST", "/workflows/echo/executions", start),
        ("start", "POST", "/executions/ended/signals", answer),
        ("read", "GET", "/executions/ended", ""),
        ("read", "GET", "/executions/ended/events", ""),
        ("read", "GET", "/v1/stream/executions/ended", ""),
        ("read", "HEAD", "/v1/stream/executions/ended", ""),
        ("read", "GET", "/v1/stream/plain", ""),
    ] {
        let all = ["read", "start", "cancel", "produce", "operate"];
        let scope: Vec<_> = all.into_iter().filter(|scope| *scope != needed).collect();
        let eve = bearer(&token_with("eve", json!({"tenant": "scopes", "scope": scope.join(" ")})));
        let headers = [("authorization", &*eve), ("content-type", "application/json")];
        let came = watch.server.ask(method, path, &headers, body).await.status;
        let expected = if needed == "read" { 404 } else { 403 };
        watch.took(format!("{method} {path} by every scope but {needed}"), expected, came).await;
    }
    // Who may produce and not read learns of nothing by appending to it, and of no place where it is kept.
    let blind = bearer(&token_with("eve", json!({"tenant": "scopes", "scope": "produce"})));
    let headers_of_blind = [("authorization", &*blind), ("content-type", "application/json")];
    let mut told = Vec::new();
    for name in ["ended", "never"] {
        let path = format!("/v1/stream/executions/{name}");
        let came = watch.server.ask("POST", &path, &headers_of_blind, r#"{"type":"token"}"#).await;
        told.push((came.status, came.body.replace(name, "x")));
    }
    watch.took("appending to a run unseen", 404, told[0].0).await;
    watch.took("appending to a run unseen, or to none", true, told[0] == told[1]).await;
    let reading =
        async |path: &str| watch.server.ask("GET", path, &headers, "").await.error(404, "unknown_stream");
    let message = reading("/v1/stream/deep/down").await;
    assert!(message.contains("`deep/down`"), "{message}");
    watch.took("a stream that is not there, named as it was asked", false, message.contains("scopes")).await;
    // All of it is still there, and whoever may do so forgets it.
    for path in ["/v1/stream/executions/ended", "/executions/outside", "/v1/stream/plain"] {
        let came = watch.server.ask("DELETE", path, &headers, "").await.status;
        assert!([202, 204].contains(&came), "{path}: {came}");
    }
}

async fn say_with_breaks(watch: &mut Watch, eve: &str) {
    let headers = [("authorization", eve), ("content-type", "application/json")];
    let made = watch.server.ask("PUT", "/v1/stream/executions/breaks", &headers, "").await;
    assert_eq!(made.status, 201, "{made:?}");
    for (name, content) in [
        ("a line break", "a\nid: 9\ndata: {\"type\":\"status\",\"payload\":{\"status\":\"failed\"}}\n\n"),
        ("a carriage return", "a\rdata: x\r\revent: error\r"),
        ("NUL", "a\u{0}b"),
        ("line separators", "a\u{2028}b\u{2029}c\u{85}d"),
    ] {
        let body = json!([{"type": "token", "nodeId": "write", "payload": {"content": content}}]).to_string();
        let said = watch.server.ask("POST", "/v1/stream/executions/breaks", &headers, &body).await;
        assert!([200, 204].contains(&said.status), "{said:?}");
        let mut stream =
            watch.server.send("GET", "/executions/breaks/events", &[("authorization", eve)], "").await;
        let mut came = Vec::new();
        while !String::from_utf8_lossy(&came).contains("\"content\":\"a") || !came.ends_with(b"\n\n\r\n") {
            assert!(tokio::io::AsyncReadExt::read_buf(&mut stream, &mut came).await.unwrap() > 0);
        }
        let came = crate::server::Answer::parse(&came).body;
        // By the standard's rules: every line is a comment, or one of these fields; and each event's data is one frame.
        let lines = came.split(['\n', '\r']).filter(|line| !line.is_empty());
        let legal = lines.clone().all(|line| {
            line.starts_with(':') || ["id: ", "data: ", "retry: "].iter().any(|field| line.starts_with(field))
        });
        let whole = lines
            .filter_map(|line| line.strip_prefix("data: "))
            .all(|data| serde_json::from_str::<Value>(data).is_ok_and(|frame| frame["type"] != "error"));
        watch.took(format!("{name} in what is said"), true, legal && whole && !came.contains('\0')).await;
    }
    let event = |kind: &str| json!([{"type": "event", "payload": {"type": kind, "data": {}}}]);
    let token = |node: &str| json!([{"type": "token", "nodeId": node, "payload": {"content": "a"}}]);
    for (name, entries) in [
        ("a line break in an event's type", event("a\ndata: x")),
        ("a carriage return in an event's type", event("a\rid: 9")),
        ("NUL in an event's type", event("a\0")),
        ("a line break in a node's name", token("a\nINFO forged")),
        ("NUL in a node's name", token("a\0")),
    ] {
        let path = "/v1/stream/executions/breaks";
        let said = watch.server.ask("POST", path, &headers, &entries.to_string()).await;
        watch.took(name, 400, said.status).await;
    }
    // Whoever may stop a run says why, and that is logged or not, but on a line of its own in no case.
    let reason = json!({"reason": "enough\nINFO forged\r\u{1b}[2J\0"}).to_string();
    let stopped = watch.server.ask("POST", "/executions/run-of-ada/cancel", &headers, &reason).await;
    watch.took("a line break in the reason of a cancel", 202, stopped.status).await;
}

async fn ticket(watch: &mut Watch) {
    let ada = bearer(&token("ada"));
    let headers = [("authorization", &*ada), ("content-type", "application/json")];
    let ticket = watch.server.ask("POST", "/tickets", &headers, "{}").await.json()["ticket"].clone();
    let ticket = ticket.as_str().unwrap();
    watch.secret(ticket);
    let path = format!("/executions?ticket={ticket}");
    watch.took("a ticket, used once", 200, watch.server.get(&path).await.status).await;
    watch.took("a ticket, replayed", 401, watch.server.get(&path).await.status).await;
    let (mut socket, _) = Socket::shake(&watch.server, &format!("/ws?ticket={ticket}"), &[]).await.unwrap();
    let (code, _) = socket.until_close().await;
    watch.took("a ticket, replayed for a socket", "Some(4401)", format!("{code:?}")).await;
    let ticket = watch.server.ask("POST", "/tickets", &headers, "{}").await.json()["ticket"].clone();
    let ticket = ticket.as_str().unwrap();
    watch.secret(ticket);
    let path = format!("/executions?ticket={ticket}");
    let all = futures_util::future::join_all((0..32).map(|_| watch.server.get(&path))).await;
    let taken = all.iter().filter(|answer| answer.status == 200).count();
    let refused = all.iter().filter(|answer| answer.status == 401).count();
    watch
        .took(
            "a ticket, 32 times at once",
            "1 taken, 31 refused",
            format!("{taken} taken, {refused} refused"),
        )
        .await;
    // One after the other they would be a key that lasts, so none opens more than a look.
    let all = bearer(&token_with("ada", json!({"scope": "read start cancel produce admin operate"})));
    let headers = [("authorization", &*all), ("content-type", "application/json")];
    let start = r#"{"input":{},"executionId":"by-ticket"}"#;
    let plain = [("content-type", "application/json")];
    let socket = [plain[0], ("connection", "upgrade"), ("upgrade", "websocket")];
    let ticket = watch.server.ask("POST", "/tickets", &headers, "{}").await.json()["ticket"].clone();
    let ticket = ticket.as_str().unwrap();
    watch.secret(ticket);
    for (method, path, headers, body) in [
        ("POST", "/tickets", &plain[..], "{}"),
        ("POST", "/tickets", &socket, "{}"),
        ("POST", "/workflows/held/executions", &plain, start),
        ("POST", "/executions/run-of-ada/cancel", &plain, "{}"),
        ("DELETE", "/executions/run-of-ada", &plain, ""),
        ("PUT", "/v1/stream/by-ticket", &plain, ""),
        ("POST", "/admin/revocations", &plain, r#"{"subject":"ada"}"#),
        ("GET", "/admin/statistics", &plain, ""),
        ("GET", "/metrics", &plain, ""),
    ] {
        let path_with = format!("{path}?ticket={ticket}");
        let came = watch.server.ask(method, &path_with, headers, body).await;
        let came = (came.status, came.json()["error"]["code"].clone());
        let expected = (403, json!("ticket_not_allowed"));
        let name = format!("{method} {path} by a ticket, {} headers", headers.len());
        watch.took(name, format!("{expected:?}"), format!("{came:?}")).await;
    }
    // It is the same ticket still.
    let path = format!("/executions/run-of-ada?ticket={ticket}");
    watch.took("a ticket, for what it is for", 200, watch.server.get(&path).await.status).await;
}

/// A key that was taken out of its set is good for nothing any more.
async fn rotation(watch: &mut Watch) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let key = EncodingKey::from_rsa_pem(include_str!("../keys/rsa.pem").as_bytes()).unwrap();
    let newer = EncodingKey::from_ec_pem(include_str!("../keys/p256.pem").as_bytes()).unwrap();
    let jwk = |key: &EncodingKey, algorithm, id: &str| {
        let mut jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(key, algorithm).unwrap();
        jwk.common.key_id = Some(id.into());
        jwk
    };
    let write = |keys: Value| fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
    write(json!([jwk(&key, Algorithm::RS256, "old")]));
    let set = TokenKey::set_file(&path, [Allowed::Rs256, Allowed::Es256]);
    let authentication = AuthenticationOptions::new(set).with_key_refresh(std::time::Duration::from_nanos(1));
    let options = GatewayOptions::default().with_authentication(Some(authentication));
    let server = Server::with_options(options).await;
    let header = Header { kid: Some("old".into()), ..Header::new(Algorithm::RS256) };
    let claims = json!({"sub": "ada", "exp": seconds(3600)});
    let signed = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    watch.secret(&signed);
    let authorization = bearer(&signed);
    let headers = [("authorization", &*authorization)];
    let before = server.ask("GET", "/executions", &headers, "").await.status;
    assert_eq!(before, 200, "while its key is there");
    write(json!([jwk(&newer, Algorithm::ES256, "new")]));
    let mut came = 200;
    for _ in 0..1_000 {
        came = server.ask("GET", "/executions", &headers, "").await.status;
        if came != 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    watch.took("a token whose key was rotated out", 401, came).await;
}
