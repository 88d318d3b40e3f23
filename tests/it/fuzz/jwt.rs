//! Tokens, forged, damaged and good, beside a verifier that is written here from RFC 7515, RFC 7519 and RFC 2104.

use std::collections::HashSet;

use axum::body::Body;
use hyper::{Request, StatusCode, header::HeaderValue};
use jsonwebtoken::{Algorithm as Jwa, EncodingKey, crypto};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use streamnest::gateway::{Algorithm, AuthenticationOptions, GatewayOptions, TokenKey};

use super::{
    Verdict, base64,
    damage::{Change, Damage, changed, changes, damaged, damages},
    fuzz,
    program::{NOW, Program},
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &[u8] = b"0123456789abcdef0123456789abcdee";
/// The public keys, which everybody knows.
const ED25519: &str = include_str!("../../../crates/gateway/tests/it/keys/ed25519.pub.pem");
const P256: &str = include_str!("../../../crates/gateway/tests/it/keys/p256.pub.pem");
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "streamnest";
/// The defaults of the options.
const LEEWAY: f64 = 30.0;
const LONGEST: f64 = 24.0 * 3600.0;
const MAX_TOKEN: usize = 8 << 10;

/// The fields of headers and claims, and one of none.
const NAMES: &[&str] = &[
    "alg",
    "typ",
    "kid",
    "crit",
    "jku",
    "jwk",
    "x5c",
    "sub",
    "exp",
    "nbf",
    "iat",
    "iss",
    "aud",
    "jti",
    "tenant",
    "scope",
    "executions",
    "streams",
    "extra",
];

/// By what a token is signed, or what stands in a signature's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Secret,
    OtherSecret,
    /// A public key, as the secret of a MAC.
    PublicKey,
    Ed25519,
    P256,
    Nothing,
    /// Zeros, which some libraries took for a signature of anything (CVE-2022-21449).
    Zeros,
}

#[derive(Clone, Debug)]
struct Forgery {
    by: By,
    header: Vec<Change>,
    claims: Vec<Change>,
    /// Seconds around now that `exp`, `nbf` and `iat` are.
    times: [Option<i64>; 3],
    /// Damage to the text of the claims before it is signed, and to the token after.
    before: Vec<Damage>,
    after: Vec<Damage>,
    algorithm: Option<&'static str>,
}

fn forgeries() -> impl Strategy<Value = Forgery> {
    let by = prop_oneof![
        20 => Just(By::Secret),
        4 => Just(By::OtherSecret),
        2 => Just(By::PublicKey),
        1 => Just(By::Ed25519),
        1 => Just(By::P256),
        1 => Just(By::Nothing),
        1 => Just(By::Zeros),
    ];
    let near = prop::sample::select(vec![
        -86_431, -86_400, -3600, -31, -30, -29, -1, 0, 1, 29, 30, 31, 3600, 86_400, 86_430, 86_431,
    ]);
    let time = || prop_oneof![2 => Just(None), 1 => near.clone().prop_map(Some)];
    let times = (time(), time(), time()).prop_map(|(exp, nbf, iat)| [exp, nbf, iat]);
    let algorithm = prop::sample::select(vec![
        "none", "None", "HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA", "",
    ]);
    let algorithm = prop_oneof![5 => Just(None), 1 => algorithm.prop_map(Some)];
    let seldom = |damages| prop_oneof![4 => Just(Vec::new()), 1 => damages];
    (
        by,
        changes(1),
        changes(2),
        times,
        seldom(damages(2).boxed()),
        seldom(damages(2).boxed()),
        algorithm,
        any::<bool>(),
    )
        .prop_map(|(by, header, claims, times, before, after, algorithm, plain)| Forgery {
            by,
            // Half of the headers are as they should be, or few tokens would come to their claims.
            header: if plain { Vec::new() } else { header },
            claims,
            times,
            before,
            after,
            algorithm,
        })
}

struct Issuer {
    ed25519: EncodingKey,
    p256: EncodingKey,
}

