//! Whose tokens are taken, and where.

use std::{path::PathBuf, time::Duration};

use super::{
    Algorithm, Secret,
    key::{self, Keys},
};
use crate::{Error, Scope};

/// The most keys and key sets.
const MAX_KEYS: usize = 16;
/// The longest leeway: more would make expired tokens valid.
const MAX_LEEWAY: Duration = Duration::from_secs(300);
/// The longest age of a token, a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Whose tokens are taken, and where in a request: JWTs (RFC 7519), checked at every request and for as long as a connection
/// stands.
///
/// A token needs `sub` and `exp`. `nbf` is heeded, `iat`, `jti`, `tenant`, `scope`, `executions` and `streams` are read; see
/// [`Principal`](crate::Principal).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AuthenticationOptions {
    /// The keys by which tokens are checked, 1 to 16; a set counts as one and holds 64 at most. A token with a `kid` is tried with the
    /// keys of that id and those without one, a token without a `kid` with all of its algorithm: with the first 8 that fit. So more
    /// than 8 keys of one algorithm without an id are refused, and with ids tokens have to name theirs.
    pub keys: Vec<TokenKey>,
    /// Issuers of whom one has to stand in `iss`. Default none: it is not looked at.
    pub issuers: Vec<String>,
    /// Audiences of whom one has to stand in `aud`. Default none, and then a token for somebody else, that is with any
    /// `aud`, is refused (RFC 7519 §4.1.3).
    pub audiences: Vec<String>,
    /// How much the issuer's clock and this one may differ. Default 30 s, at most 5 min.
    pub leeway: Duration,
    /// The greatest accepted age of a token: one that would be valid for longer is refused, and one that says when it was
    /// issued is valid for this long at most. Default 24 h. A revocation is remembered for as long.
    pub expires_in: Duration,
    /// The longest token, in bytes. Default 8 KiB.
    pub max_token_bytes: usize,
    /// How long a WebSocket may stand before its client authenticates, by `authentication`. Then it is closed with 4408.
    /// Default 10 s.
    pub deadline: Duration,
    /// The largest message of a client that is not authenticated, in bytes. Default 16 KiB.
    pub max_unauthenticated_message_bytes: usize,
    /// How long before a token expires its connection is told `token_expiring`; at half of its life, if that is shorter than
    /// twice this. Default 60 s.
    pub expiry_warning: Duration,
    /// The cookie that may hold a token. Only pages of the server's own origin, or of an allowed one, may use it. Default
    /// none is read.
    pub cookie: Option<String>,
    /// Whether the query parameter `access_token` may hold a token. Addresses are written to logs of proxies and to histories,
    /// so rather get a ticket. Default no.
    pub query_parameter: bool,
    /// Tickets that are valid at once; beyond it the oldest is forgotten of whoever has most. Default 4,096.
    pub max_tickets: usize,
    /// How long a ticket of `POST /tickets` is valid, if it is not used before. Default 30 s.
    pub ticket_ttl: Duration,
    /// How old the keys of a file may become before it is read anew: for as long as a key may be good that was taken out of it.
    /// Default 10 s. While somebody is connected it is read as often, but at most every 100 ms.
    pub key_refresh: Duration,
    /// How old the keys of a URL may become before they are fetched anew, while those that are known go on being used. Default 15
    /// min: for as long as a key may be good that its issuer has withdrawn.
    pub key_max_age: Duration,
    /// The least time between two fetches of a key set. A token with a key that is not known has the set fetched anew, so this is
    /// how often strangers can cause that. Default 30 s.
    pub key_fetch_pause: Duration,
    /// How long one fetch of a key set may take, for which who needs it waits. Default 5 s.
    pub key_fetch_timeout: Duration,
    /// A PEM file of the root certificates that vouch for where key sets are fetched. Default those of the system.
    pub key_roots: Option<PathBuf>,
    /// Revocations that are remembered at once; one more is refused. Default 16,384, which take 8 MiB at most.
    pub max_revocations: usize,
    /// Revocations of one tenant that are remembered at once; one more is refused. Those that name no tenant, which only the program
    /// makes, count for none. Default 1,024: what one tenant revokes leaves room to the others.
    pub max_revocations_per_tenant: usize,
    /// What a token without `scope` may be used for. Default read, start and cancel.
    pub default_scopes: Vec<Scope>,
}

