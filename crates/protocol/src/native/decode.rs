//! Frames as a client reads them.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;
use streamnest_core::{
    Class, ExecutionId, NodeName, Position, Seq, Timestamp,
    payload::{EventData, Progress, StatusUpdate, Token},
};

use super::{ServerFrame, SubscriptionName};
use crate::Error;

/// One frame of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Frame {
    /// An entry of a log.
    Entry(EntryFrame),
    /// A frame of the connection.
    Server {
        /// What it says.
        frame: ServerFrame,
        /// The `id` of the request that it answers.
        reply_to: Option<String>,
    },
    /// A type that this version does not know; to be skipped, so that a newer server can say more.
    Unknown {
        /// Its `type`.
        frame_type: String,
    },
}

/// An entry of a log as it arrives.
#[derive(Clone, Debug)]
pub struct EntryFrame {
    /// Which of the four kinds.
    pub class: Class,
    /// The execution.
    pub execution_id: ExecutionId,
    /// The node that said it; `None` if the run itself did.
    pub node: Option<NodeName>,
    /// Its number in the log.
    pub sequence: Seq,
    /// To be given as `from` to go on after it.
    pub position: Position,
    /// When the writer took it.
    pub timestamp: Timestamp,
    /// The subscription that it answers, if that has a name.
    pub subscription: Option<SubscriptionName>,
    /// The payload as it was sent.
    pub payload: Box<RawValue>,
}

impl EntryFrame {
    /// The payload of a token; `None` for another class.
    ///
    /// # Errors
    /// [`Error::Field`] if it is none.
    pub fn token(&self) -> Result<Option<Token>, Error> {
        self.payload_of(Class::Token)
    }

    /// The payload of a progress update; `None` for another class.
    ///
    /// # Errors
    /// [`Error::Field`] if it is none.
    pub fn progress(&self) -> Result<Option<Progress>, Error> {
        self.payload_of(Class::Progress)
    }

    /// Type and data of an event; `None` for another class.
    ///
    /// # Errors
    /// [`Error::Field`] if it is none.
    pub fn event(&self) -> Result<Option<EventData>, Error> {
        self.payload_of(Class::Event)
    }

    /// The payload of a status; `None` for another class.
    ///
    /// # Errors
    /// [`Error::Field`] if it is none.
    pub fn status(&self) -> Result<Option<StatusUpdate>, Error> {
        self.payload_of(Class::Status)
    }

    fn payload_of<T: DeserializeOwned>(&self, class: Class) -> Result<Option<T>, Error> {
        if self.class != class {
            return Ok(None);
        }
        read("payload", class.as_str(), &self.payload).map(Some)
    }
}

/// Every field that stands beside a payload.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    frame_type: Cow<'a, str>,
    reply_to: Option<String>,
    execution_id: Option<ExecutionId>,
    node_id: Option<NodeName>,
    sequence: Option<Seq>,
    position: Option<Position>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    subscription: Option<SubscriptionName>,
    #[serde(borrow, default, deserialize_with = "raw")]
    payload: Option<&'a RawValue>,
}

/// A payload of `null` is one, not none: a `message` may hold it.
fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Frame {
    /// Reads one text frame of a server.
    ///
    /// Lenient where a newer server may say more: unknown types come as [`Frame::Unknown`], unknown fields are skipped.
    ///
    /// # Errors
    /// [`Error::Frame`] for what is no JSON object with a `type`, [`Error::Field`] for a known frame with a field that
    /// is missing or wrong.
    pub fn decode(text: &str) -> Result<Self, Error> {
        let envelope: Envelope<'_> =
            serde_json::from_str(text).map_err(|error| Error::Frame { reason: error.to_string() })?;
        let class = Class::ALL.into_iter().find(|class| class.as_str() == envelope.frame_type);
        match class {
            Some(class) => entry(class, envelope).map(Self::Entry),
            None => server(envelope),
        }
    }
}

