//! What an execution asks a person, and what it is answered.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, NodeName, Timestamp};

/// A question of an execution: `ask1` is the first one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AskId(u32);

impl AskId {
    /// The `number`-th question of an execution, from 1.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number, from 1.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for AskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ask{}", self.0)
    }
}

impl FromStr for AskId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        // One spelling for each: no sign, no leading zero.
        let digits =
            text.strip_prefix("ask").filter(|digits| matches!(digits.bytes().next(), Some(b'1'..=b'9')));
        let number = digits.and_then(|digits| digits.parse().ok());
        number.map(Self).ok_or_else(|| Error::AskId { text: text.chars().take(64).collect() })
    }
}

impl Serialize for AskId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AskId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An open question: the data of an `approval` event, and an item of `waiting` in [`ExecutionSummary`](crate::ExecutionSummary).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Its name within the execution, by which it is answered.
    pub ask: AskId,
    /// The node that asks.
    pub node_id: NodeName,
    /// Which pass through the node, from 1.
    pub visit: u32,
    /// Which try of that pass, from 1.
    pub attempt: u32,
    /// Which item, from 0, if the node runs once for each of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// The question, for people.
    pub question: String,
    /// What it is about, of any shape: for example the draft that is to be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Value>,
    /// JSON Schema of the answer.
    pub schema: Value,
    /// What a form begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill: Option<Value>,
    /// Until when an answer is taken, in microseconds since 1970; left out where the node waits for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The answer that counts when the deadline passes without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// How a question came to its end: the data of an `approval_answer` event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ApprovalAnswer {
    /// The question.
    pub ask: AskId,
    /// How it came to its end.
    pub outcome: AskOutcome,
    /// The answer that counts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// Who answered: the subject of the token where tokens are asked for, else what the answer itself said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How a question came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskOutcome {
    /// Somebody answered.
    Answered,
    /// The deadline passed, and the default counts.
    Default,
    /// The deadline passed without a default, and the node is told that nobody answered.
    Timeout,
    /// The node no longer waits for an answer.
    Withdrawn,
}

/// An answer to a question of an execution, as it comes from a client.
#[derive(Clone, PartialEq, Debug)]
pub struct Signal {
    /// The question.
    pub ask: AskId,
    /// The answer, to be checked against the question's schema.
    pub answer: Value,
    /// Who answers, at most [`MAX_BY`](Self::MAX_BY) characters. A gateway that asks for tokens writes their subject here;
    /// elsewhere these are the client's own words, which nobody checks.
    pub by: Option<String>,
}

impl Signal {
    /// The most characters of [`by`](Self::by): as many as the subject of a token may have (OpenID Connect Core §2).
    pub const MAX_BY: usize = 255;

    /// An answer of nobody in particular.
    pub const fn new(ask: AskId, answer: Value) -> Self {
        Self { ask, answer, by: None }
    }
}

/// An answer that was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signalled {
    /// The question.
    pub ask: AskId,
    /// Whether it had been answered so before: then nothing was changed.
    pub repeated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ask_ids_read_back_what_they_write_and_nothing_else() {
        assert_eq!(AskId::new(12).to_string(), "ask12");
        assert_eq!("ask12".parse::<AskId>().unwrap(), AskId::new(12));
        for other in ["", "12", "ask", "ask0", "ask01", "ask+1", "ask4294967296", "Ask1"] {
            assert_eq!(other.parse::<AskId>().unwrap_err().code(), "invalid_ask_id", "{other}");
        }
    }
}
