//! Why a gateway is not made, or stops.

use std::io;

/// Why a gateway is not made, or stops. What it refuses a client is an error frame or an HTTP error, and what it refuses its
/// program while it runs is a [`WebSocketError`](crate::WebSocketError).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option leaves no room to work, or is not what it has to be.
    #[error("option `{option}` {reason}")]
    InvalidOption {
        /// The option of [`GatewayOptions`](crate::GatewayOptions).
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A key for tokens is none.
    #[error("option `authentication.keys` {reason}")]
    InvalidKey {
        /// Which of the keys of [`AuthenticationOptions`](crate::AuthenticationOptions), from 0 in the order in which they were given.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// As many revocations are remembered as may be.
    #[error(
        "{limit} revocations are remembered, the limit of `authentication.max_revocations`; raise it, or change the keys"
    )]
    TooManyRevocations {
        /// The limit.
        limit: usize,
    },
    /// As many revocations of one tenant are remembered as may be.
    #[error(
        "{limit} revocations of this tenant are remembered, the limit of `authentication.max_revocations_per_tenant`; raise it, or \
         have the program revoke the whole tenant"
    )]
    TooManyRevocationsOfTenant {
        /// The limit.
        limit: usize,
    },
    /// A revocation names what no token can be about.
    #[error("revocation {reason}")]
    InvalidRevocation {
        /// What is wrong with it. What it names is not repeated: it may be a token.
        reason: String,
    },
    /// The listener broke.
    #[error("listener is broken: {source}; listen again")]
    Listener {
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// A stable identifier, listed in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidOption { .. } | Self::InvalidKey { .. } => "invalid_option",
            Self::TooManyRevocations { .. } => "too_many_revocations",
            Self::TooManyRevocationsOfTenant { .. } => "too_many_revocations_of_tenant",
            Self::InvalidRevocation { .. } => "invalid_revocation",
            Self::Listener { .. } => "listener",
        }
    }

    /// Whether the same call may succeed later: never, something has to be changed first.
    pub const fn is_retryable(&self) -> bool {
        false
    }
}
