//! Why a token is not taken.

/// Why a token is not taken. The words may reach whoever sent it; they hold nothing of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Rejected {
    /// There is none.
    #[error("token is missing; send `Authorization: Bearer`, or `authentication` over WebSocket")]
    Missing,
    /// Its time is over.
    #[error("token has expired; get a new one")]
    Expired,
    /// It was revoked, or whoever it is for was.
    #[error("token was revoked; get a new one")]
    Revoked,
    /// It is not what it has to be.
    #[error("token is not taken: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// The keys that it may be signed by are not known yet.
    #[error("token cannot be checked yet: the key set cannot be fetched; try again later")]
    KeysUnavailable,
    /// It would take the place of somebody else's.
    #[error("token is another subject's; open another connection for it")]
    OtherSubject,
}

impl Rejected {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "unauthenticated",
            Self::Expired => "token_expired",
            Self::Revoked => "token_revoked",
            Self::Invalid { .. } => "invalid_token",
            Self::KeysUnavailable => "keys_unavailable",
            Self::OtherSubject => "other_subject",
        }
    }

    /// Whether the same token may be taken later.
    pub(crate) const fn is_retryable(&self) -> bool {
        matches!(self, Self::KeysUnavailable)
    }
}
