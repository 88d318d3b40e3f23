//! The payloads of entries: the JSON that stands in the `payload` of a frame, as types.
//!
//! Absent fields are left out, never `null`.

use std::cell::RefCell;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Cost, EventType, MessageId};

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The most memory that a thread keeps for the next payload, in bytes.
const SCRATCH_BYTES: usize = 64 << 10;

/// What `write` writes, in memory of just that size: payloads are kept for long, and growing one costs more than
/// copying it.
fn exactly(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        write(scratch);
        let bytes = Bytes::copy_from_slice(scratch);
        scratch.shrink_to(SCRATCH_BYTES);
        bytes
    })
}

/// Encodes a payload.
pub(crate) fn encode<T: Serialize>(payload: &T) -> Bytes {
    let bytes =
        serde_json::to_vec(payload).expect("payload types have string keys and serialize without fail");
    bytes.into_boxed_slice().into()
}

/// Encodes a token. Almost all of them carry text and numbers only, and this is done for every token that is streamed,
/// so those are written by hand; the tests hold that it is what serde writes.
pub(crate) fn encode_token(token: &Token) -> Bytes {
    let plain = token.value.is_none()
        && token.complete.is_none()
        && token.role.is_none()
        && token.logprob.is_none()
        && token.kind.is_none()
        && token.metadata.is_none();
    let Some(message) = token.message.filter(|_| plain) else { return encode(token) };
    exactly(|out| {
        out.extend_from_slice(b"{\"content\":");
        encode_text(&token.content, out);
        let mut number = |name: &[u8], number: u64| {
            out.extend_from_slice(name);
            encode_number(number, out);
        };
        number(b",\"index\":", token.index);
        number(b",\"count\":", token.count.into());
        if token.filtered > 0 {
            number(b",\"filtered\":", token.filtered);
        }
        number(b",\"visit\":", token.visit.into());
        number(b",\"attempt\":", token.attempt.into());
        if let Some(item) = token.item {
            number(b",\"item\":", item.into());
        }
        number(b",\"message\":\"m", message.number().into());
        out.extend_from_slice(b"\"}");
    })
}

/// Writes a JSON string.
fn encode_text(text: &str, out: &mut Vec<u8>) {
    // Without an early exit the compiler looks at many bytes at once.
    let escapes = |found: bool, byte: &u8| found | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
    if text.as_bytes().iter().fold(false, escapes) {
        serde_json::to_writer(out, text).expect("text is JSON, and a vector takes it");
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Writes a number in decimal.
fn encode_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.split_at(digits.len() - used).1);
}

/// One or more tokens of a model's answer, joined.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// The text; the contents of all tokens of one message in order are the answer, less what a filter dropped.
    pub content: String,
    /// The index of the first token joined here, from 0, counted per message before any filter.
    pub index: u64,
    /// How many tokens are joined here.
    pub count: u32,
    /// How many tokens a filter dropped between the frame before and the end of this one; left out when none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub filtered: u64,
    /// Which pass through the node, from 1.
    pub visit: u32,
    /// Which try of that pass, from 1.
    pub attempt: u32,
    /// Which item, from 0, if the node runs once for each of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// Which answer: one id per model call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// `format = "json"`: the value so far, at most every 200 ms and at the end of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// `format = "json"`: on the last frame of a message, whether the whole answer was one complete JSON value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// `format = "structured"`: who speaks, for example `assistant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `format = "structured"`: the natural logarithm of the token's probability, if the model gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f64>,
    /// `format = "structured"`: what the token belongs to, for example `reasoning`, if the model told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `include_metadata`: what the model said about the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// How far a visit of a node has come.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Percent, 0 to 100; never less than before within a visit.
    pub progress: f64,
    /// Units done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<f64>,
    /// Units in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// Units per second since the visit's first update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The estimated time to the end, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
    /// Time since the visit's first update, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// The milestone that this update reached, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milestone: Option<f64>,
    /// The update as a line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// `failed` or `cancelled` when the visit ended so; left out otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Figures that the node gave, for example memory or token counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Map<String, Value>>,
    /// Which pass through the node, from 1.
    pub visit: u32,
    /// Which try of that pass, from 1.
    pub attempt: u32,
    /// Which item, from 0, if the node runs once for each of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
}

