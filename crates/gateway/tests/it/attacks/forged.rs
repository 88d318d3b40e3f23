//! Tokens that nobody issued, or not so.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::watch::Watch;
use crate::{
    socket::Socket,
    token::{SECRET, bearer, seconds, sign, token, token_with},
};

/// The digits of base64 for URLs (RFC 4648 §5).
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 for URLs, without padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

/// A token of any words, with the signature that is given.
pub(super) fn raw(header: &str, claims: &str, signature: &str) -> String {
    format!("{}.{}.{signature}", base64(header.as_bytes()), base64(claims.as_bytes()))
}

/// A token of any claims, well signed.
fn signed(claims: &str) -> String {
    let message = format!("{}.{}", base64(br#"{"alg":"HS256"}"#), base64(claims.as_bytes()));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

pub(super) fn flipped(token: &str, at: usize) -> String {
    let mut bytes = token.as_bytes().to_vec();
    // Another digit of the same alphabet, and of the same dots.
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

async fn refused(watch: &mut Watch, name: impl Into<String>, token: &str) {
    watch.secret(token);
    let answer = watch.server.ask("GET", "/executions", &[("authorization", &bearer(token))], "").await;
    watch.took(name, 401, answer.status).await;
}

pub(crate) async fn run(watch: &mut Watch) {
    let good = token("ada");
    let answer = watch.server.ask("GET", "/executions", &[("authorization", &bearer(&good))], "").await;
    assert_eq!(answer.status, 200, "a good token is taken, so that the others are refused for what is wrong");
    let claims = json!({"sub": "ada", "exp": seconds(3600)});
    let text = claims.to_string();
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS1", "ES512"] {
        let header = json!({"alg": algorithm, "typ": "JWT"}).to_string();
        refused(watch, format!("alg {algorithm:?} without a signature"), &raw(&header, &text, "")).await;
    }
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    refused(watch, "signature stripped", unsigned).await;
    refused(watch, "signature empty", &format!("{unsigned}.")).await;
    refused(watch, "signature of the header only", &format!("{unsigned}.{}", base64(b"x"))).await;
    refused(watch, "a part too many", &format!("{good}.{}", base64(b"x"))).await;
    for (name, token) in [("nothing", ""), ("dots", ".."), ("dots only", "...."), ("words", "let me in")] {
        refused(watch, name, token).await;
    }
    refused(watch, "padding", &format!("{good}=")).await;
    refused(watch, "the other alphabet", &format!("{unsigned}.+{}", &signature[1..])).await;
    // Confused keys: what everybody knows of a key pair as the secret of a MAC.
    for (name, kid, pem) in [
        ("rsa", "rsa", include_str!("../keys/rsa.pub.pem")),
        ("rsa without its last line break", "rsa", include_str!("../keys/rsa.pub.pem").trim_end()),
        ("ec", "ec", include_str!("../keys/p256.pub.pem")),
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            let header = Header { kid: Some(kid.into()), ..Header::new(algorithm) };
            refused(watch, format!("{name} key as a secret, {algorithm:?}"), &sign(&header, &claims, pem))
                .await;
        }
    }
    let rsa = EncodingKey::from_rsa_pem(include_str!("../keys/rsa.pem").as_bytes()).unwrap();
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS512] {
        let header = Header { kid: Some("rsa".into()), ..Header::new(algorithm) };
        refused(
            watch,
            format!("{algorithm:?}, which is not allowed"),
            &encode(&header, &claims, &rsa).unwrap(),
        )
        .await;
    }
    let header = Header { kid: Some("ec".into()), ..Header::new(Algorithm::RS256) };
    refused(watch, "right key under another's name", &encode(&header, &claims, &rsa).unwrap()).await;
    // CVE-2022-21449: a signature of zeros that some libraries took for any message.
    let es = json!({"alg": "ES256", "kid": "ec"}).to_string();
    for (name, signature) in [
        ("zeros", vec![0; 64]),
        ("ones", vec![255; 64]),
        ("empty DER", vec![0x30, 6, 2, 1, 0, 2, 1, 0]),
        ("short", vec![0; 63]),
        ("nothing", Vec::new()),
    ] {
        refused(watch, format!("psychic signature of {name}"), &raw(&es, &text, &base64(&signature))).await;
    }
    // No bit of a signature may be another, also none that no digit of base64 needs.
    let mut taken = 0;
    for at in unsigned.len() + 1..good.len() {
        for bit in 0..6 {
            let digit = DIGITS.iter().position(|digit| *digit == good.as_bytes()[at]).unwrap();
            let mut token = good.clone().into_bytes();
            token[at] = DIGITS[digit ^ (1 << bit)];
            let token = bearer(&String::from_utf8(token).unwrap());
            let answer = watch.server.ask("GET", "/executions", &[("authorization", &token)], "").await;
            taken += usize::from(answer.status != 401);
        }
    }
    watch.took("each bit of a signature flipped", 0, taken).await;
    let step = good.len() / 24;
    for at in (0..good.len()).step_by(step) {
        refused(watch, format!("character {at} changed"), &flipped(&good, at)).await;
    }
    for secret in ["", "secret", "0123456789abcdef0123456789abcdee", "\0", "null"] {
        refused(
            watch,
            format!("signed by {secret:?}"),
            &sign(&Header::new(Algorithm::HS256), &claims, secret),
        )
        .await;
    }
    refused(watch, "HS512 by the right secret", &sign(&Header::new(Algorithm::HS512), &claims, SECRET)).await;
    let changed = [
        ("exp as a text", json!({"exp": seconds(3600).to_string()})),
        ("nbf as a text", json!({"nbf": seconds(-10).to_string()})),
        ("iat as a text", json!({"iat": seconds(-10).to_string()})),
        ("exp null", json!({"exp": null})),
        ("exp true", json!({"exp": true})),
        ("exp a list", json!({"exp": [seconds(3600)]})),
        ("exp an object", json!({"exp": {"$gt": 0}})),
        ("exp negative", json!({"exp": -1})),
        ("exp zero", json!({"exp": 0})),
        ("exp beyond all time", json!({"exp": 1e300})),
        ("exp past", json!({"exp": seconds(-1)})),
        ("nbf to come", json!({"nbf": seconds(60)})),
        ("iat to come", json!({"iat": seconds(60)})),
        ("valid for a year", json!({"exp": seconds(365 * 86_400)})),
        ("issued long ago", json!({"iat": seconds(-2 * 86_400)})),
        ("aud of another", json!({"aud": "another"})),
        ("aud a number", json!({"aud": 1})),
        ("sub empty", json!({"sub": ""})),
        ("sub a number", json!({"sub": 1})),
        ("sub with a line break", json!({"sub": "ada\nINFO admin logged in"})),
        ("sub with NUL", json!({"sub": "ada\u{0}"})),
        ("sub too long", json!({"sub": "x".repeat(256)})),
        ("tenant empty", json!({"tenant": ""})),
        ("tenant a list", json!({"tenant": ["a", "b"]})),
        ("tenant too long", json!({"tenant": "x".repeat(121)})),
        ("scope a number", json!({"scope": 31})),
        ("scope an object", json!({"scope": {"admin": true}})),
        ("executions true", json!({"executions": true})),
        ("executions without end", json!({"executions": vec!["*"; 65]})),
        ("executions a pattern too long", json!({"executions": "*a".repeat(200)})),
        ("jti empty", json!({"jti": ""})),
    ];
    for (name, more) in changed {
        refused(watch, name, &token_with("ada", more)).await;
    }
    let (exp, deep) = (seconds(3600), "[".repeat(1_000));
    for (name, claims) in [
        ("no claims", "{}".into()),
        ("no sub", format!("{{\"exp\":{exp}}}")),
        ("no exp", "{\"sub\":\"ada\"}".into()),
        ("exp twice", format!("{{\"sub\":\"ada\",\"exp\":1,\"exp\":{exp}}}")),
        ("sub twice", format!("{{\"sub\":\"ada\",\"sub\":\"eve\",\"exp\":{exp}}}")),
        ("claims a list", "[]".into()),
        ("claims no JSON", "sub=ada".into()),
        ("claims too deep", format!("{{\"sub\":\"ada\",\"exp\":{exp},\"x\":{deep}")),
    ] {
        refused(watch, name, &signed(&claims)).await;
    }
    refused(watch, "a token over the limit", &token_with("ada", json!({"x": "x".repeat(6_100)}))).await;
    // Of 64 kB, well signed, by every door: over what a head may have, and over what a message may have before its sender is known.
    let huge = token_with("ada", json!({"x": "x".repeat(48 << 10)}));
    assert!(huge.len() >= 64 << 10, "{} bytes", huge.len());
    watch.secret(&huge);
    for (name, head) in [
        (
            "in a header",
            format!("GET /executions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {huge}\r\n\r\n"),
        ),
        ("as a ticket", format!("GET /executions?ticket={huge} HTTP/1.1\r\nhost: localhost\r\n\r\n")),
    ] {
        let mut stream = TcpStream::connect(watch.server.address).await.unwrap();
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let status = String::from_utf8_lossy(answer.get(..12).unwrap_or_default()).into_owned();
        watch.took(format!("a token of 64 kB {name}"), "HTTP/1.1 431", status).await;
    }
    let (mut socket, _) = Socket::shake(&watch.server, "/ws", &[]).await.unwrap();
    socket.send(json!({"type": "authentication", "payload": {"token": huge}})).await;
    let (code, _) = socket.until_close().await;
    watch.took("a token of 64 kB in a message", "Some(1009)", format!("{code:?}")).await;
    // What a header points to is never looked at.
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys.json", trap.local_addr().unwrap());
    let own = json!({"kty": "oct", "k": base64(b"0123456789abcdef0123456789abcdee"), "alg": "HS256"});
    let wrong = "0123456789abcdef0123456789abcdee";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, wrong).unwrap();
    let file = file.to_str().unwrap();
    // Each is signed by what its header leads to, for whoever follows that; `crit` is refused whoever signed.
    let pointing: [(&str, Value, &str); 19] = [
        ("jku", json!({"jku": url}), wrong),
        ("x5u", json!({"x5u": url}), wrong),
        ("jwk", json!({"jwk": own}), wrong),
        ("x5c", json!({"x5c": ["MIIB"]}), wrong),
        ("kid a path to nothing", json!({"kid": "../../../../dev/null"}), ""),
        ("kid a path", json!({"kid": file}), wrong),
        ("kid a path from above", json!({"kid": format!("../../../../../../../..{file}")}), wrong),
        ("kid a URL", json!({"kid": url}), wrong),
        ("kid a URL of a file", json!({"kid": format!("file://{file}")}), wrong),
        ("kid a query", json!({"kid": format!("x' UNION SELECT '{wrong}")}), wrong),
        ("kid a command", json!({"kid": format!("|cat {file}")}), wrong),
        ("kid with NUL", json!({"kid": format!("{file}\0rsa")}), wrong),
        ("kid with a line for the log", json!({"kid": "rsa\nINFO forged"}), wrong),
        ("kid a number", json!({"kid": 1}), SECRET),
        ("kid of kilobytes", json!({"kid": "x".repeat(4_000)}), wrong),
        ("crit", json!({"crit": ["exp"], "exp": 1}), SECRET),
        ("crit null", json!({"crit": null}), SECRET),
        ("crit of nothing", json!({"crit": []}), SECRET),
        ("crit false", json!({"crit": false}), SECRET),
    ];
    for (name, more, secret) in pointing {
        let mut header = json!({"alg": "HS256"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let message = format!("{}.{}", base64(header.to_string().as_bytes()), base64(text.as_bytes()));
        let key = EncodingKey::from_secret(secret.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        refused(watch, name, &format!("{message}.{signature}")).await;
    }
    let called = tokio::time::timeout(std::time::Duration::from_millis(50), trap.accept()).await.is_ok();
    watch.took("connections that headers called for", false, called).await;
}
