//! The pieces of an answer, as a model gives them.

use serde::{Deserialize, Serialize};
use streamnest_core::{TokenDelta, Usage};

/// A piece of an answer.
///
/// A stream holds any number of tokens and tool calls, then one [`Finish`](Self::Finish). Usage may come anywhere, also
/// after the finish, and the last one counts.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Delta {
    /// A piece of text.
    Token(TokenDelta),
    /// A tool call, or a piece of one.
    ToolCall(ToolCallDelta),
    /// What the call has used so far.
    Usage(Usage),
    /// The answer is complete.
    Finish(FinishReason),
}

/// A tool call, or a piece of one: pieces of the same `id` belong together, in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToolCallDelta {
    /// The call that this is a piece of.
    pub id: String,
    /// The tool's name: on the first piece of a call.
    pub name: Option<String>,
    /// The next characters of the arguments, which together are one JSON value.
    pub arguments: String,
}

/// Why an answer ended.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model had said what it had to say, or met a stop sequence.
    Stop,
    /// The answer reached `max_tokens`.
    Length,
    /// The model waits for the results of its tool calls.
    ToolCalls,
    /// The provider held the rest back.
    ContentFilter,
}
