//! By which token a client shows who it is.

use std::{fmt, sync::Arc};

use streamnest_core::BoxFuture;

use crate::Error;

/// Why a provider has no token.
pub type TokenError = Box<dyn std::error::Error + Send + Sync>;

/// Gives tokens, each time one is needed: for every connection, and again before one expires.
///
/// A closure that returns a future is one:
///
/// ```
/// use streamnest_client::Client;
///
/// # fn example() -> Result<(), streamnest_client::Error> {
/// let client = Client::new("http://127.0.0.1:8080")?
///     .with_token_provider(|| async { Ok(std::fs::read_to_string("token")?.trim().to_owned()) });
/// # drop(client);
/// # Ok(())
/// # }
/// ```
pub trait TokenProvider: Send + Sync + 'static {
    /// A token that is good now, and for a while.
    fn token(&self) -> BoxFuture<'_, Result<String, TokenError>>;
}

impl<F, Fut> TokenProvider for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String, TokenError>> + Send + 'static,
{
    fn token(&self) -> BoxFuture<'_, Result<String, TokenError>> {
        Box::pin(self())
    }
}

/// What a client shows.
#[derive(Clone, Default)]
pub(crate) enum Tokens {
    /// Nothing: the server asks nobody.
    #[default]
    None,
    /// The same one always.
    Fixed(Arc<str>),
    /// What a provider gives.
    Provided(Arc<dyn TokenProvider>),
}

impl Tokens {
    /// The token for a connection that is to be opened.
    pub(crate) async fn get(&self) -> Result<Option<String>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(token) => Ok(Some(token.as_ref().into())),
            Self::Provided(provider) => {
                provider.token().await.map(Some).map_err(|source| Error::Token { source })
            }
        }
    }

    /// A new token in place of one that expires; `None` if there is no other.
    pub(crate) fn renew(&self) -> Option<BoxFuture<'static, Result<String, TokenError>>> {
        let Self::Provided(provider) = self else { return None };
        let provider = provider.clone();
        Some(Box::pin(async move { provider.token().await }))
    }

    /// Whether another token may be had where one was not taken.
    pub(crate) const fn may_change(&self) -> bool {
        matches!(self, Self::Provided(_))
    }
}

/// Never shows a token.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed([redacted])",
            Self::Provided(_) => "Provided",
        })
    }
}
