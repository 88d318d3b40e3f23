//! What an execution says.

use std::{borrow::Cow, fmt, num::NonZeroU8, ops::Range, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Error, NodeName, payload};

/// The kinds of entries; for what an execution says, the `type` of its frame on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A piece of a model's answer.
    Token,
    /// How far a node has come.
    Progress,
    /// Something happened: a node started, a tool completed, or a type of the user's own.
    Event,
    /// The execution is running, or has ended.
    Status,
    /// Bytes of a log that is no execution's, with no meaning here.
    Data,
}

impl Class {
    /// Every class of what an execution says, in the order of their declaration: all but [`Class::Data`].
    pub const ALL: [Self; 4] = [Self::Token, Self::Progress, Self::Event, Self::Status];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Progress => "progress",
            Self::Event => "event",
            Self::Status => "status",
            Self::Data => "data",
        }
    }

    /// Whether an entry of this class is a *delta*, which may be folded into a snapshot for a late reader; the others
    /// are *facts*, which must be kept.
    pub const fn is_delta(self) -> bool {
        matches!(self, Self::Token | Self::Progress)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The longest event type, in characters.
const EVENT_TYPE_MAX: usize = 64;

/// What happened: one of the well-known types, or a name of the user's own.
///
/// 1 to 64 characters, no control characters (a newline in an SSE field would be an injection). `node:start` reads as
/// `node_start`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType(Cow<'static, str>);

/// Declares the well-known event types, and the list of them.
macro_rules! well_known {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl EventType {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)*
            /// Every well-known type.
            pub const WELL_KNOWN: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

well_known! {
    /// A token frame.
    TOKEN = "token";
    /// A progress frame.
    PROGRESS = "progress";
    /// A status frame.
    STATUS = "status";
    /// The whole state after a step.
    VALUES = "values";
    /// What a step changed in the state.
    UPDATES = "updates";
    /// The group of lifecycle, tool, model and custom events.
    EVENTS = "events";
    /// The workflow began.
    WORKFLOW_START = "workflow_start";
    /// The workflow came to its end.
    WORKFLOW_END = "workflow_end";
    /// The workflow failed.
    WORKFLOW_ERROR = "workflow_error";
    /// A node began a visit.
    NODE_START = "node_start";
    /// A node completed a visit.
    NODE_COMPLETE = "node_complete";
    /// A node failed.
    NODE_ERROR = "node_error";
    /// A node failed and is tried again: what the attempt said is void.
    NODE_RETRY = "node_retry";
    /// A node was stopped: the run ended, or another branch was first.
    NODE_CANCELLED = "node_cancelled";
    /// A node that runs once for each item began one.
    ITEM_START = "item_start";
    /// A node that runs once for each item completed one.
    ITEM_COMPLETE = "item_complete";
    /// A node of kind `tool` began.
    TOOL_START = "tool_start";
    /// A node of kind `tool` completed.
    TOOL_COMPLETE = "tool_complete";
    /// A model call began.
    LLM_START = "llm_start";
    /// A model call completed.
    LLM_COMPLETE = "llm_complete";
    /// Something went wrong that did not end the node.
    ERROR = "error";
    /// Something looks wrong, and the run goes on.
    WARNING = "warning";
    /// For the developer.
    DEBUG = "debug";
    /// A whole message of a model.
    MESSAGES = "messages";
    /// The final value of a run.
    FINAL = "final";
    /// A node asks a person, and waits.
    APPROVAL = "approval";
    /// A question came to its end: it was answered, or nobody did in time.
    APPROVAL_ANSWER = "approval_answer";
    /// A milestone was reached.
    MILESTONE = "milestone";
    /// A custom event without a name of its own.
    CUSTOM = "custom";
}

impl EventType {
    /// The types that only the framework writes, or that name its streams and groups: how an execution, its nodes and their
    /// items stand, what changed in its state, and its questions. Clients, snapshots and the engine rely on them, so neither
    /// a node, the program around it nor a producer outside can say them. The other well-known types (tools, models,
    /// warnings, …) are for everybody.
    pub const FRAMEWORK: &'static [Self] = &[
        Self::TOKEN,
        Self::PROGRESS,
        Self::STATUS,
        Self::VALUES,
        Self::UPDATES,
        Self::EVENTS,
        Self::WORKFLOW_START,
        Self::WORKFLOW_END,
        Self::WORKFLOW_ERROR,
        Self::NODE_START,
        Self::NODE_COMPLETE,
        Self::NODE_ERROR,
        Self::NODE_RETRY,
        Self::NODE_CANCELLED,
        Self::ITEM_START,
        Self::ITEM_COMPLETE,
        Self::APPROVAL,
        Self::APPROVAL_ANSWER,
    ];

    /// Whether only the framework writes it: whether it is one of [`FRAMEWORK`](Self::FRAMEWORK).
    pub fn is_framework(&self) -> bool {
        Self::FRAMEWORK.contains(self)
    }

    /// Checks `text` and makes it an event type; `node:start` becomes `node_start` if that is well known.
    ///
    /// # Errors
    /// If `text` is empty, longer than 64 characters or holds a control character.
    pub fn new(text: &str) -> Result<Self, Error> {
        let length = text.chars().count();
        if length == 0 || length > EVENT_TYPE_MAX {
            return Err(Error::EventTypeLength { length, limit: EVENT_TYPE_MAX });
        }
        if let Some(character) = text.chars().find(|c| c.is_control()) {
            return Err(Error::EventTypeCharacter { character });
        }
        let matches = |known: &&Self| {
            known.as_str() == text || (text.contains(':') && known.as_str() == text.replace(':', "_"))
        };
        Ok(match Self::WELL_KNOWN.iter().find(matches) {
            Some(known) => known.clone(),
            None => Self(Cow::Owned(text.into())),
        })
    }

    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How much an event of this type matters unless its producer says otherwise: failures and questions are high, what is for the
    /// developer is low, the rest medium.
    pub fn default_priority(&self) -> Priority {
        match self.as_str() {
            "workflow_error" | "node_error" | "node_retry" | "error" | "warning" | "status" | "approval" => {
                Priority::High
            }
            "debug" => Priority::Low,
            _ => Priority::Medium,
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for EventType {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl TryFrom<String> for EventType {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(&text)
    }
}

impl From<EventType> for String {
    fn from(event_type: EventType) -> String {
        event_type.0.into_owned()
    }
}

/// How much an event matters; `filter(min_priority = …)` compares it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// For the developer.
    Low,
    /// The ordinary course of a run.
    #[default]
    Medium,
    /// Failures and warnings.
    High,
}

/// What a reader may rely on for an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// A reader that lags may be moved past it and is told a gap; it is never delivered again.
    AtMostOnce,
    /// Stored before it is visible; a named subscription starts again after what it acknowledged.
    #[default]
    AtLeastOnce,
    /// As at-least-once, and written once per key, so that with the client's check of `sequence` it arrives once.
    ExactlyOnce,
}

/// One thing that an execution says, before its log's writer gave it a place.
///
/// The payload is encoded once, here, as the JSON that every wire format then carries unchanged.
#[derive(Clone, Debug)]
pub struct Event {
    /// The payload, or bytes of a wire format in which it stands as it is: so there is one piece of memory for both.
    bytes: Bytes,
    event_type: EventType,
    node: Option<NodeName>,
    /// How many bytes stand before the payload and after it.
    before: u16,
    after: u16,
    /// Which wire format those bytes are of.
    format: Option<NonZeroU8>,
    class: Class,
    priority: Priority,
    delivery: Delivery,
}

/// Events are equal that say the same, whatever bytes stand around it.
impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        let said = |event: &Self| (event.class, event.priority, event.delivery);
        said(self) == said(other)
            && self.event_type == other.event_type
            && self.node == other.node
            && self.payload() == other.payload()
    }
}