impl Issuer {
    fn new() -> Self {
        let ed25519 = include_bytes!("../../../crates/gateway/tests/it/keys/ed25519.pem");
        let p256 = include_bytes!("../../../crates/gateway/tests/it/keys/p256.pem");
        Self {
            ed25519: EncodingKey::from_ed_pem(ed25519).unwrap(),
            p256: EncodingKey::from_ec_pem(p256).unwrap(),
        }
    }

    /// The token, and whether it was signed by a key that may sign so.
    fn make(&self, forgery: &Forgery) -> (String, String) {
        let (algorithm, kid) = match forgery.by {
            By::Ed25519 => ("EdDSA", "ed"),
            By::P256 | By::Zeros => ("ES256", "ec"),
            _ => ("HS256", "any"),
        };
        let header = json!({"alg": forgery.algorithm.unwrap_or(algorithm), "typ": "JWT", "kid": kid});
        let header = changed(header, &forgery.header, NAMES);
        let mut claims =
            json!({"sub": "ada", "exp": NOW + 3600, "iss": ISSUER, "aud": [AUDIENCE], "scope": "read"});
        for (name, offset) in ["exp", "nbf", "iat"].into_iter().zip(forgery.times) {
            if let Some(offset) = offset {
                claims[name] = (NOW + offset).into();
            }
        }
        let claims = damaged(&changed(claims, &forgery.claims, NAMES).to_string(), &forgery.before);
        let encode = |text: &str| base64::encode(text.as_bytes(), base64::URL);
        let message = format!("{}.{}", encode(&header.to_string()), encode(&claims));
        let mac = |secret: &[u8]| base64::encode(&hmac(secret, message.as_bytes()), base64::URL);
        let by_key = |key, algorithm| crypto::sign(message.as_bytes(), key, algorithm).unwrap();
        let signature = match forgery.by {
            By::Secret => mac(SECRET),
            By::OtherSecret => mac(OTHER_SECRET),
            By::PublicKey => mac(P256.as_bytes()),
            By::Ed25519 => by_key(&self.ed25519, Jwa::EdDSA),
            By::P256 => by_key(&self.p256, Jwa::ES256),
            By::Nothing => String::new(),
            By::Zeros => base64::encode(&[0; 64], base64::URL),
        };
        let token = format!("{message}.{signature}");
        (damaged(&token, &forgery.after), token)
    }
}

/// HMAC (RFC 2104) with SHA-256.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let hash = |pad: u8, rest: &[u8]| {
        Sha256::new().chain_update(block.map(|byte| byte ^ pad)).chain_update(rest).finalize()
    };
    hash(0x5C, &hash(0x36, message)).into()
}

/// The claims of a token whose signature is good. `signed` are the tokens that the issuer signed with a key pair.
fn open(token: &str, signed: &HashSet<String>) -> Option<Map<String, Value>> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { return None };
    let object = |part| match serde_json::from_slice(&base64::decode(part, base64::URL)?).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    };
    let head = object(header)?;
    if head.get("crit").is_some_and(|crit| !crit.is_null()) {
        return None;
    }
    let kid = head.get("kid").filter(|kid| !kid.is_null());
    let is_good = match head.get("alg")?.as_str()? {
        "HS256" => {
            base64::decode(signature, base64::URL)? == hmac(SECRET, format!("{header}.{claims}").as_bytes())
        }
        "EdDSA" => kid.is_none_or(|kid| kid == "ed") && signed.contains(token),
        "ES256" => kid.is_none_or(|kid| kid == "ec") && signed.contains(token),
        _ => false,
    };
    is_good.then(|| object(claims))?
}