/// A key by which tokens are checked, and the algorithms that may be used with it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenKey {
    /// A secret that the issuer knows too.
    Secret {
        /// The secret, at least 32 bytes.
        secret: Secret,
        /// `HS…` algorithms.
        algorithms: Vec<Algorithm>,
        /// The `kid` of its tokens; `None` takes any.
        id: Option<String>,
    },
    /// A public key.
    Public {
        /// The key in PEM (SPKI, or PKCS#1 for RSA).
        pem: String,
        /// Algorithms of its family.
        algorithms: Vec<Algorithm>,
        /// The `kid` of its tokens; `None` takes any.
        id: Option<String>,
    },
    /// A set of keys in a file, which may change: JWKS (RFC 7517 §5). A key that is not in it any more is withdrawn: tokens that it
    /// signed are not taken, and connections that were opened by one are closed with 4401. A set without keys withdraws them all.
    /// What cannot be read, or is no set, leaves the keys as they were, which the log and `streamnest_key_set_readings` tell; a
    /// server does not start with it, nor with a set without keys.
    SetFile {
        /// The file, at most 1 MiB.
        path: PathBuf,
        /// The algorithms that its keys may be used with, each with those of its family.
        algorithms: Vec<Algorithm>,
    },
    /// A set of keys by URL, which may change: JWKS (RFC 7517 §5). It is fetched when the first token comes, and anew when it is
    /// old or a token names a key that is not in it. Keys are withdrawn, and stay when it cannot be fetched, as those of a file.
    SetUrl {
        /// The URL: `https`, or `http` of the loopback address. What it holds is at most 1 MiB. A redirection is not followed.
        url: String,
        /// The algorithms that its keys may be used with, each with those of its family. None that takes a secret.
        algorithms: Vec<Algorithm>,
    },
}

impl TokenKey {
    /// A shared secret, for HS256.
    pub fn secret(secret: impl Into<Secret>) -> Self {
        Self::Secret { secret: secret.into(), algorithms: vec![Algorithm::Hs256], id: None }
    }

    /// A public key in PEM.
    pub fn public(pem: impl Into<String>, algorithms: impl Into<Vec<Algorithm>>) -> Self {
        Self::Public { pem: pem.into(), algorithms: algorithms.into(), id: None }
    }

    /// A public key in PEM, for the algorithm that is usual for it: RS256, ES256 or ES384 by its curve, EdDSA.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if it is no such key.
    pub fn from_pem(pem: impl Into<String>) -> Result<Self, Error> {
        let pem = pem.into();
        match key::usual_algorithm(&pem) {
            Some(algorithm) => Ok(Self::public(pem, [algorithm])),
            None => {
                let reason = "has a public key that cannot be read: it is no PEM of an RSA, P-256, P-384 or Ed25519 key";
                Err(Error::InvalidKey { index: 0, reason: reason.into() })
            }
        }
    }

    /// A set of keys in a file.
    pub fn set_file(path: impl Into<PathBuf>, algorithms: impl Into<Vec<Algorithm>>) -> Self {
        Self::SetFile { path: path.into(), algorithms: algorithms.into() }
    }

    /// A set of keys by URL.
    pub fn set_url(url: impl Into<String>, algorithms: impl Into<Vec<Algorithm>>) -> Self {
        Self::SetUrl { url: url.into(), algorithms: algorithms.into() }
    }

    /// Takes only tokens whose `kid` is `id`. The keys of a set have ids of their own.
    #[must_use]
    pub fn with_id(mut self, new: impl Into<String>) -> Self {
        if let Self::Secret { id, .. } | Self::Public { id, .. } = &mut self {
            *id = Some(new.into());
        }
        self
    }
}

impl AuthenticationOptions {
    /// Takes the tokens of one key.
    pub fn new(key: TokenKey) -> Self {
        Self {
            keys: vec![key],
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            expires_in: Duration::from_secs(24 * 3600),
            max_token_bytes: 8 << 10,
            deadline: Duration::from_secs(10),
            max_unauthenticated_message_bytes: 16 << 10,
            expiry_warning: Duration::from_secs(60),
            cookie: None,
            query_parameter: false,
            max_tickets: 4_096,
            ticket_ttl: Duration::from_secs(30),
            key_refresh: Duration::from_secs(10),
            key_max_age: Duration::from_secs(15 * 60),
            key_fetch_pause: Duration::from_secs(30),
            key_fetch_timeout: Duration::from_secs(5),
            key_roots: None,
            max_revocations: 16_384,
            max_revocations_per_tenant: 1_024,
            default_scopes: vec![Scope::Read, Scope::Start, Scope::Cancel],
        }
    }