fn entry(class: Class, envelope: Envelope<'_>) -> Result<EntryFrame, Error> {
    let frame = class.as_str();
    let timestamp = present(frame, "timestamp", envelope.timestamp)?;
    Ok(EntryFrame {
        class,
        execution_id: present(frame, "executionId", envelope.execution_id)?,
        node: envelope.node_id,
        sequence: present(frame, "sequence", envelope.sequence)?,
        position: present(frame, "position", envelope.position)?,
        timestamp: parse_timestamp(&timestamp).ok_or_else(|| Error::Field {
            frame,
            reason: "`timestamp` is not RFC 3339 in UTC with six decimals".into(),
        })?,
        subscription: envelope.subscription,
        payload: present(frame, "payload", envelope.payload)?.to_owned(),
    })
}

fn server(envelope: Envelope<'_>) -> Result<Frame, Error> {
    let payload = envelope.payload;
    let frame = match &*envelope.frame_type {
        "connected" => ServerFrame::Connected(body("connected", payload)?),
        "heartbeat" => ServerFrame::Heartbeat(body("heartbeat", payload)?),
        "gap" => ServerFrame::Gap(body("gap", payload)?),
        "snapshot" => ServerFrame::Snapshot(body("snapshot", payload)?),
        "message" => ServerFrame::Message(body("message", payload)?),
        "error" => ServerFrame::Error(body("error", payload)?),
        "pong" => ServerFrame::Pong,
        "status_response" => ServerFrame::StatusResponse(body("status_response", payload)?),
        "subscription_confirmed" => {
            ServerFrame::SubscriptionConfirmed(body("subscription_confirmed", payload)?)
        }
        "unsubscription_confirmed" => {
            ServerFrame::UnsubscriptionConfirmed(body("unsubscription_confirmed", payload)?)
        }
        "events_subscription_confirmed" => {
            ServerFrame::EventsSubscriptionConfirmed(body("events_subscription_confirmed", payload)?)
        }
        "execution_started" => ServerFrame::ExecutionStarted(body("execution_started", payload)?),
        "cancel_accepted" => ServerFrame::CancelAccepted(body("cancel_accepted", payload)?),
        "authentication_success" => {
            ServerFrame::AuthenticationSuccess(body("authentication_success", payload)?)
        }
        "token_expiring" => ServerFrame::TokenExpiring(body("token_expiring", payload)?),
        "signal_accepted" => ServerFrame::SignalAccepted(body("signal_accepted", payload)?),
        other => return Ok(Frame::Unknown { frame_type: other.into() }),
    };
    Ok(Frame::Server { frame, reply_to: envelope.reply_to })
}

fn body<T: DeserializeOwned>(frame: &'static str, payload: Option<&RawValue>) -> Result<T, Error> {
    read("payload", frame, present(frame, "payload", payload)?)
}

fn read<T: DeserializeOwned>(field: &str, frame: &'static str, json: &RawValue) -> Result<T, Error> {
    serde_json::from_str(json.get())
        .map_err(|error| Error::Field { frame, reason: format!("`{field}`: {error}") })
}

fn present<T>(frame: &'static str, field: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::Field { frame, reason: format!("`{field}` is missing") })
}

/// Reads what [`Timestamp`]'s `Display` writes. The way from a date to a day count is Howard Hinnant's
/// `days_from_civil` (<https://howardhinnant.github.io/date_algorithms.html>).
fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; Timestamp::TEXT_LENGTH] = text.as_bytes().try_into().ok()?;
    let shape = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    if !bytes.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |at: usize, width: usize| text.get(at..at + width)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second, micros) = (number(11, 2)?, number(14, 2)?, number(17, 2)?, number(20, 6)?);
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    let time = Timestamp::from_micros(seconds * 1_000_000 + micros);
    // February 30 would come out as a day in March.
    (time.to_rfc3339() == *bytes).then_some(time)
}