/// An event's type and data, to be written.
#[derive(Serialize)]
pub(crate) struct EventRef<'a, T> {
    #[serde(rename = "type")]
    pub(crate) event_type: &'a EventType,
    pub(crate) data: &'a T,
}

/// An event's type and data.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventData {
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// About it, of any shape.
    pub data: Value,
}

/// Where an execution stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It goes on.
    Running,
    /// It waits for an answer; branches beside the one that asks go on. Only where an execution is shown or listed: its log
    /// tells it by `approval` events, so that a status entry that is not `running` is always the last one.
    Paused,
    /// It came to its end. Terminal.
    Completed,
    /// It failed: an error, a panic or a timeout. Terminal.
    Failed,
    /// Somebody stopped it. Terminal.
    Cancelled,
}

impl Status {
    /// Whether it is the last thing an execution says.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A status entry.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StatusUpdate {
    /// Where the execution stands.
    pub status: Status,
    /// The final state, when completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Why it was cancelled, in the words of who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What its model calls came to, when it has ended and there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<Cost>>,
}

impl StatusUpdate {
    /// The execution runs.
    pub const fn running() -> Self {
        Self { status: Status::Running, result: None, error: None, reason: None, cost: None }
    }

    /// The execution came to its end with `result`.
    pub const fn completed(result: Value) -> Self {
        Self { status: Status::Completed, result: Some(result), error: None, reason: None, cost: None }
    }

    /// The execution failed.
    pub const fn failed(error: Failure) -> Self {
        Self { status: Status::Failed, result: None, error: Some(error), reason: None, cost: None }
    }

    /// The execution was stopped.
    pub const fn cancelled(reason: Option<String>) -> Self {
        Self { status: Status::Cancelled, result: None, error: None, reason, cost: None }
    }
}

/// Why an execution failed, in words that may reach any client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// A stable identifier, for example `node_timeout`; all of them stand in `docs/errors.md`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// The node in which it failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_are_left_out() {
        let token = Token {
            content: "Hello".into(),
            index: 3,
            count: 1,
            visit: 1,
            attempt: 1,
            message: Some(MessageId::new(1)),
            ..Token::default()
        };
        let text = r#"{"content":"Hello","index":3,"count":1,"visit":1,"attempt":1,"message":"m1"}"#;
        assert_eq!(&encode(&token)[..], text.as_bytes());
        assert_eq!(serde_json::from_str::<Token>(text).unwrap(), token);
    }

    #[test]
    fn tokens_are_encoded_as_serde_does() {
        let texts = ["", "Hello", " a\"b\\c", "line\nbreak\u{1}\u{7f}", "grüße 😀", "\u{2028}"];
        for content in texts {
            for (index, filtered) in [(0, 0), (9, 1), (10, 99), (u64::MAX, u64::MAX)] {
                for message in [None, Some(MessageId::new(1)), Some(MessageId::new(u32::MAX))] {
                    let plain = Token {
                        content: content.into(),
                        index,
                        count: 100,
                        filtered,
                        visit: 1,
                        attempt: u32::MAX,
                        message,
                        ..Token::default()
                    };
                    let of_item = Token { item: Some(index as u32), ..plain.clone() };
                    let rich = Token { role: Some("assistant".into()), logprob: Some(-0.5), ..plain.clone() };
                    for token in [plain, of_item, rich] {
                        assert_eq!(encode_token(&token), encode(&token), "{token:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn statuses_read_back() {
        let failed = StatusUpdate::failed(Failure {
            code: "node_timeout".into(),
            message: "node `a` ran longer than 1s".into(),
            node_id: Some("a".into()),
        });
        let text = String::from_utf8(encode(&failed).to_vec()).unwrap();
        assert!(text.contains(r#""nodeId":"a""#), "{text}");
        assert_eq!(serde_json::from_str::<StatusUpdate>(&text).unwrap(), failed);
    }
}
