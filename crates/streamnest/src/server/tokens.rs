//! The flags that say whose tokens are taken.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use streamnest_core::duration;
use streamnest_gateway::Algorithm;

use crate::AuthOptions;

/// Whose tokens are taken. A server with one of these keys asks every client who it is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Who may ask", group = ArgGroup::new("token_key").multiple(true))]
#[non_exhaustive]
pub struct TokenFlags {
    /// Take tokens that are signed with the secret in this file (HS256), at least 32 bytes.
    #[arg(long, value_name = "FILE", env = "STREAMNEST_JWT_SECRET_FILE", group = "token_key")]
    pub jwt_secret_file: Option<PathBuf>,
    /// Take tokens that are signed by the owner of this public key, in PEM.
    #[arg(long, value_name = "FILE", env = "STREAMNEST_JWT_PUBLIC_KEY_FILE", group = "token_key")]
    pub jwt_public_key_file: Option<PathBuf>,
    /// Take tokens that are signed by a key of the JSON Web Key Set in this file, which may change.
    #[arg(long, value_name = "FILE", env = "STREAMNEST_JWKS_FILE", group = "token_key")]
    pub jwks_file: Option<PathBuf>,
    /// Take tokens that are signed by a key of the JSON Web Key Set at this URL, which may change: https, or http of this machine.
    #[arg(long, value_name = "URL", env = "STREAMNEST_JWKS_URL", group = "token_key")]
    pub jwks_url: Option<String>,
    /// The root certificates, in PEM, that vouch for the server of that URL [default: those of the system].
    #[arg(long, value_name = "FILE", requires = "jwks_url")]
    pub jwks_ca_file: Option<PathBuf>,
    /// An algorithm that the keys may be used with: `RS256`, for example. Default what is usual for each. May be given again.
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm, requires = "token_key")]
    pub jwt_algorithm: Vec<Algorithm>,
    /// The issuer that has to stand in a token. May be given again.
    #[arg(long, value_name = "ISSUER", requires = "token_key")]
    pub jwt_issuer: Vec<String>,
    /// The audience that has to stand in a token. May be given again.
    #[arg(long, value_name = "AUDIENCE", requires = "token_key")]
    pub jwt_audience: Vec<String>,
    /// The greatest accepted age of a token [default: 24h].
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "token_key")]
    pub jwt_expires_in: Option<Duration>,
    /// Take a token also from the cookie of this name, of pages of the server's own origin and of allowed ones.
    #[arg(long, value_name = "NAME", requires = "token_key")]
    pub jwt_cookie: Option<String>,
    /// Take a token also from the query parameter `access_token`, which proxies and histories may keep. A ticket is better.
    #[arg(long, requires = "token_key")]
    pub jwt_query_parameter: bool,
}

impl TokenFlags {
    /// The same as options; `None` if none of the flags is given.
    pub(super) fn options(self) -> Option<AuthOptions> {
        let Self {
            jwt_secret_file,
            jwt_public_key_file,
            jwks_file,
            jwks_url,
            jwks_ca_file,
            jwt_algorithm,
            jwt_issuer,
            jwt_audience,
            jwt_expires_in,
            jwt_cookie,
            jwt_query_parameter,
        } = self;
        let options = AuthOptions {
            secret_key_file: jwt_secret_file,
            public_key_file: jwt_public_key_file,
            jwks_file,
            jwks_url,
            jwks_ca_file,
            algorithms: jwt_algorithm,
            issuers: jwt_issuer,
            audiences: jwt_audience,
            expires_in: jwt_expires_in,
            cookie: jwt_cookie,
            query_parameter: jwt_query_parameter.then_some(true),
            ..AuthOptions::default()
        };
        (options != AuthOptions::default()).then_some(options)
    }
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    name.parse().map_err(|_| format!("legal are {}", Algorithm::ALL.map(Algorithm::as_str).join(", ")))
}
