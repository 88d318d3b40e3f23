//! Why something could not be sent to clients.

use std::sync::Arc;

use streamnest_core::{EventType, ExecutionId};

/// Why something that a program sends to its clients was not sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebSocketError {
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
    /// A message is larger than a connection may ever be owed.
    #[error(
        "message is {size} bytes, over the limit of {limit} bytes; raise `GatewayOptions::max_pending_reply_bytes` or send a reference"
    )]
    MessageTooLarge {
        /// The size of its frame, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message cannot be written as JSON.
    #[error(
        "message cannot be written as JSON, its source says why; give a map keys that are strings, for example"
    )]
    InvalidMessage {
        /// What is wrong with it.
        source: Arc<serde_json::Error>,
    },
    /// There is no execution of that id.
    #[error("there is no execution `{id}`")]
    UnknownExecution {
        /// The id.
        id: ExecutionId,
    },
    /// An event has a type that is none.
    #[error(transparent)]
    EventType(#[from] streamnest_core::Error),
    /// An event has a type that only the framework writes: one of [`EventType::FRAMEWORK`].
    #[error("event type `{event_type}` belongs to the framework; choose another name")]
    FrameworkEvent {
        /// The type.
        event_type: EventType,
    },
    /// An event's data cannot be written as JSON.
    #[error(
        "data of an event of type `{event_type}` cannot be written as JSON, its source says why; give a map keys that are strings, for example"
    )]
    InvalidEvent {
        /// The event's type.
        event_type: EventType,
        /// What is wrong with its data.
        source: Arc<serde_json::Error>,
    },
    /// The execution's log refused the event.
    #[error(transparent)]
    Log(#[from] streamnest_log::Error),
}

impl WebSocketError {
    /// A stable identifier, listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownConnection { .. } => "unknown_connection",
            Self::ConnectionFull { .. } => "connection_full",
            Self::MessageTooLarge { .. } => "message_too_large",
            Self::InvalidMessage { .. } => "invalid_message",
            Self::UnknownExecution { .. } => "unknown_execution",
            Self::EventType(error) => error.code(),
            Self::FrameworkEvent { .. } => "framework_event",
            Self::InvalidEvent { .. } => "invalid_event",
            Self::Log(error) => error.code(),
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