/// Whether claims let somebody in now, by RFC 7519 §4.1 and by what docs/guide says of the others.
fn let_in(claims: &Map<String, Value>) -> bool {
    let now = NOW as f64;
    let given = |name: &str| claims.get(name).filter(|value| !value.is_null());
    let text = |name: &str| given(name).map(Value::as_str);
    let is_time = |name: &str| {
        given(name)
            .is_none_or(|time| time.as_f64().is_some_and(|time| (0.0..=253_402_300_799.0).contains(&time)))
    };
    let time = |name: &str| given(name).and_then(Value::as_f64);
    let texts = |name: &str| -> Option<Option<Vec<&str>>> {
        match given(name) {
            None => Some(None),
            Some(Value::String(text)) => Some(Some(vec![text])),
            Some(value) => value.as_array()?.iter().map(Value::as_str).collect::<Option<_>>().map(Some),
        }
    };
    let are_patterns = |name| {
        texts(name).is_some_and(|all| {
            all.is_none_or(|all| all.len() <= 64 && all.iter().all(|one| one.len() <= 256))
        })
    };
    let (Some(Some(subject)), Some(expires)) = (text("sub"), time("exp")) else { return false };
    let ends = time("iat").map_or(expires, |issued| expires.min(issued + LONGEST));
    let is_now = expires <= now + LONGEST + LEEWAY
        && ends + LEEWAY > now
        && time("nbf").is_none_or(|from| from <= now + LEEWAY)
        && time("iat").is_none_or(|issued| issued <= now + LEEWAY);
    let fits = |text: Option<Option<&str>>, most: usize| {
        text.is_none_or(|text| text.is_some_and(|text| (1..=most).contains(&text.len())))
    };
    ["exp", "nbf", "iat"].into_iter().all(is_time)
        && is_now
        && text("iss") == Some(Some(ISSUER))
        && texts("aud").flatten().is_some_and(|all| all.contains(&AUDIENCE))
        && (1..=255).contains(&subject.len())
        && !subject.chars().any(char::is_control)
        && fits(text("tenant").or(Some(Some(subject))), 120)
        && fits(text("jti"), 128)
        && texts("scope").is_some()
        && are_patterns("executions")
        && are_patterns("streams")
}

#[test]
fn a_token_lets_in_just_if_its_issuer_signed_it_and_it_is_good_now() {
    let key = |pem: &str, algorithm, id: &str| match TokenKey::public(pem, [algorithm]) {
        TokenKey::Public { pem, algorithms, .. } => TokenKey::Public { pem, algorithms, id: Some(id.into()) },
        other => other,
    };
    let mut authentication =
        AuthenticationOptions::new(TokenKey::secret(String::from_utf8(SECRET.to_vec()).unwrap()));
    authentication.keys.extend([key(ED25519, Algorithm::EdDsa, "ed"), key(P256, Algorithm::Es256, "ec")]);
    authentication.issuers = vec![ISSUER.into()];
    authentication.audiences = vec![AUDIENCE.into()];
    let program = Program::new(GatewayOptions::default().with_authentication(Some(authentication)));
    let issuer = Issuer::new();
    fuzz("jwt", 2_000, &forgeries(), |forgery| {
        let (token, whole) = issuer.make(&forgery);
        let is_signed = matches!(forgery.by, By::Ed25519 | By::P256);
        let signed = is_signed.then(|| whole.clone()).into_iter().collect();
        let Ok(value) = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()) else {
            return Ok(Verdict::Refused);
        };
        let request = Request::get("/executions").header("host", "localhost").header("authorization", value);
        let answer = program.ask(request.body(Body::empty()).unwrap());
        let is_in = answer.status == StatusCode::OK;
        let is_legal = open(token.trim_matches([' ', '\t']), &signed).is_some_and(|claims| let_in(&claims));
        // Who is in and may not list is known all the same.
        prop_assert!(is_in || [401, 403].contains(&answer.status.as_u16()), "{:?}", answer);
        let is_known = answer.status != StatusCode::UNAUTHORIZED;
        prop_assert!(is_legal || !is_known, "taken: {} {}", token, whole);
        // Whatever else stands in a header may be refused, and so may claims whose text was damaged.
        if forgery.header.is_empty() && forgery.before.is_empty() {
            prop_assert!(is_known || !is_legal, "refused: {} {:?}", token, answer);
        }
        if !is_in {
            prop_assert!(answer.code().is_some(), "{:?}", answer);
            prop_assert!(
                !String::from_utf8_lossy(&answer.body).contains(&whole[whole.len().saturating_sub(20)..])
            );
        }
        Ok(Verdict::of(is_known))
    });
}
