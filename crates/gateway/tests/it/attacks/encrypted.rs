//! The same doors by TLS, over HTTP/1.1 and HTTP/2: what is checked there must not hang on how a request came.

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use streamnest_gateway::{Algorithm, GatewayOptions, TokenKey};
use tokio_util::task::AbortOnDropHandle;

use super::{
    forged::{flipped, raw},
    watch::Watch,
};
use crate::{
    server::Server,
    tls::{FIRST, connect, files},
    token::{SECRET, authentication, bearer, seconds, sign, token, token_with},
};

const PROTOCOLS: [&str; 2] = ["http/1.1", "h2"];

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// Sends one request by a connection of its own. `None` if none is answered.
async fn send(
    server: &Server,
    protocol: &str,
    (method, path, headers, body): (&str, &str, &[(&str, &str)], &str),
) -> Option<Response<Bytes>> {
    let stream = connect(server, FIRST.0, protocol).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    let mut request = Request::builder().method(method);
    let named = headers.iter().find(|(name, _)| *name == "host").map(|(_, host)| (*host).to_owned());
    let host = named.unwrap_or_else(|| format!("localhost:{}", server.address.port()));
    request = match protocol {
        "h2" => request.uri(format!("https://{host}{path}")),
        _ => request.uri(path).header("host", &host),
    };
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let io = TokioIo::new(stream);
    let (response, _driving): (hyper::Result<Response<Incoming>>, AbortOnDropHandle<hyper::Result<()>>) =
        if protocol == "h2" {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            let driving = AbortOnDropHandle::new(tokio::spawn(connection));
            (sender.send_request(request).await, driving)
        } else {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            let driving = AbortOnDropHandle::new(tokio::spawn(connection));
            (sender.send_request(request).await, driving)
        };
    let (head, body) = response.ok()?.into_parts();
    Some(Response::from_parts(head, body.collect().await.ok()?.to_bytes()))
}

async fn status(server: &Server, protocol: &str, request: (&str, &str, &[(&str, &str)], &str)) -> u16 {
    send(server, protocol, request).await.map_or(0, |response| response.status().as_u16())
}

pub(crate) async fn run(watch: &mut Watch) {
    let (_folder, tls) = files(FIRST);
    let authentication = authentication()
        .with_key(TokenKey::public(include_str!("../keys/rsa.pub.pem"), [Algorithm::Rs256]).with_id("rsa"))
        .with_cookie(Some("session".into()));
    let options = GatewayOptions::default().with_tls(Some(tls)).with_authentication(Some(authentication));
    let server = Server::with_options(options).await;
    for protocol in PROTOCOLS {
        tokens(watch, &server, protocol).await;
        pages(watch, &server, protocol).await;
        rights(watch, &server, protocol).await;
    }
    server.stopped().await;
}

