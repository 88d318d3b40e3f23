//! Whose tokens a program takes, as options and flags say it.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use streamnest_gateway::{Algorithm, AuthenticationOptions, Secret, TokenKey};

use crate::Error;

/// The largest file of a key, in bytes.
const MAX_KEY_FILE: u64 = 64 << 10;

/// What keys of a set may be used with if nobody says: everything that needs no secret.
const OF_SETS: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

/// Whose tokens are taken: `gateway.authentication`. Everything else about tokens is an option of [`AuthenticationOptions`].
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
    /// Whether clients are asked who they are. Default yes; no leaves everything else without effect.
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
        }
    }
}

impl AuthOptions {
    /// Sets [`enabled`](Self::enabled).
    #[must_use]
    pub fn with_enabled(self, enabled: bool) -> Self {
        Self { enabled, ..self }
    }

    /// Sets [`secret_key`](Self::secret_key).
    #[must_use]
    pub fn with_secret_key(self, secret_key: impl Into<Secret>) -> Self {
        Self { secret_key: Some(secret_key.into()), ..self }
    }

    /// Sets [`secret_key_file`](Self::secret_key_file).
    #[must_use]
    pub fn with_secret_key_file(self, path: impl Into<PathBuf>) -> Self {
        Self { secret_key_file: Some(path.into()), ..self }
    }

    /// Sets [`public_key_file`](Self::public_key_file).
    #[must_use]
    pub fn with_public_key_file(self, path: impl Into<PathBuf>) -> Self {
        Self { public_key_file: Some(path.into()), ..self }
    }

    /// Sets [`jwks_file`](Self::jwks_file).
    #[must_use]
    pub fn with_jwks_file(self, path: impl Into<PathBuf>) -> Self {
        Self { jwks_file: Some(path.into()), ..self }
    }

    /// Sets [`jwks_url`](Self::jwks_url).
    #[must_use]
    pub fn with_jwks_url(self, url: impl Into<String>) -> Self {
        Self { jwks_url: Some(url.into()), ..self }
    }

    /// Sets [`jwks_ca_file`](Self::jwks_ca_file).
    #[must_use]
    pub fn with_jwks_ca_file(self, path: impl Into<PathBuf>) -> Self {
        Self { jwks_ca_file: Some(path.into()), ..self }
    }

    /// Sets [`algorithms`](Self::algorithms).
    #[must_use]
    pub fn with_algorithms(self, algorithms: impl Into<Vec<Algorithm>>) -> Self {
        Self { algorithms: algorithms.into(), ..self }
    }

    /// Sets [`issuers`](Self::issuers).
    #[must_use]
    pub fn with_issuers(self, issuers: Vec<String>) -> Self {
        Self { issuers, ..self }
    }

    /// Sets [`audiences`](Self::audiences).
    #[must_use]
    pub fn with_audiences(self, audiences: Vec<String>) -> Self {
        Self { audiences, ..self }
    }

    /// Sets [`expires_in`](Self::expires_in).
    #[must_use]
    pub fn with_expires_in(self, expires_in: Duration) -> Self {
        Self { expires_in: Some(expires_in), ..self }
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
                true => TokenKey::from_pem(pem)?,
                false => TokenKey::public(pem, self.algorithms.clone()),
            });
        }
        let of_sets = || if self.algorithms.is_empty() { OF_SETS.into() } else { self.algorithms.clone() };
        keys.extend(self.jwks_file.as_ref().map(|path| TokenKey::set_file(path, of_sets())));
        keys.extend(self.jwks_url.as_ref().map(|url| TokenKey::set_url(url, of_sets())));
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else {
            let reason = "names no key; give `secret_key`, `secret_key_file`, `public_key_file`, `jwks_file` or `jwks_url`";
            return Err(streamnest_gateway::Error::InvalidOption {
                option: "authentication",
                reason: reason.into(),
            }
            .into());
        };
        let options = keys.fold(AuthenticationOptions::new(first), AuthenticationOptions::with_key);
        let options = options
            .with_issuers(self.issuers)
            .with_audiences(self.audiences)
            .with_key_roots(self.jwks_ca_file);
        Ok(Some(match self.expires_in {
            Some(age) => options.with_expires_in(age),
            None => options,
        }))
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
