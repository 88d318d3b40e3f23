//! What a client asks for.

mod fields;
mod parse;
mod write;

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use streamnest_core::{Delivery, EventType, ExecutionId, NodeName, Position, Seq, Signal, StartExecution};

pub use parse::ParseError;

use super::AccessToken;

/// The longest `id` of a request, in characters.
pub const MAX_REQUEST_ID: usize = 128;
/// The most items of a list in a request.
pub const MAX_LIST_ITEMS: usize = 64;
/// The longest `flushWindowMs`.
pub const MAX_FLUSH_WINDOW: Duration = Duration::from_secs(10);
/// The longest `reason` of a cancel, in characters.
const MAX_REASON: usize = 512;
/// The longest name of a subscription, in characters.
const MAX_SUBSCRIPTION: usize = 64;

/// One frame of a client: a command, and the `id` by which it knows the answer.
#[derive(Clone, Debug)]
pub struct Request {
    /// Comes back as `replyTo`.
    pub id: Option<String>,
    /// What it asks for.
    pub command: ClientCommand,
}

/// What a client asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientCommand {
    /// Follow an execution.
    SubscribeExecution(SubscribeExecution),
    /// Follow it no more.
    UnsubscribeExecution {
        /// The execution.
        execution_id: ExecutionId,
        /// The subscription's name, if it has one.
        subscription: Option<SubscriptionName>,
    },
    /// Follow event types over many executions.
    SubscribeEvents(SubscribeEvents),
    /// Start an execution, or attach to it.
    StartExecution(StartExecution),
    /// Stop an execution.
    CancelExecution {
        /// The execution.
        execution_id: ExecutionId,
        /// Why, in the client's words.
        reason: Option<String>,
    },
    /// Answer what an execution asks.
    Signal {
        /// The execution.
        execution_id: ExecutionId,
        /// The answer, and to which question.
        signal: Signal,
    },
    /// Everything up to `sequence` has been worked on.
    Ack {
        /// The execution.
        execution_id: ExecutionId,
        /// The subscription's name.
        subscription: SubscriptionName,
        /// The last entry that was worked on.
        sequence: Seq,
    },
    /// Says who the client is, or says so anew before its token expires.
    Authentication {
        /// The token.
        token: AccessToken,
    },
    /// Are you there?
    Ping,
    /// What do you know of this connection?
    GetStatus,
}

/// Which execution to follow, from where, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscribeExecution {
    /// The execution.
    pub execution_id: ExecutionId,
    /// Classes and event types, mixed; empty is everything. Each is a legal event type.
    pub events: Vec<String>,
    /// Nodes; empty is all, and the run itself. Each is a legal node name.
    pub nodes: Vec<String>,
    /// Where to begin; `None` if the client did not say, so that a named subscription may begin where it was
    /// acknowledged, and any other at the start.
    pub from: Option<StartAt>,
    /// Whether to wait for an execution that does not exist yet.
    pub wait: bool,
    /// The subscription's name.
    pub subscription: Option<SubscriptionName>,
    /// What the client relies on.
    pub delivery: Option<Delivery>,
    /// How long the server may gather entries before it sends them.
    pub flush_window: Option<Duration>,
    /// How a late reader gets what it missed.
    pub replay: Replay,
}

impl SubscribeExecution {
    /// Everything of an execution, from the start.
    pub const fn new(execution_id: ExecutionId) -> Self {
        Self {
            execution_id,
            events: Vec::new(),
            nodes: Vec::new(),
            from: None,
            wait: false,
            subscription: None,
            delivery: None,
            flush_window: None,
            replay: Replay::Full,
        }
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartAt {
    /// Before the first entry.
    Start,
    /// After the last entry.
    Now,
    /// After the entry of this position.
    After(Position),
}

impl FromStr for StartAt {
    type Err = streamnest_core::Error;

    /// Reads `start`, `now` or a position.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "start" => Ok(Self::Start),
            "now" => Ok(Self::Now),
            position => position.parse().map(Self::After),
        }
    }
}

impl fmt::Display for StartAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Now => f.write_str("now"),
            Self::After(position) => position.fmt(f),
        }
    }
}

/// How a late reader gets what it missed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Replay {
    /// Entry by entry.
    #[default]
    Full,
    /// What they said, folded into a snapshot.
    Compact,
}

impl FromStr for Replay {
    /// What it is not.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "full" => Ok(Self::Full),
            "compact" => Ok(Self::Compact),
            _ => Err("neither `full` nor `compact`"),
        }
    }
}

/// Which event types to follow over many executions.
#[derive(Clone, PartialEq, Debug)]
pub struct SubscribeEvents {
    /// The types, at least one.
    pub event_types: Vec<EventType>,
    /// To what it is limited.
    pub scope: EventScope,
}

/// To what a subscription over many executions is limited; an empty list limits nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventScope {
    /// Executions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub execution_ids: Vec<ExecutionId>,
    /// Nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_ids: Vec<NodeName>,
}

impl EventScope {
    /// Whether it limits nothing.
    pub const fn is_everything(&self) -> bool {
        self.execution_ids.is_empty() && self.node_ids.is_empty()
    }
}

/// The name of a subscription, by which a client acknowledges and comes back: 1 to 64 characters of
/// `A–Z a–z 0–9 - _ . : ~`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriptionName(String);

impl SubscriptionName {
    /// What is legal, for messages.
    const LEGAL: &'static str = "1 to 64 characters of A-Z a-z 0-9 - _ . : ~";

    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// Gives `text` back if it is empty, longer than 64 characters or holds any other character.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSubscriptionName> {
        let text = text.into();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '~');
        if text.is_empty() || text.len() > MAX_SUBSCRIPTION || !text.chars().all(legal) {
            return Err(InvalidSubscriptionName { text: super::text::quote(&text) });
        }
        Ok(Self(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot name a subscription.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("subscription name `{text}` is not 1 to 64 characters of A-Z a-z 0-9 - _ . : ~")]
pub struct InvalidSubscriptionName {
    /// The text, cut short.
    text: String,
}

impl Deref for SubscriptionName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for SubscriptionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SubscriptionName {
    type Error = InvalidSubscriptionName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<SubscriptionName> for String {
    fn from(name: SubscriptionName) -> String {
        name.0
    }
}

impl ClientCommand {
    /// The `type` on the wire.
    pub const fn command_type(&self) -> &'static str {
        match self {
            Self::SubscribeExecution(_) => "subscribe_execution",
            Self::UnsubscribeExecution { .. } => "unsubscribe_execution",
            Self::SubscribeEvents(_) => "subscribe_events",
            Self::StartExecution(_) => "start_execution",
            Self::CancelExecution { .. } => "cancel_execution",
            Self::Signal { .. } => "signal",
            Self::Ack { .. } => "ack",
            Self::Authentication { .. } => "authentication",
            Self::Ping => "ping",
            Self::GetStatus => "get_status",
        }
    }
}
