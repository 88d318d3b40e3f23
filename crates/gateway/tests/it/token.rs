//! Tokens, as an issuer makes them. The keys beside it were made for these tests and open nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use streamnest_gateway::{AuthenticationOptions, GatewayOptions, TokenKey};

/// What issuer and server know.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Seconds since 1970, `offset` from now.
pub(crate) fn seconds(offset: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + offset
}

/// Options of a server that takes tokens of [`SECRET`], without leeway.
pub(crate) fn options() -> GatewayOptions {
    GatewayOptions::default().with_authentication(Some(authentication()))
}

pub(crate) fn authentication() -> AuthenticationOptions {
    AuthenticationOptions::new(TokenKey::secret(SECRET)).with_leeway(Duration::ZERO)
}

/// A good token of `subject`, with more claims, which may replace those it has.
pub(crate) fn token_with(subject: &str, more: Value) -> String {
    let mut claims = json!({"sub": subject, "exp": seconds(3600), "iat": seconds(0)});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    sign(&Header::new(Algorithm::HS256), &claims, SECRET)
}

pub(crate) fn token(subject: &str) -> String {
    token_with(subject, json!({}))
}

pub(crate) fn sign(header: &Header, claims: &Value, secret: &str) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// The value of an `Authorization` header.
pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