async fn tokens(watch: &mut Watch, server: &Server, protocol: &str) {
    let good = token("ada");
    let claims = json!({"sub": "ada", "exp": seconds(3600)});
    let none = raw(r#"{"alg":"none"}"#, &claims.to_string(), "");
    let header = jsonwebtoken::Header {
        kid: Some("rsa".into()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
    };
    let confused = sign(&header, &claims, include_str!("../keys/rsa.pub.pem"));
    let hs512 = sign(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS512), &claims, SECRET);
    for (name, token, expected) in [
        ("a good token", good.clone(), 200),
        ("alg none", none, 401),
        ("a public key as a secret", confused, 401),
        ("an algorithm that is not allowed", hs512, 401),
        ("a character changed", flipped(&good, good.len() / 2), 401),
        ("a signature cut off", good[..good.len() - 1].to_owned(), 401),
        ("an expired token", token_with("ada", json!({"exp": seconds(-1)})), 401),
        ("an audience of another", token_with("ada", json!({"aud": "another"})), 401),
        ("a token over the limit", token_with("ada", json!({"x": "x".repeat(6_100)})), 401),
    ] {
        watch.secret(&token);
        let authorization = bearer(&token);
        let came =
            status(server, protocol, ("GET", "/executions", &[("authorization", &authorization)], "")).await;
        watch.took(format!("{name}, {protocol} by TLS"), expected, came).await;
    }
    let authorization = bearer(&good);
    let padding = "x".repeat(20 << 10);
    let cases: [(&str, Headers<'_>, u16); 2] = [
        ("two tokens", vec![("authorization", &authorization), ("authorization", &authorization)], 400),
        ("no token", vec![], 401),
    ];
    for (name, headers, expected) in cases {
        let came = status(server, protocol, ("GET", "/executions", &headers, "")).await;
        watch.took(format!("{name}, {protocol} by TLS"), expected, came).await;
    }
    // The connection ends after the refusal, or over HTTP/2 in its place. Who still sends then may lose it (RFC 9112 §9.6).
    let huge = token_with("ada", json!({"x": "x".repeat(48 << 10)}));
    watch.secret(&huge);
    let huge = bearer(&huge);
    let heads: [(&str, Headers<'_>); 2] = [
        ("a token of 64 kB", vec![("authorization", &huge)]),
        ("a header over the limit", vec![("authorization", &authorization), ("x-padding", &padding)]),
    ];
    for (name, headers) in heads {
        let came = status(server, protocol, ("GET", "/executions", &headers, "")).await;
        watch.took(format!("{name}, {protocol} by TLS"), true, [431, 0].contains(&came)).await;
    }
}

/// A browser's cookie, sent by pages of all kinds.
async fn pages(watch: &mut Watch, server: &Server, protocol: &str) {
    let cookie = format!("session={}", token("ada"));
    let port = server.address.port();
    for (name, origin, expected) in [
        ("a page of its own", Some(format!("https://localhost:{port}")), 200),
        ("its own page without encryption", Some(format!("http://localhost:{port}")), 403),
        ("a page of another port", Some("https://localhost:1".into()), 403),
        ("a page of another site", Some("https://evil.example".into()), 403),
        ("a page of no origin", Some("null".into()), 403),
        ("nobody says which page", None, 403),
    ] {
        let mut headers: Headers<'_> = vec![("cookie", &cookie)];
        headers.extend(origin.as_deref().map(|origin| ("origin", origin)));
        let came = status(server, protocol, ("GET", "/executions", &headers, "")).await;
        watch.took(format!("a cookie by {name}, {protocol} by TLS"), expected, came).await;
    }
    for (name, headers, expected) in [
        ("a name that was pointed here", vec![("host", "evil.example")], 403),
        ("a host that is none", vec![("host", "[::1].evil.example:80")], 400),
        (
            "a page embedded elsewhere",
            vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")],
            403,
        ),
    ] {
        // A host that is none is no address either, so that no client of HTTP/2 can ask by it.
        if protocol == "h2" && expected == 400 {
            continue;
        }
        let came = status(server, protocol, ("GET", "/healthz", &headers, "")).await;
        watch.took(format!("{name}, {protocol} by TLS"), expected, came).await;
    }
}

/// Every scope but the one that is needed.
async fn rights(watch: &mut Watch, server: &Server, protocol: &str) {
    let run = format!("run-{}", protocol.replace('/', "-"));
    let as_json = ("content-type", "application/json");
    let grace = bearer(&token_with("grace", json!({"tenant": "acme", "scope": "start produce cancel read"})));
    let headers = [("authorization", &*grace), as_json];
    let stream = format!("/v1/stream/executions/{run}");
    let closed = [headers[0], as_json, ("stream-closed", "true")];
    assert_eq!(status(server, protocol, ("PUT", &stream, &closed, "")).await, 201);
    for (needed, method, path, expected) in [
        ("cancel", "DELETE", format!("/executions/{run}"), 403),
        ("cancel", "DELETE", stream.clone(), 403),
        ("produce", "POST", stream.clone(), 403),
        ("read", "GET", stream.clone(), 404),
        ("read", "GET", format!("/executions/{run}/events"), 404),
        ("operate", "GET", "/metrics".to_owned(), 403),
        ("operate", "GET", "/admin/statistics".to_owned(), 403),
    ] {
        let all = ["read", "start", "cancel", "produce", "operate"];
        let mut scope: Vec<_> = all.into_iter().filter(|scope| *scope != needed).collect();
        if needed == "operate" {
            scope.push("admin");
        }
        let eve = bearer(&token_with("eve", json!({"tenant": "acme", "scope": scope.join(" ")})));
        let headers = [("authorization", &*eve), as_json];
        let came = status(server, protocol, (method, &path, &headers, "")).await;
        let name = format!("{method} {path} by every scope but {needed}, {protocol} by TLS");
        watch.took(name, expected, came).await;
    }
    let eve = bearer(&token_with("eve", json!({"tenant": "other", "scope": "admin"})));
    let came = status(server, protocol, ("DELETE", &stream, &[("authorization", &eve), as_json], "")).await;
    watch.took(format!("forgetting another's run, {protocol} by TLS"), 404, came).await;
    assert_eq!(status(server, protocol, ("DELETE", &stream, &headers, "")).await, 204, "it was there");
}
