//! What can be wrong with a request.

/// A request that is not what the protocol has: answered with 400, except [`Invalid::Reserved`] with 501.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// An offset is none that a server handed out.
    #[error("offset {text:?} is neither -1, now nor one that the server sent; echo `Stream-Next-Offset`")]
    Offset {
        /// The text that was read, cut after 64 characters.
        text: String,
    },
    /// A header has a value that is not legal.
    #[error("header `{name}` is {text:?}, but has to be {legal}")]
    Header {
        /// Its name.
        name: &'static str,
        /// The text that was read, cut after 64 characters.
        text: String,
        /// What is legal.
        legal: &'static str,
    },
    /// A header is there that needs another one, or may not stand beside it.
    #[error("headers do not go together: {reason}")]
    Headers {
        /// Which, and what to do.
        reason: &'static str,
    },
    /// The body of a JSON stream is no JSON.
    #[error("body is not JSON: {reason}")]
    Json {
        /// What the JSON parser said.
        reason: String,
    },
    /// The body has nothing to append.
    #[error("body is empty, so there is nothing to append; to close a stream, send `Stream-Closed: true`")]
    Empty,
    /// An entry for an execution is none.
    #[error("entry {index} cannot be taken: {reason}; nothing was appended")]
    Entry {
        /// Its index in the body, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry is of a type that only the server writes (`EventType::FRAMEWORK`): a status, a question, how a node stands.
    #[error(
        "entry {index} is a `{what}`, which only the server writes; choose another name, and close the stream to end the execution; nothing was appended"
    )]
    Lifecycle {
        /// Its index in the body, from 0.
        index: usize,
        /// Its type.
        what: String,
    },
    /// The path is none that a stream can have.
    #[error("path names no stream: {reason}")]
    Path {
        /// What is wrong with it.
        reason: String,
    },
    /// The path belongs to an interface that this server does not have.
    #[error(
        "`__ds` is reserved for the protocol's subscriptions, which this server does not have; read streams with `live=long-poll` or `live=sse`"
    )]
    Reserved,
}

impl Invalid {
    /// A header's value that is not `legal`.
    pub(super) fn header(name: &'static str, text: &str, legal: &'static str) -> Self {
        Self::Header { name, text: cut(text), legal }
    }

    /// A stable identifier, listed in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Offset { .. } => "invalid_offset",
            Self::Header { .. } | Self::Headers { .. } => "invalid_header",
            Self::Json { .. } => "invalid_json",
            Self::Empty => "empty_body",
            Self::Entry { .. } => "invalid_entry",
            Self::Lifecycle { .. } => "lifecycle_entry",
            Self::Path { .. } => "invalid_stream_path",
            Self::Reserved => "not_supported",
        }
    }

    /// Whether the same request may succeed later: never, for it stays what it is.
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// What a client said, cut short.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
