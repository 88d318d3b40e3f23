//! Why the services of a running application did not do what they were asked.

use streamnest_core::ControlError;
use streamnest_gateway::WebSocketError;
use streamnest_runtime::{TokenStreamingError, ViewError};

/// Any failure of the streaming services. Each service has an error of its own; `?` turns them all into this one, and a
/// `match` tells them apart again.
///
/// ```
/// use streamnest::{StreamingError, runtime::TokenStreamingService};
/// # use streamnest::core::ExecutionId;
///
/// async fn say(tokens: &TokenStreamingService, chat: &ExecutionId) -> Result<(), StreamingError> {
///     tokens.stream_token(chat, "answer", "Hello").await?;
///     Ok(())
/// }
///
/// async fn say_if_possible(tokens: &TokenStreamingService, chat: &ExecutionId) {
///     match say(tokens, chat).await {
///         Ok(()) => {}
///         Err(error) if error.is_retryable() => println!("later: {error}"),
///         Err(StreamingError::Tokens(error)) => println!("without streaming, then ({}): {error}", error.code()),
///         Err(error) => println!("{error}"),
///     }
/// }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamingError {
    /// A token stream.
    #[error(transparent)]
    Tokens(#[from] TokenStreamingError),
    /// Something that was to be sent to clients.
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
    /// A view of executions.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Starting, stopping or finding an execution.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl StreamingError {
    /// A stable identifier, listed in `docs/errors.md`: the one of the error within.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tokens(error) => error.code(),
            Self::WebSocket(error) => error.code(),
            Self::View(error) => error.code(),
            Self::Control(error) => error.code(),
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Tokens(error) => error.is_retryable(),
            Self::WebSocket(error) => error.is_retryable(),
            Self::View(error) => error.is_retryable(),
            Self::Control(error) => error.is_retryable(),
        }
    }
}