impl Eq for Event {}

impl Event {
    /// A token of `node`.
    pub fn token(node: NodeName, token: &payload::Token) -> Self {
        Self::new(Class::Token, EventType::TOKEN, Some(node), payload::encode_token(token))
    }

    /// A progress update of `node`.
    pub fn progress(node: NodeName, progress: &payload::Progress) -> Self {
        Self::new(Class::Progress, EventType::PROGRESS, Some(node), payload::encode(progress))
    }

    /// The event `event_type`, of `node` or of the whole run, with `data` of any JSON shape.
    pub fn named(node: Option<NodeName>, event_type: EventType, data: &serde_json::Value) -> Self {
        Self::written(node, event_type, data)
    }

    /// As [`named`](Self::named), with data of a type that is written as JSON without fail.
    pub fn written<T: Serialize>(node: Option<NodeName>, event_type: EventType, data: &T) -> Self {
        let payload = payload::encode(&payload::EventRef { event_type: &event_type, data });
        Self::new(Class::Event, event_type, node, payload)
    }

    /// The status of the execution.
    pub fn status(status: &payload::StatusUpdate) -> Self {
        Self::new(Class::Status, EventType::STATUS, None, payload::encode(status))
    }

    /// Bytes as they are, for a log that is no execution's.
    pub fn data(bytes: Bytes) -> Self {
        Self::new(Class::Data, EventType(Cow::Borrowed("data")), None, bytes)
    }

