//! What a server says besides entries: frames of the connection.
//!
//! All have one envelope, `{"type":…,"replyTo"?:…,"payload":{…}}`; `replyTo` repeats the `id` of the request that a
//! frame answers. Fields that are absent are left out, never `null`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamnest_core::{AskId, ControlError, EventType, ExecutionId, Position, Seq, Status, Timestamp};

use super::{EventScope, ParseError, Snapshot, SubscriptionName, sse, text, websocket};

/// A frame of the connection, which stands in no log.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum ServerFrame {
    /// The first frame of every connection.
    Connected(Connected),
    /// Sent in every interval of `heartbeatMs`, also in silence.
    Heartbeat(Heartbeat),
    /// Entries that the reader asked for and does not get.
    Gap(Gap),
    /// What entries said, in place of them.
    Snapshot(Box<Snapshot>),
    /// What the server's own program sent to this one connection; of any shape.
    Message(Value),
    /// A request was refused.
    Error(ErrorFrame),
    /// The answer to `ping`.
    Pong,
    /// The answer to `get_status`.
    StatusResponse(StatusResponse),
    /// The answer to `authentication`.
    AuthenticationSuccess(AuthenticationSuccess),
    /// The client's token expires soon; then the connection is closed.
    TokenExpiring(TokenExpiring),
    /// The answer to `subscribe_execution`; the entries follow it.
    SubscriptionConfirmed(SubscriptionConfirmed),
    /// The answer to `unsubscribe_execution`; no entry follows it.
    UnsubscriptionConfirmed(UnsubscriptionConfirmed),
    /// The answer to `subscribe_events`.
    EventsSubscriptionConfirmed(EventsSubscriptionConfirmed),
    /// The answer to `start_execution`.
    ExecutionStarted(ExecutionStarted),
    /// The answer to `cancel_execution`; the terminal status follows in the log.
    CancelAccepted(CancelAccepted),
    /// The answer to `signal`: the answer stands in the log.
    SignalAccepted(SignalAccepted),
}

/// Greets a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// The connection's name, by which the server's program can send to it.
    pub connection_id: String,
    /// How often the server sends a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
}

/// Says that the server lives, and where each subscription stands, so that a filtered one resumes there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// One per subscription to an execution. Everything up to it that passes the filter has been sent before.
    pub positions: Vec<ReaderPosition>,
}

/// Where a subscription stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaderPosition {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The subscription's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionName>,
    /// To be given as `from` to go on after it.
    pub position: Position,
}

/// Entries that are not delivered: nothing is skipped in silence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The subscription's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionName>,
    /// The first sequence number that is missed.
    pub from: Seq,
    /// The last one, inclusive.
    pub to: Seq,
    /// Why.
    pub reason: GapReason,
    /// Where the reader stands now: after `to`.
    pub position: Position,
}

/// Why entries are not delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The log no longer keeps them.
    Trimmed,
    /// The log's content is a new incarnation; what the reader knew is void.
    Epoch,
    /// The reader lagged too far behind and takes at-most-once delivery.
    Lagged,
    /// The store has them, but not as they were written, and never serves them so.
    Damaged,
}

impl GapReason {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Epoch => "epoch",
            Self::Lagged => "lagged",
            Self::Damaged => "damaged",
        }
    }
}

/// Why a request was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorFrame {
    /// A stable identifier, listed in `docs/errors.md`.
    pub code: String,
    /// The fact, and what to do.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// After how many milliseconds it may, where a limit says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorFrame {
    /// Why a request was refused.
    pub fn new(code: impl Into<String>, message: impl Into<String>, retryable: bool) -> Self {
        Self { code: code.into(), message: message.into(), retryable, retry_after_ms: None }
    }

    /// Says when the same request may succeed.
    #[must_use]
    pub fn with_retry_after(self, after: Duration) -> Self {
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Self { retry_after_ms: Some(millis.min(Seq::MAX.get())), ..self }
    }
}

impl From<&ParseError> for ErrorFrame {
    fn from(error: &ParseError) -> Self {
        Self::new(error.code, error.message.clone(), false)
    }
}

impl From<&ControlError> for ErrorFrame {
    fn from(error: &ControlError) -> Self {
        Self::new(error.code(), error.to_string(), error.is_retryable())
    }
}

/// What the server knows of this connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusResponse {
    /// The connection's name.
    pub connection_id: String,
    /// How long it stands, in milliseconds.
    pub connected_ms: u64,
    /// Its subscriptions to executions.
    pub subscriptions: Vec<SubscriptionStatus>,
}

/// What the server knows of a subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionStatus {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The subscription's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionName>,
    /// Where it stands.
    pub position: Position,
    /// How many entries of the log lie after that.
    pub lag: u64,
    /// Where the execution stands.
    pub state: SubscriptionState,
}

