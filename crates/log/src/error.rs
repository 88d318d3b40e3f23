//! What a log may refuse.

use streamnest_core::{LogName, Seq, StoreError};

/// Why a log did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is a log of that name already.
    #[error("there is a log `{name}` already; choose another name")]
    AlreadyExists {
        /// Its name.
        name: LogName,
    },
    /// As many logs are kept as may be, and none of them has ended.
    #[error(
        "{limit} executions are running, the limit of `LogOptions::max_logs`; raise it, or try again later"
    )]
    TooManyLogs {
        /// The limit.
        limit: usize,
    },
    /// The logs keep as much as they may together, and none of them has ended.
    #[error(
        "running executions keep more than {limit} bytes, the limit of `LogOptions::max_total_bytes`; raise it, or try again later"
    )]
    TooMuchKept {
        /// The limit, in bytes.
        limit: usize,
    },
    /// As many readers wait for logs that do not exist yet as may.
    #[error("{limit} readers wait for executions that do not exist, the limit of `LogOptions::max_waiters`")]
    TooManyWaiters {
        /// The limit.
        limit: usize,
    },
    /// A log remembers as many named subscriptions as it may.
    #[error(
        "execution has {limit} named subscriptions, the limit of `LogOptions::max_subscriptions`; reuse a name"
    )]
    TooManySubscriptions {
        /// The limit.
        limit: usize,
    },
    /// A log has as many attributes as it may.
    #[error("log has {limit} attributes, the limit of `LogOptions::max_attributes`; remove some first")]
    TooManyAttributes {
        /// The limit.
        limit: usize,
    },
    /// A log's attributes take as many bytes as they may.
    #[error(
        "log's attributes take {limit} bytes, the limit of `LogOptions::max_attribute_bytes`; remove some first"
    )]
    AttributesTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// An acknowledgement is ahead of the log.
    #[error("sequence {seq} cannot be acknowledged, the log ends at {last}")]
    AcknowledgedAhead {
        /// The sequence that was acknowledged.
        seq: Seq,
        /// The last visible entry.
        last: Seq,
    },
    /// An event is too large.
    #[error(
        "event is {size} bytes, over the limit of {limit} bytes; raise `LogOptions::max_event_bytes` or send a reference"
    )]
    EventTooLarge {
        /// The size of its payload, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The log takes no more entries.
    #[error("execution has ended at sequence {last} and takes no more entries")]
    Sealed {
        /// Its last entry.
        last: Seq,
    },
    /// The log was removed before it ended.
    #[error("execution was removed from the registry before it ended; start a new one")]
    Removed,
    /// A bound leaves no room to work.
    #[error("option `{option}` is zero, which leaves no room; leave it out for its default")]
    InvalidOption {
        /// The option.
        option: &'static str,
    },
    /// A filter names what cannot be an event type or a node.
    #[error("filter is not valid: {0}")]
    Filter(#[source] streamnest_core::Error),
    /// The store refused or broke.
    #[error("log store refused: {0}")]
    Store(#[from] StoreError),
}

impl Error {
    /// A stable identifier, listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlreadyExists { .. } => "conflict",
            Self::TooManyLogs { .. } => "too_many_executions",
            Self::TooMuchKept { .. } => "too_many_bytes",
            Self::TooManyWaiters { .. } => "too_many_waiters",
            Self::TooManySubscriptions { .. } => "too_many_subscriptions",
            Self::TooManyAttributes { .. } | Self::AttributesTooLarge { .. } => "too_many_attributes",
            Self::AcknowledgedAhead { .. } => "acknowledged_ahead",
            Self::EventTooLarge { .. } => "event_too_large",
            Self::Sealed { .. } => "sealed",
            Self::Removed => "removed",
            Self::InvalidOption { .. } => "invalid_option",
            Self::Filter(_) => "invalid_filter",
            Self::Store(error) => error.code(),
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::TooManyLogs { .. } | Self::TooMuchKept { .. } | Self::TooManyWaiters { .. } => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }
}