    /// Takes the tokens of one more key.
    #[must_use]
    pub fn with_key(mut self, key: TokenKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Checks every option, and reads every key that is here.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        self.keys().map(drop)
    }

    /// The keys that they name, if every option is right.
    pub(super) fn keys(&self) -> Result<Keys, Error> {
        let invalid = |option, reason: String| Err(Error::InvalidOption { option, reason });
        if self.keys.is_empty() || self.keys.len() > MAX_KEYS {
            return invalid(
                "authentication.keys",
                format!("has {} keys, outside 1 to {MAX_KEYS}", self.keys.len()),
            );
        }
        let times = [
            ("authentication.expires_in", self.expires_in),
            ("authentication.deadline", self.deadline),
            ("authentication.ticket_ttl", self.ticket_ttl),
            ("authentication.key_refresh", self.key_refresh),
            ("authentication.key_max_age", self.key_max_age),
            ("authentication.key_fetch_pause", self.key_fetch_pause),
            ("authentication.key_fetch_timeout", self.key_fetch_timeout),
            ("authentication.expiry_warning", self.expiry_warning),
        ];
        let counts = [
            ("authentication.max_token_bytes", self.max_token_bytes),
            ("authentication.max_unauthenticated_message_bytes", self.max_unauthenticated_message_bytes),
            ("authentication.max_tickets", self.max_tickets),
            ("authentication.max_revocations", self.max_revocations),
            ("authentication.max_revocations_per_tenant", self.max_revocations_per_tenant),
        ];
        let zero_times = times.iter().filter(|(_, time)| time.is_zero()).map(|(option, _)| *option);
        let zero_counts = counts.iter().filter(|(_, count)| *count == 0).map(|(option, _)| *option);
        if let Some(option) = zero_times.chain(zero_counts).next() {
            return invalid(option, "is zero, which leaves no room; leave it out for its default".into());
        }
        if let Some((option, time)) = times.iter().find(|(_, time)| *time > LONGEST) {
            return invalid(option, format!("is {time:?}, over the limit of {LONGEST:?}"));
        }
        if self.leeway > MAX_LEEWAY {
            let reason = format!("is {:?}, over the limit of {MAX_LEEWAY:?}", self.leeway);
            return invalid("authentication.leeway", reason);
        }
        let is_token = |name: &String| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if let Some(name) = self.cookie.as_ref().filter(|name| !is_token(name)) {
            let reason = format!("is {name:?}, but has to be characters of A-Z a-z 0-9 - _ .");
            return invalid("authentication.cookie", reason);
        }
        if self.key_roots.is_some() && !self.keys.iter().any(|key| matches!(key, TokenKey::SetUrl { .. })) {
            let reason = "has no effect without a key set by URL; leave it out".into();
            return invalid("authentication.key_roots", reason);
        }
        Keys::new(self)
    }
}

/// Writes a setter for each field.
macro_rules! setters {
    ($($setter:ident $field:ident: $value:ty,)*) => {
        impl AuthenticationOptions {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(self, $field: $value) -> Self {
                    Self { $field, ..self }
                }
            )*
        }
    };
}

setters! {
    with_issuers issuers: Vec<String>,
    with_audiences audiences: Vec<String>,
    with_leeway leeway: Duration,
    with_expires_in expires_in: Duration,
    with_max_token_bytes max_token_bytes: usize,
    with_deadline deadline: Duration,
    with_max_unauthenticated_message_bytes max_unauthenticated_message_bytes: usize,
    with_expiry_warning expiry_warning: Duration,
    with_cookie cookie: Option<String>,
    with_query_parameter query_parameter: bool,
    with_max_tickets max_tickets: usize,
    with_ticket_ttl ticket_ttl: Duration,
    with_key_refresh key_refresh: Duration,
    with_key_max_age key_max_age: Duration,
    with_key_fetch_pause key_fetch_pause: Duration,
    with_key_fetch_timeout key_fetch_timeout: Duration,
    with_key_roots key_roots: Option<PathBuf>,
    with_max_revocations max_revocations: usize,
    with_max_revocations_per_tenant max_revocations_per_tenant: usize,
    with_default_scopes default_scopes: Vec<Scope>,
}
