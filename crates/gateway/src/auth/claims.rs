//! What stands in a token.

use std::time::Duration;

use serde::{Deserialize, de};
use serde_json::{Map, Value};
use streamnest_core::{Tenant, Timestamp};

use super::{AuthenticationOptions, Principal, Rejected, key::Mark};
use crate::access::{Pattern, Scopes};

/// The longest subject, in bytes (OpenID Connect Core §2).
pub(super) const MAX_SUBJECT: usize = 255;
/// The longest name of a token, in bytes.
pub(super) const MAX_TOKEN_ID: usize = 128;
/// The most patterns of a claim.
const MAX_PATTERNS: usize = 64;
/// The latest time that a token may name, in seconds since 1970: the year 9999.
const LATEST: f64 = 253_402_300_799.0;

/// The claims that mean something here. A claim of another type, or one that stands twice, is an error: a time in quotes is
/// no time.
#[derive(Deserialize)]
pub(super) struct Claims {
    sub: String,
    exp: Seconds,
    #[serde(default)]
    nbf: Option<Seconds>,
    #[serde(default)]
    iat: Option<Seconds>,
    #[serde(default)]
    iss: Option<String>,
    #[serde(default)]
    aud: Option<Texts>,
    #[serde(default)]
    jti: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    scope: Option<Texts>,
    #[serde(default)]
    executions: Option<Texts>,
    #[serde(default)]
    streams: Option<Texts>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// A `NumericDate` (RFC 7519 §2).
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
struct Seconds(f64);

impl TryFrom<f64> for Seconds {
    type Error = &'static str;
    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        match (0.0..=LATEST).contains(&seconds) {
            true => Ok(Self(seconds)),
            false => Err("time outside 1970 to 9999"),
        }
    }
}

impl Seconds {
    fn timestamp(self) -> Timestamp {
        Timestamp::from_micros((self.0 * 1e6) as u64)
    }
}

/// One text, or a list.
struct Texts(Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || de::Error::custom("is neither a text nor a list of texts");
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(vec![text])),
            Value::Array(items) => {
                let text = |item| if let Value::String(text) = item { Some(text) } else { None };
                items.into_iter().map(text).collect::<Option<_>>().map(Self).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

impl Claims {
    /// Checks times, issuer and audience, and makes of it who asks, by a token that the key `mark` has signed.
    pub(super) fn check(
        self,
        options: &AuthenticationOptions,
        now: Timestamp,
        mark: Option<Mark>,
    ) -> Result<Principal, Rejected> {
        let bad = |reason: &str| Rejected::Invalid { reason: reason.into() };
        let leeway = options.leeway;
        let mut expires_at = self.exp.timestamp();
        if expires_at.since(now) > options.expires_in + leeway {
            return Err(bad("it is valid for longer than `authentication.expires_in` allows"));
        }
        if let Some(issued) = self.iat {
            if issued.timestamp() > now.after(leeway) {
                return Err(bad("it was issued in the future"));
            }
            expires_at = expires_at.min(issued.timestamp().after(options.expires_in));
        }
        if expires_at.after(leeway) <= now {
            return Err(Rejected::Expired);
        }
        if self.nbf.is_some_and(|begin| begin.timestamp() > now.after(leeway)) {
            return Err(bad("it is not valid yet"));
        }
        if !options.issuers.is_empty() && !self.iss.as_ref().is_some_and(|iss| options.issuers.contains(iss))
        {
            return Err(bad("its issuer is not one of `authentication.issuers`"));
        }
        let for_us = match &self.aud {
            Some(Texts(audience)) => audience.iter().any(|one| options.audiences.contains(one)),
            None => options.audiences.is_empty(),
        };
        if !for_us {
            return Err(bad("its audience is not one of `authentication.audiences`"));
        }
        let subject = self.sub;
        if !is_subject(&subject) {
            return Err(bad("its subject is empty, longer than 255 bytes or holds a control character"));
        }
        let tenant = match &self.tenant {
            Some(tenant) => Tenant::new(tenant),
            None => Tenant::of_subject(&subject),
        };
        let tenant = tenant.map_err(|error| bad(&error.to_string()))?;
        if self.jti.as_ref().is_some_and(|id| !is_token_id(id)) {
            return Err(bad("its `jti` is empty or longer than 128 bytes"));
        }
        let scopes = match &self.scope {
            Some(Texts(scopes)) => scopes.iter().flat_map(|scopes| scopes.split(' ')).collect(),
            None => Scopes::of(&options.default_scopes),
        };
        let claims =
            if self.others.is_empty() { String::new() } else { Value::Object(self.others).to_string() };
        Ok(Principal {
            subject: subject.into(),
            tenant,
            scopes,
            executions: patterns(self.executions, "executions")?,
            streams: patterns(self.streams, "streams")?,
            token_id: self.jti.map(Into::into),
            issued_at: self.iat.map(Seconds::timestamp),
            expires_at,
            mark,
            claims: claims.into(),
        })
    }
}

fn patterns(claim: Option<Texts>, name: &str) -> Result<Option<Box<[Pattern]>>, Rejected> {
    let Some(Texts(patterns)) = claim else { return Ok(None) };
    let refused = || Rejected::Invalid {
        reason: format!(
            "its `{name}` is longer than {MAX_PATTERNS} patterns, or one than {} bytes",
            Pattern::MAX
        ),
    };
    if patterns.len() > MAX_PATTERNS {
        return Err(refused());
    }
    patterns
        .iter()
        .map(|pattern| Pattern::new(pattern).ok_or_else(refused))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Whether a token can be about it.
pub(super) fn is_subject(text: &str) -> bool {
    (1..=MAX_SUBJECT).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether a token can have it for a name.
pub(super) fn is_token_id(text: &str) -> bool {
    (1..=MAX_TOKEN_ID).contains(&text.len())
}

/// How long a token is good for from `now`: past its end by the leeway only if it was there already.
pub(super) fn time_left(expires_at: Timestamp, now: Timestamp, leeway: Duration) -> Duration {
    match expires_at.since(now) {
        Duration::ZERO => expires_at.after(leeway).since(now),
        left => left,
    }
}
