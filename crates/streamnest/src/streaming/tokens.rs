//! Whose tokens a program takes, as options and flags say it.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use streamnest_gateway::{Algorithm, AuthenticationOptions, Error as GatewayError, Scope, Secret, TokenKey};

use crate::Error;

/// The largest file of a key, in bytes.
const MAX_KEY_FILE: u64 = 64 << 10;

/// What keys of a set may be used with if nobody says: everything that needs no secret.
const OF_SETS: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

/// Whose tokens are taken, and where: `gateway.authentication`. What is `None` is as [`AuthenticationOptions`] has it by default.
///
/// At least one key has to be named, unless it is not `enabled`.
///
/// ```
/// use streamnest::{AuthOptions, StreamingOptions};
///
/// let options = StreamingOptions::default()
///     .with_authentication(AuthOptions::default().with_secret_key("a secret of at least 32 random bytes"));
/// # let _ = options;
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AuthOptions {
    /// Whether clients are asked who they are. Default yes; with no everything else is refused, for it would have no effect.
    pub enabled: bool,
    /// A secret of at least 32 bytes that the issuer knows too, for HS256. Default none.
    pub secret_key: Option<Secret>,
    /// The same in a file; white space at its end does not count. Default none.
    pub secret_key_file: Option<PathBuf>,
    /// A public key in a PEM file. Default none.
    pub public_key_file: Option<PathBuf>,
    /// A set of keys in a file, which may change. Default none.
    pub jwks_file: Option<PathBuf>,
    /// A set of keys by URL, `https` or `http` of the loopback address, which may change: it is fetched when it is needed. Default
    /// none.
    pub jwks_url: Option<String>,
    /// A PEM file of the root certificates that vouch for where the set is fetched. Default those of the system.
    pub jwks_ca_file: Option<PathBuf>,
    /// The algorithms that keys may be used with. Default: HS256 with a secret, what is usual for a public key, and with those
    /// of a set RS256, PS256, ES256, ES384 and EdDSA.
    pub algorithms: Vec<Algorithm>,
    /// Issuers of whom one has to stand in a token. Default none: it is not looked at.
    pub issuers: Vec<String>,
    /// Audiences of whom one has to stand in a token. Default none, and then a token with an audience is refused.
    pub audiences: Vec<String>,
    /// The greatest accepted age of a token: the gateway checks tokens, it does not issue them. Default 24 h.
    pub expires_in: Option<Duration>,
    /// The cookie that may hold a token too: [`AuthenticationOptions::cookie`].
    pub cookie: Option<String>,
    /// Whether the query parameter `access_token` may hold a token: [`AuthenticationOptions::query_parameter`].
    pub query_parameter: Option<bool>,
    /// What a token without `scope` may be used for: [`AuthenticationOptions::default_scopes`].
    pub default_scopes: Option<Vec<Scope>>,
    /// How much the issuer's clock and this one may differ: [`AuthenticationOptions::leeway`].
    pub leeway: Option<Duration>,
    /// The longest token, in bytes: [`AuthenticationOptions::max_token_bytes`].
    pub max_token_bytes: Option<usize>,
    /// How long a WebSocket may stand before its client authenticates: [`AuthenticationOptions::deadline`].
    pub deadline: Option<Duration>,
    /// The largest message of a client that is not authenticated, in bytes: [`AuthenticationOptions::max_unauthenticated_message_bytes`].
    pub max_unauthenticated_message_bytes: Option<usize>,
    /// How long before a token expires its connection is told: [`AuthenticationOptions::expiry_warning`].
    pub expiry_warning: Option<Duration>,
    /// Tickets that are valid at once: [`AuthenticationOptions::max_tickets`].
    pub max_tickets: Option<usize>,
    /// How long a ticket is valid: [`AuthenticationOptions::ticket_ttl`].
    pub ticket_ttl: Option<Duration>,
    /// How old the keys of a file may become before it is read anew: [`AuthenticationOptions::key_refresh`].
    pub key_refresh: Option<Duration>,
    /// How old the keys of a URL may become before they are fetched anew: [`AuthenticationOptions::key_max_age`].
    pub key_max_age: Option<Duration>,
    /// The least time between two fetches of a key set: [`AuthenticationOptions::key_fetch_pause`].
    pub key_fetch_pause: Option<Duration>,
    /// How long one fetch of a key set may take: [`AuthenticationOptions::key_fetch_timeout`].
    pub key_fetch_timeout: Option<Duration>,
    /// Revocations that are remembered at once: [`AuthenticationOptions::max_revocations`].
    pub max_revocations: Option<usize>,
    /// Revocations of one tenant that are remembered at once: [`AuthenticationOptions::max_revocations_per_tenant`].
    pub max_revocations_per_tenant: Option<usize>,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            secret_key: None,
            secret_key_file: None,
            public_key_file: None,
            jwks_file: None,
            jwks_url: None,
            jwks_ca_file: None,
            algorithms: Vec::new(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            expires_in: None,
            cookie: None,
            query_parameter: None,
            default_scopes: None,
            leeway: None,
            max_token_bytes: None,
            deadline: None,
            max_unauthenticated_message_bytes: None,
            expiry_warning: None,
            max_tickets: None,
            ticket_ttl: None,
            key_refresh: None,
            key_max_age: None,
            key_fetch_pause: None,
            key_fetch_timeout: None,
            max_revocations: None,
            max_revocations_per_tenant: None,
        }
    }
}

