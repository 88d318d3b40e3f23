//! What can be wrong with an identifier, a position or an entry.

/// A value that is not what it says it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An execution id is empty or too long.
    #[error(
        "execution id has {length} characters, outside 1 to the limit of {limit}; choose a shorter one or leave it out"
    )]
    ExecutionIdLength {
        /// Its length in characters.
        length: usize,
        /// The greatest length in characters.
        limit: usize,
    },
    /// An execution id holds a character that a path or an SSE field could not carry.
    #[error("execution id contains {character:?}; legal are A-Z a-z 0-9 - _ . : ~")]
    ExecutionIdCharacter {
        /// The first such character.
        character: char,
    },
    /// An execution id is `.` or `..`, which a path would swallow.
    #[error("execution id is `.` or `..`, which a URL path cannot carry; choose another")]
    ExecutionIdDots,
    /// A tenant's name is empty or too long.
    #[error("tenant name has {length} bytes, outside 1 to the limit of {limit}; choose a shorter one")]
    TenantLength {
        /// Its length in bytes.
        length: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
    /// A log's name is empty or too long.
    #[error("log name has {length} bytes, outside 1 to the limit of {limit}; choose a shorter one")]
    LogNameLength {
        /// Its length in bytes.
        length: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
    /// A log's name holds a control character.
    #[error("log name contains the control character {character:?}; use printable characters")]
    LogNameCharacter {
        /// The first such character.
        character: char,
    },
    /// The key of an attribute is empty or too long.
    #[error("attribute key has {length} bytes, outside 1 to the limit of {limit}; choose a shorter one")]
    AttributeKeyLength {
        /// Its length in bytes.
        length: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
    /// A node or workflow name is empty or too long.
    #[error("{what} name has {length} characters, outside 1 to the limit of {limit}")]
    NameLength {
        /// `node` or `workflow`.
        what: &'static str,
        /// Its length in characters.
        length: usize,
        /// The greatest length in characters.
        limit: usize,
    },
    /// A node or workflow name holds an illegal character.
    #[error("{what} name contains {character:?}; legal are A-Z a-z 0-9 - _")]
    NameCharacter {
        /// `node` or `workflow`.
        what: &'static str,
        /// The first such character.
        character: char,
    },
    /// An event type is empty or too long.
    #[error("event type has {length} characters, outside 1 to the limit of {limit}")]
    EventTypeLength {
        /// Its length in characters.
        length: usize,
        /// The greatest length in characters.
        limit: usize,
    },
    /// An event type holds a control character, which would break an SSE field.
    #[error("event type contains the control character {character:?}; use printable characters")]
    EventTypeCharacter {
        /// The first such character.
        character: char,
    },
    /// A message id is not `m` and a number.
    #[error("message id {text:?} is not of the form `m1`")]
    MessageId {
        /// The text that was read.
        text: String,
    },
    /// A question's id is not `ask` and a number.
    #[error("question id {text:?} is not of the form `ask1`; `GET /executions/{{id}}` lists the open ones")]
    AskId {
        /// The text that was read, cut after 64 characters.
        text: String,
    },
    /// A sequence number is over 2^53 − 1, so JSON could not hold it exactly.
    #[error("sequence number {number} is over 2^53 - 1")]
    SeqTooLarge {
        /// The number that was read.
        number: u64,
    },
    /// A position is not `<16 digits>_<16 digits>`.
    #[error("position {text:?} is not of the form <16 digits>_<16 digits>; echo one that the server sent")]
    Position {
        /// The text that was read, cut after 64 characters.
        text: String,
    },
    /// An entry's payload is not the JSON that its class has.
    #[error("payload of a {class} entry cannot be read: {reason}")]
    Payload {
        /// The entry's class.
        class: &'static str,
        /// What the JSON parser said.
        reason: String,
    },
}

impl Error {
    /// A stable identifier, the same in every release.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ExecutionIdLength { .. } | Self::ExecutionIdCharacter { .. } | Self::ExecutionIdDots => {
                "invalid_execution_id"
            }
            Self::TenantLength { .. } => "invalid_tenant",
            Self::NameLength { .. } | Self::NameCharacter { .. } => "invalid_name",
            Self::EventTypeLength { .. } | Self::EventTypeCharacter { .. } => "invalid_event_type",
            Self::MessageId { .. } => "invalid_message_id",
            Self::AskId { .. } => "invalid_ask_id",
            Self::SeqTooLarge { .. } | Self::Position { .. } => "invalid_position",
            Self::Payload { .. } => "invalid_payload",
            Self::LogNameLength { .. } | Self::LogNameCharacter { .. } => "invalid_log_name",
            Self::AttributeKeyLength { .. } => "invalid_attribute",
        }
    }

    /// Whether the same call may succeed later: never, for a value stays what it is.
    pub const fn is_retryable(&self) -> bool {
        false
    }
}