/// Where the execution of a subscription stands: a [`Status`], or `waiting` while there is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionState {
    /// The execution does not exist yet; its entries come when it does.
    Waiting,
    /// It goes on.
    Running,
    /// It came to its end.
    Completed,
    /// It failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl From<Status> for SubscriptionState {
    fn from(status: Status) -> Self {
        match status {
            // Whether it waits for an answer its `approval` events tell.
            Status::Running | Status::Paused => Self::Running,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

/// A client is who its token says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationSuccess {
    /// Who it is.
    pub subject: String,
    /// When the token expires, in microseconds since 1970. Without a new one the connection is closed then.
    pub expires_at: Timestamp,
}

/// A client's token expires soon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenExpiring {
    /// When, in microseconds since 1970.
    pub expires_at: Timestamp,
}

/// A subscription to an execution stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionConfirmed {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The subscription's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionName>,
    /// Where it begins: the next entry is the one after it. All zeros before the first, and while it waits.
    pub position: Position,
    /// Where the execution stands.
    pub state: SubscriptionState,
}

/// A subscription has ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnsubscriptionConfirmed {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The subscription's name, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionName>,
}

/// A subscription to event types of many executions stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsSubscriptionConfirmed {
    /// The types, in their usual spelling.
    pub event_types: Vec<EventType>,
    /// To what it is limited; left out if to nothing.
    #[serde(default, skip_serializing_if = "EventScope::is_everything")]
    pub scope: EventScope,
}

/// An execution was started, or found running.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStarted {
    /// Its id.
    pub execution_id: ExecutionId,
    /// The position before its first entry.
    pub position: Position,
    /// Whether it was there already, with the same workflow and input.
    pub attached: bool,
}

/// A cancel was heard: nothing but the terminal status follows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelAccepted {
    /// The execution.
    pub execution_id: ExecutionId,
}

/// An answer was taken, and stands in the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalAccepted {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The question.
    pub ask: AskId,
    /// Whether it had been answered so before: then nothing was changed.
    pub repeated: bool,
}

/// What every frame of the connection looks like.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, P> {
    #[serde(rename = "type")]
    frame_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    payload: P,
}

/// The payload of a frame that says nothing more.
#[derive(Serialize)]
struct Nothing {}

impl ServerFrame {
    /// The `type` on the wire.
    pub const fn frame_type(&self) -> &'static str {
        match self {
            Self::Connected(_) => "connected",
            Self::Heartbeat(_) => "heartbeat",
            Self::Gap(_) => "gap",
            Self::Snapshot(_) => "snapshot",
            Self::Message(_) => "message",
            Self::Error(_) => "error",
            Self::Pong => "pong",
            Self::StatusResponse(_) => "status_response",
            Self::SubscriptionConfirmed(_) => "subscription_confirmed",
            Self::UnsubscriptionConfirmed(_) => "unsubscription_confirmed",
            Self::EventsSubscriptionConfirmed(_) => "events_subscription_confirmed",
            Self::ExecutionStarted(_) => "execution_started",
            Self::CancelAccepted(_) => "cancel_accepted",
            Self::SignalAccepted(_) => "signal_accepted",
            Self::AuthenticationSuccess(_) => "authentication_success",
            Self::TokenExpiring(_) => "token_expiring",
        }
    }

    /// An error of any origin.
    pub fn error(code: impl Into<String>, message: impl Into<String>, retryable: bool) -> Self {
        Self::Error(ErrorFrame::new(code, message, retryable))
    }

    /// The frame as JSON on one line; `reply_to` is the `id` of the request that it answers.
    pub fn to_json(&self, reply_to: Option<&str>) -> String {
        let frame_type = self.frame_type();
        match self {
            Self::Connected(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::Heartbeat(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::Gap(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::Snapshot(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::Message(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::Error(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::Pong => text::to_json(&Envelope { frame_type, reply_to, payload: Nothing {} }),
            Self::StatusResponse(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::SubscriptionConfirmed(payload) => {
                text::to_json(&Envelope { frame_type, reply_to, payload })
            }
            Self::UnsubscriptionConfirmed(payload) => {
                text::to_json(&Envelope { frame_type, reply_to, payload })
            }
            Self::EventsSubscriptionConfirmed(payload) => {
                text::to_json(&Envelope { frame_type, reply_to, payload })
            }
            Self::ExecutionStarted(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::CancelAccepted(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::SignalAccepted(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
            Self::AuthenticationSuccess(payload) => {
                text::to_json(&Envelope { frame_type, reply_to, payload })
            }
            Self::TokenExpiring(payload) => text::to_json(&Envelope { frame_type, reply_to, payload }),
        }
    }

    /// Appends the frame as a text message of a WebSocket server.
    pub fn encode_websocket(&self, reply_to: Option<&str>, out: &mut Vec<u8>) {
        websocket::text(&self.to_json(reply_to), out);
    }

    /// Appends the frame as a Server-Sent Event. Only a gap and a snapshot move the reader's position, so only they have an
    /// `id`.
    pub fn encode_sse(&self, out: &mut Vec<u8>) {
        let id = match self {
            Self::Gap(gap) => Some(gap.position),
            Self::Snapshot(snapshot) => Some(snapshot.position),
            _ => None,
        };
        sse::event(id, &self.to_json(None), out);
    }
}
