//! What can go wrong between a client and its server.

use std::{io, time::Duration};

use streamnest_core::{ExecutionId, Position};
use streamnest_protocol::native::{ErrorFrame, Reconnect};
use tokio_tungstenite::tungstenite;

use crate::TokenError;

/// Why a client cannot do what it was asked, or a subscription cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none that this client can reach.
    #[error("address `{url}` {reason}")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name in a subscription or a start is not legal, or a duration is over its limit.
    #[error("{what}: {reason}")]
    Argument {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An option leaves no room to work.
    #[error("option `ClientOptions::{option}` is zero, which leaves no room; leave it out for its default")]
    InvalidOption {
        /// Its name.
        option: &'static str,
    },
    /// There is no connection to be had.
    #[error("cannot connect to {address}; does the server run?")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server does not speak TLS, or its certificate is not vouched for.
    #[error(
        "no TLS with {address}; is its certificate of that name, and vouched for by `ClientOptions::root_certificates`?"
    )]
    Tls {
        /// Host and port.
        address: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// There are no root certificates, or they cannot be read.
    #[error("root certificates {reason}")]
    RootCertificates {
        /// What is wrong with them.
        reason: String,
    },
    /// The server does not answer.
    #[error("server was silent for {waited:?} while {what}")]
    Silent {
        /// What was waited for.
        what: &'static str,
        /// How long.
        waited: Duration,
    },
    /// The server answered the upgrade with an HTTP status.
    #[error("server refused the WebSocket with HTTP status {status}: {body}")]
    Upgrade {
        /// The status.
        status: u16,
        /// What it said, cut after 512 bytes.
        body: String,
    },
    /// The provider of tokens has none.
    #[error("no token to be had: {source}")]
    Token {
        /// What it said.
        source: TokenError,
    },
    /// The token cannot be sent.
    #[error("token holds characters that cannot stand in a header; is it a JSON Web Token?")]
    IllegalToken,
    /// The connection broke.
    #[error("connection broke")]
    Broken {
        /// What broke.
        #[source]
        source: Box<tungstenite::Error>,
    },
    /// The server closed the connection, or it ended without a close frame.
    #[error("server closed the connection with {}: {reason}", code.map_or("no code".into(), |code| code.to_string()))]
    Closed {
        /// The close code.
        code: Option<u16>,
        /// The reason.
        reason: String,
    },
    /// The server sent what this client cannot read.
    #[error(transparent)]
    Frame(#[from] streamnest_protocol::Error),
    /// An entry is missing, and no gap said so.
    #[error(
        "after {after} came {found}, and no gap says what became of the entries between; call `next` to resume after {after}"
    )]
    Hole {
        /// The position of the last entry that was given.
        after: Position,
        /// The position that came.
        found: Position,
    },
    /// The server no longer lists the subscription among those of the connection.
    #[error("server dropped the subscription to `{execution_id}`; its log says why")]
    Dropped {
        /// The execution.
        execution_id: ExecutionId,
    },
    /// The server refused a request.
    #[error("server refused: {message} ({code})")]
    Refused {
        /// A stable identifier.
        code: String,
        /// The server's words.
        message: String,
        /// Whether the same request may succeed later.
        retryable: bool,
        /// When it may, where a limit says so.
        retry_after: Option<Duration>,
    },
    /// The connection was lost, and could not be had again.
    #[error(
        "gave up after {attempts} attempts to connect again; raise `ClientOptions::max_attempts` to try longer"
    )]
    GaveUp {
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        #[source]
        last: Box<Error>,
    },
}

impl Error {
    /// A stable identifier, the same in every release; for a refusal, the server's.
    pub fn code(&self) -> &str {
        match self {
            Self::Url { .. } => "invalid_url",
            Self::Argument { .. } => "invalid_argument",
            Self::InvalidOption { .. } => "invalid_option",
            Self::Connect { .. } => "connect_failed",
            Self::Tls { .. } => "tls_failed",
            Self::RootCertificates { .. } => "root_certificates",
            Self::Silent { .. } => "server_silent",
            Self::Upgrade { .. } => "upgrade_refused",
            Self::Token { .. } => "no_token",
            Self::IllegalToken => "illegal_token",
            Self::Broken { .. } => "connection_broke",
            Self::Closed { .. } => "connection_closed",
            Self::Frame(error) => error.code(),
            Self::Hole { .. } => "entries_missing",
            Self::Dropped { .. } => "subscription_dropped",
            Self::Refused { code, .. } => code,
            Self::GaveUp { .. } => "gave_up",
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Url { .. }
            | Self::Argument { .. }
            | Self::InvalidOption { .. }
            | Self::RootCertificates { .. }
            | Self::IllegalToken
            | Self::Frame(_) => false,
            // RFC 9110 §15.5.9 and §15.6, and RFC 6585 §4: later is another matter.
            Self::Upgrade { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Closed { code, .. } => {
                matches!(Reconnect::after(*code), Reconnect::Jittered | Reconnect::AfterDelay)
            }
            Self::Refused { retryable, .. } => *retryable,
            Self::Broken { source } => !matches!(
                **source,
                tungstenite::Error::Capacity(_) | tungstenite::Error::Utf8(_) | tungstenite::Error::Url(_)
            ),
            // What rustls refuses it will refuse again; anything else is the network's.
            Self::Tls { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::Connect { .. }
            | Self::Token { .. }
            | Self::Silent { .. }
            | Self::Hole { .. }
            | Self::Dropped { .. }
            | Self::GaveUp { .. } => true,
        }
    }
}

impl Error {
    /// Whether a server did not take the token, or not any more.
    pub(crate) fn is_of_token(&self) -> bool {
        match self {
            Self::Upgrade { status, .. } => *status == 401,
            Self::Closed { code, .. } => Reconnect::after(*code) == Reconnect::WithNewToken,
            _ => false,
        }
    }
}

impl From<ErrorFrame> for Error {
    fn from(refused: ErrorFrame) -> Self {
        Self::Refused {
            code: refused.code,
            message: refused.message,
            retryable: refused.retryable,
            retry_after: refused.retry_after_ms.map(Duration::from_millis),
        }
    }
}