/// Writes a setter for each field.
macro_rules! setters {
    ($($setter:ident($field:ident: $given:ty) $value:expr,)*) => {
        impl AuthOptions {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(self, $field: $given) -> Self {
                    Self { $field: $value, ..self }
                }
            )*
        }
    };
}

setters! {
    with_enabled(enabled: bool) enabled,
    with_algorithms(algorithms: impl Into<Vec<Algorithm>>) algorithms.into(),
    with_issuers(issuers: Vec<String>) issuers,
    with_audiences(audiences: Vec<String>) audiences,
    with_secret_key(secret_key: impl Into<Secret>) Some(secret_key.into()),
    with_secret_key_file(secret_key_file: impl Into<PathBuf>) Some(secret_key_file.into()),
    with_public_key_file(public_key_file: impl Into<PathBuf>) Some(public_key_file.into()),
    with_jwks_file(jwks_file: impl Into<PathBuf>) Some(jwks_file.into()),
    with_jwks_url(jwks_url: impl Into<String>) Some(jwks_url.into()),
    with_jwks_ca_file(jwks_ca_file: impl Into<PathBuf>) Some(jwks_ca_file.into()),
    with_cookie(cookie: impl Into<String>) Some(cookie.into()),
    with_expires_in(expires_in: Duration) Some(expires_in),
    with_query_parameter(query_parameter: bool) Some(query_parameter),
    with_default_scopes(default_scopes: Vec<Scope>) Some(default_scopes),
    with_leeway(leeway: Duration) Some(leeway),
    with_max_token_bytes(max_token_bytes: usize) Some(max_token_bytes),
    with_deadline(deadline: Duration) Some(deadline),
    with_max_unauthenticated_message_bytes(max_unauthenticated_message_bytes: usize) Some(max_unauthenticated_message_bytes),
    with_expiry_warning(expiry_warning: Duration) Some(expiry_warning),
    with_max_tickets(max_tickets: usize) Some(max_tickets),
    with_ticket_ttl(ticket_ttl: Duration) Some(ticket_ttl),
    with_key_refresh(key_refresh: Duration) Some(key_refresh),
    with_key_max_age(key_max_age: Duration) Some(key_max_age),
    with_key_fetch_pause(key_fetch_pause: Duration) Some(key_fetch_pause),
    with_key_fetch_timeout(key_fetch_timeout: Duration) Some(key_fetch_timeout),
    with_max_revocations(max_revocations: usize) Some(max_revocations),
    with_max_revocations_per_tenant(max_revocations_per_tenant: usize) Some(max_revocations_per_tenant),
}