    /// An event as a store kept it.
    pub fn from_stored(
        class: Class,
        event_type: EventType,
        node: Option<NodeName>,
        payload: Bytes,
        delivery: Delivery,
    ) -> Self {
        Self { delivery, ..Self::new(class, event_type, node, payload) }
    }

    fn new(class: Class, event_type: EventType, node: Option<NodeName>, payload: Bytes) -> Self {
        let priority = event_type.default_priority();
        let (before, after, format, delivery) = (0, 0, None, Delivery::default());
        Self { bytes: payload, event_type, node, before, after, format, class, priority, delivery }
    }

    /// The same event with another priority.
    #[must_use]
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// The same event with another delivery guarantee.
    #[must_use]
    pub fn with_delivery(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    /// Which kind.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The type: for a token, a progress update and a status the name of its class.
    pub const fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// The node that said it; `None` if the run itself did.
    pub const fn node(&self) -> Option<&NodeName> {
        self.node.as_ref()
    }

    /// The payload: one JSON object without line breaks, or any bytes if the class is [`Class::Data`].
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.place()).unwrap_or_default()
    }

    /// The payload, with its memory shared.
    pub fn payload_bytes(&self) -> Bytes {
        self.bytes.slice(self.place())
    }

    fn place(&self) -> Range<usize> {
        usize::from(self.before)..self.bytes.len() - usize::from(self.after)
    }

    /// Keeps the payload within `bytes`, which are of the wire format of `slot`, if it ends `after` bytes before their end.
    ///
    /// # Errors
    /// Gives the bytes back if it does not stand there, or if they are more than can be told.
    pub(crate) fn frame(&mut self, slot: usize, bytes: Bytes, after: usize) -> Result<(), Bytes> {
        let fits = || {
            let before = bytes.len().checked_sub(after)?.checked_sub(self.payload().len())?;
            let within = bytes.get(before..bytes.len() - after)?;
            let format = NonZeroU8::new(u8::try_from(slot + 1).ok()?)?;
            let place = (before.try_into().ok()?, after.try_into().ok()?);
            (within == self.payload()).then_some((place, format))
        };
        let Some((place, format)) = fits() else { return Err(bytes) };
        ((self.before, self.after), self.format, self.bytes) = (place, Some(format), bytes);
        Ok(())
    }

    /// The bytes in the wire format of `slot`, if the payload is kept within them.
    pub(crate) fn framed(&self, slot: usize) -> Option<&Bytes> {
        let format = self.format?;
        (usize::from(format.get()) == slot + 1).then_some(&self.bytes)
    }

    /// How much it matters.
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// What a reader may rely on.
    pub const fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Reads the payload of a token; `None` for another class.
    ///
    /// # Errors
    /// If the payload is not a token's.
    pub fn as_token(&self) -> Result<Option<payload::Token>, Error> {
        self.decode(Class::Token)
    }

    /// Reads the payload of a progress update; `None` for another class.
    ///
    /// # Errors
    /// If the payload is not a progress update's.
    pub fn as_progress(&self) -> Result<Option<payload::Progress>, Error> {
        self.decode(Class::Progress)
    }

    /// Reads the payload of an event: its data; `None` for another class.
    ///
    /// # Errors
    /// If the payload is not an event's.
    pub fn as_data(&self) -> Result<Option<serde_json::Value>, Error> {
        Ok(self.decode::<payload::EventData>(Class::Event)?.map(|event| event.data))
    }

    /// Reads the payload of a status; `None` for another class.
    ///
    /// # Errors
    /// If the payload is not a status's.
    pub fn as_status(&self) -> Result<Option<payload::StatusUpdate>, Error> {
        self.decode(Class::Status)
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, class: Class) -> Result<Option<T>, Error> {
        if self.class != class {
            return Ok(None);
        }
        let read = serde_json::from_slice(self.payload());
        read.map(Some).map_err(|e| Error::Payload { class: class.as_str(), reason: e.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colon_spelling_of_a_known_type_is_the_same_type() {
        assert_eq!(EventType::new("node:start").unwrap(), EventType::NODE_START);
        assert_eq!(EventType::new("my:type").unwrap().as_str(), "my:type");
    }

    #[test]
    fn an_event_type_cannot_break_a_line() {
        assert!(EventType::new("a\nb").is_err());
        assert!(EventType::new("").is_err());
        assert!(EventType::new(&"x".repeat(65)).is_err());
    }

    #[test]
    fn an_event_carries_its_type_and_data() {
        let event = Event::named(None, EventType::CUSTOM, &serde_json::json!({"a": [1, 2]}));
        assert_eq!(event.payload(), br#"{"type":"custom","data":{"a":[1,2]}}"#);
        assert_eq!(event.as_data().unwrap().unwrap()["a"][1], 2);
        assert_eq!(event.as_token().unwrap(), None);
    }
}
