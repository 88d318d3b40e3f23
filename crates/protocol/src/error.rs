//! What can be wrong with a frame that a client reads.

/// A frame of the server that cannot be read.
///
/// What is wrong with a frame of a *client* is a [`ParseError`](crate::native::ParseError), which can be sent back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a JSON object with a `type`.
    #[error("frame cannot be read: {reason}; is the address that of a Streamnest server?")]
    Frame {
        /// What the JSON parser said.
        reason: String,
    },
    /// A field of a known frame is missing or is not what it has to be.
    #[error("`{frame}` frame cannot be read: {reason}; server and client speak different versions")]
    Field {
        /// The `type` of the frame.
        frame: &'static str,
        /// Which field, and what is wrong with it.
        reason: String,
    },
    /// A WebSocket frame is cut short or is none that a server sends.
    #[error("bytes are no whole unmasked WebSocket text frame at offset {offset}")]
    NotTextFrames {
        /// Where the first bad one begins.
        offset: usize,
    },
}

impl Error {
    /// A stable identifier, the same in every release.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Frame { .. } => "unreadable_frame",
            Self::Field { .. } => "unreadable_field",
            Self::NotTextFrames { .. } => "not_text_frames",
        }
    }

    /// Whether the same call may succeed later: never, for the same bytes read the same.
    pub const fn is_retryable(&self) -> bool {
        false
    }
}