/// Puts those fields that are given in place of their defaults.
macro_rules! put_given {
    ($given:ident => $options:ident: $($field:ident,)*) => {
        $(if let Some($field) = $given.$field {
            $options.$field = $field;
        })*
    };
}

impl AuthOptions {
    /// The keys of a file by which those are named that are [read](Self::read), in the same order.
    pub(crate) fn keys(&self) -> Vec<&'static str> {
        let given = [
            ("gateway.authentication.secret_key", self.secret_key.is_some()),
            ("gateway.authentication.secret_key_file", self.secret_key_file.is_some()),
            ("gateway.authentication.public_key_file", self.public_key_file.is_some()),
            ("gateway.authentication.jwks_file", self.jwks_file.is_some()),
            ("gateway.authentication.jwks_url", self.jwks_url.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(key, _)| key).collect()
    }

    /// Reads the keys. `None` if nobody is to be asked.
    ///
    /// # Errors
    /// [`Error::KeyFile`] if a file cannot be read, [`Error::Gateway`] if there is no key, or one is none.
    pub(crate) fn read(self) -> Result<Option<AuthenticationOptions>, Error> {
        if !self.enabled {
            return Ok(None);
        }
        let mut keys = Vec::new();
        let of_file = |path: &PathBuf| read(path).map(|text| Secret::from(text.trim_end()));
        let in_file = self.secret_key_file.as_ref().map(of_file).transpose()?;
        for secret in self.secret_key.into_iter().chain(in_file) {
            let mut key = TokenKey::secret(secret);
            if let (TokenKey::Secret { algorithms, .. }, false) = (&mut key, self.algorithms.is_empty()) {
                algorithms.clone_from(&self.algorithms);
            }
            keys.push(key);
        }
        if let Some(path) = &self.public_key_file {
            let pem = read(path)?;
            keys.push(match self.algorithms.is_empty() {
                true => TokenKey::from_pem(pem).map_err(|error| match error {
                    GatewayError::InvalidKey { reason, .. } => {
                        GatewayError::InvalidKey { index: keys.len(), reason }
                    }
                    other => other,
                })?,
                false => TokenKey::public(pem, self.algorithms.clone()),
            });
        }
        let of_sets = || if self.algorithms.is_empty() { OF_SETS.into() } else { self.algorithms.clone() };
        keys.extend(self.jwks_file.as_ref().map(|path| TokenKey::set_file(path, of_sets())));
        keys.extend(self.jwks_url.as_ref().map(|url| TokenKey::set_url(url, of_sets())));
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else {
            let reason = "names no key; give `secret_key`, `secret_key_file`, `public_key_file`, `jwks_file` or `jwks_url`";
            return Err(
                GatewayError::InvalidOption { option: "authentication", reason: reason.into() }.into()
            );
        };
        let mut options = keys.fold(AuthenticationOptions::new(first), AuthenticationOptions::with_key);
        options.issuers = self.issuers;
        options.audiences = self.audiences;
        options.key_roots = self.jwks_ca_file;
        options.cookie = self.cookie;
        put_given! {
            self => options:
            expires_in,
            query_parameter,
            default_scopes,
            leeway,
            max_token_bytes,
            deadline,
            max_unauthenticated_message_bytes,
            expiry_warning,
            max_tickets,
            ticket_ttl,
            key_refresh,
            key_max_age,
            key_fetch_pause,
            key_fetch_timeout,
            max_revocations,
            max_revocations_per_tenant,
        }
        Ok(Some(options))
    }
}

/// Reads a file of a key.
fn read(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::KeyFile { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_KEY_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_KEY_FILE {
        return Err(unreadable(io::Error::other(format!("it is over the limit of {MAX_KEY_FILE} bytes"))));
    }
    Ok(text)
}
