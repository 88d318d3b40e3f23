//! What a gateway may refuse its program.

use std::io;

use streamnest_core::ExecutionId;

/// Why a gateway did not do what its program asked. What it refuses a client is an error frame or an HTTP error.
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
    /// No connection of that name is open.
    #[error("there is no connection `{id}`; it may have been closed")]
    UnknownConnection {
        /// The name.
        id: String,
    },
    /// A connection has not read what was sent to it before.
    #[error(
        "connection `{id}` has not read its messages and may not be owed more than {limit} bytes, the limit of `GatewayOptions::max_pending_reply_bytes`; try again later"
    )]
    ConnectionFull {
        /// The connection's name.
        id: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// There is no execution of that id.
    #[error("there is no execution `{id}`")]
    UnknownExecution {
        /// The id.
        id: ExecutionId,
    },
    /// An event's type or data cannot be sent.
    #[error("event cannot be sent: {reason}")]
    InvalidEvent {
        /// What is wrong with it.
        reason: String,
    },
    /// The execution's log refused the event.
    #[error(transparent)]
    Log(#[from] streamnest_log::Error),
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
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidOption { .. } => "invalid_option",
            Self::UnknownConnection { .. } => "unknown_connection",
            Self::ConnectionFull { .. } => "connection_full",
            Self::UnknownExecution { .. } => "unknown_execution",
            Self::InvalidEvent { .. } => "invalid_event",
            Self::Log(error) => error.code(),
            Self::Listener { .. } => "listener",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::ConnectionFull { .. } => true,
            Self::Log(error) => error.is_retryable(),
            _ => false,
        }
    }
}
