//! A client's text as a command, or what is wrong with it.

use serde_json::{Map, Value};
use streamnest_core::{
    AskId, Delivery, EventType, ExecutionId, NodeName, OnDisconnect, Seq, Signal, StartExecution,
    TraceContext, WorkflowName,
};

use super::{
    ClientCommand, EventScope, MAX_FLUSH_WINDOW, MAX_REASON, MAX_REQUEST_ID, Replay, Request, StartAt,
    SubscribeEvents, SubscribeExecution, SubscriptionName,
    fields::{Fields, Problem, whole},
};
use crate::{
    check_keys,
    native::{AccessToken, text},
};

/// The longest `traceparent`, in characters: of later versions it may be longer than the 55 of this one.
const MAX_TRACEPARENT: usize = 256;
/// The longest `tracestate`, in characters.
const MAX_TRACESTATE: usize = 512;
/// Every command.
const COMMANDS: &[&str] = &[
    "subscribe_execution",
    "unsubscribe_execution",
    "subscribe_events",
    "start_execution",
    "cancel_execution",
    "signal",
    "ack",
    "authentication",
    "ping",
    "get_status",
];

/// A client's frame that was refused, in words to send back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// A stable identifier: `bad_frame`, `unknown_type`, `missing_field`, `unknown_field`, `invalid_field`,
    /// `invalid_execution_id`, `invalid_ask_id`, `invalid_name`, `invalid_event_type` or `invalid_position`.
    pub code: &'static str,
    /// The field, and what is legal there.
    pub message: String,
    /// The frame's `id`, if it could be read.
    pub reply_to: Option<String>,
}

impl Request {
    /// Reads one text frame of a client.
    ///
    /// Strict: a field that the command does not have is refused by name, so that a misspelt option is never ignored, and so is an
    /// object in which a key stands twice.
    ///
    /// # Errors
    /// What is wrong, to be sent back as an `error` frame.
    pub fn parse(frame: &str) -> Result<Self, ParseError> {
        let refused = |reply_to: Option<String>, problem: Problem| ParseError {
            code: problem.code,
            message: problem.message,
            reply_to,
        };
        let envelope = object(frame).map_err(|problem| refused(None, problem))?;
        let mut fields = Fields::envelope(envelope);
        let id = fields.text("id", MAX_REQUEST_ID).map_err(|problem| refused(None, problem))?;
        match command(fields) {
            Ok(command) => Ok(Self { id, command }),
            Err(problem) => Err(refused(id, problem)),
        }
    }
}

fn object(frame: &str) -> Result<Map<String, Value>, Problem> {
    match check_keys(frame.as_bytes()).and_then(|()| serde_json::from_str(frame)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::bad_frame("frame is JSON, but not an object")),
        Err(error) => Err(Problem::bad_frame(&format!("frame is not JSON: {error}"))),
    }
}

fn command(mut envelope: Fields) -> Result<ClientCommand, Problem> {
    let command_type = envelope.required("type", Fields::text_of)?;
    let Some(known) = COMMANDS.iter().find(|known| **known == command_type) else {
        return Err(unknown_type(&command_type));
    };
    let payload = envelope.object("payload")?;
    envelope.finish(&["type", "id", "payload"])?;
    let payload = Fields::payload(known, payload);
    match *known {
        "subscribe_execution" => subscribe_execution(payload),
        "unsubscribe_execution" => unsubscribe_execution(payload),
        "subscribe_events" => subscribe_events(payload),
        "start_execution" => start_execution(payload),
        "cancel_execution" => cancel_execution(payload),
        "signal" => signal(payload),
        "ack" => ack(payload),
        "authentication" => authentication(payload),
        "ping" => payload.finish(&[]).map(|()| ClientCommand::Ping),
        "get_status" => payload.finish(&[]).map(|()| ClientCommand::GetStatus),
        _ => Err(unknown_type(&command_type)),
    }
}

fn unknown_type(command_type: &str) -> Problem {
    let suggestion = text::suggestion(command_type, COMMANDS);
    let message = format!(
        "there is no command `{}`{suggestion} commands: {}",
        text::quote(command_type),
        COMMANDS.join(", ")
    );
    Problem { code: "unknown_type", message }
}

fn subscribe_execution(mut payload: Fields) -> Result<ClientCommand, Problem> {
    let execution_id = payload.required("executionId", Fields::identifier::<ExecutionId>)?;
    let events = payload.list::<EventType>("events")?;
    let event_types = payload.list::<EventType>("eventTypes")?;
    let (events, event_types) = match (events, event_types) {
        (Some(_), Some(_)) => {
            return Err(payload.invalid("eventTypes", "is another name of `events`; give one of them"));
        }
        given => given,
    };
    let nodes = payload.list::<NodeName>("nodes")?.unwrap_or_default();
    let from = payload.optional("from", |fields, name, value| {
        let Value::String(text) = &value else {
            return Err(fields.wrong_type(name, &value, "\"start\", \"now\" or a position"));
        };
        text.parse::<StartAt>().map_err(|error| fields.core(name, &error))
    })?;
    let wait = payload.flag("wait")?;
    let subscription = payload.optional("subscription", subscription_name)?;
    let delivery = payload.choice(
        "delivery",
        &[
            ("at-most-once", Delivery::AtMostOnce),
            ("at-least-once", Delivery::AtLeastOnce),
            ("exactly-once", Delivery::ExactlyOnce),
        ],
    )?;
    let flush_window = payload.milliseconds("flushWindowMs", MAX_FLUSH_WINDOW)?;
    let replay = payload.choice("replay", &[("full", Replay::Full), ("compact", Replay::Compact)])?;
    payload.finish(&[
        "executionId",
        "events",
        "eventTypes",
        "nodes",
        "from",
        "wait",
        "subscription",
        "delivery",
        "flushWindowMs",
        "replay",
    ])?;
    Ok(ClientCommand::SubscribeExecution(SubscribeExecution {
        execution_id,
        events: strings(events.or(event_types).unwrap_or_default()),
        nodes: strings(nodes),
        from,
        wait,
        subscription,
        delivery,
        flush_window,
        replay: replay.unwrap_or_default(),
    }))
}

fn unsubscribe_execution(mut payload: Fields) -> Result<ClientCommand, Problem> {
    let execution_id = payload.required("executionId", Fields::identifier::<ExecutionId>)?;
    let subscription = payload.optional("subscription", subscription_name)?;
    payload.finish(&["executionId", "subscription"])?;
    Ok(ClientCommand::UnsubscribeExecution { execution_id, subscription })
}

fn subscribe_events(mut payload: Fields) -> Result<ClientCommand, Problem> {
    let event_types = match payload.list::<EventType>("eventTypes")? {
        Some(types) if types.is_empty() => {
            return Err(payload.invalid("eventTypes", "is empty; name at least one class or event type"));
        }
        Some(types) => types,
        None => return Err(payload.missing("eventTypes")),
    };
    let mut scope = Fields::scope("subscribe_events", payload.object("scope")?);
    payload.finish(&["eventTypes", "scope"])?;
    let execution_ids = scope.list::<ExecutionId>("executionIds")?.unwrap_or_default();
    let node_ids = scope.list::<NodeName>("nodeIds")?.unwrap_or_default();
    scope.finish(&["executionIds", "nodeIds"])?;
    let scope = EventScope { execution_ids, node_ids };
    Ok(ClientCommand::SubscribeEvents(SubscribeEvents { event_types, scope }))
}

fn start_execution(mut payload: Fields) -> Result<ClientCommand, Problem> {
    let workflow = payload.required("workflow", Fields::identifier::<WorkflowName>)?;
    let input = payload.required("input", |_, _, value| Ok(value))?;
    let execution_id = payload.optional("executionId", Fields::identifier::<ExecutionId>)?;
    let on_disconnect = payload
        .choice("onDisconnect", &[("continue", OnDisconnect::Continue), ("cancel", OnDisconnect::Cancel)])?;
    let traceparent = payload.text("traceparent", MAX_TRACEPARENT)?;
    let tracestate = payload.text("tracestate", MAX_TRACESTATE)?;
    let trace = match traceparent {
        None => None,
        Some(text) => Some(TraceContext::parse(&text, tracestate.as_deref()).ok_or_else(|| {
            payload.invalid("traceparent", "is none of W3C Trace Context; write 00-<trace>-<parent>-01")
        })?),
    };
    payload.finish(&["workflow", "input", "executionId", "onDisconnect", "traceparent", "tracestate"])?;
    Ok(ClientCommand::StartExecution(StartExecution {
        workflow: workflow.into(),
        input,
        execution_id,
        on_disconnect,
        trace,
    }))
}

fn cancel_execution(mut payload: Fields) -> Result<ClientCommand, Problem> {
    let execution_id = payload.required("executionId", Fields::identifier::<ExecutionId>)?;
    let reason = payload.text("reason", MAX_REASON)?;
    payload.finish(&["executionId", "reason"])?;
    Ok(ClientCommand::CancelExecution { execution_id, reason })
}

fn signal(mut payload: Fields) -> Result<ClientCommand, Problem> {
    let execution_id = payload.required("executionId", Fields::identifier::<ExecutionId>)?;
    let ask = payload.required("ask", Fields::identifier::<AskId>)?;
    let answer = payload.required("answer", |_, _, value| Ok(value))?;
    let by = payload.text("by", Signal::MAX_BY)?;
    payload.finish(&["executionId", "ask", "answer", "by"])?;
    Ok(ClientCommand::Signal { execution_id, signal: Signal { ask, answer, by } })
}

fn ack(mut payload: Fields) -> Result<ClientCommand, Problem> {
    let execution_id = payload.required("executionId", Fields::identifier::<ExecutionId>)?;
    let subscription = payload.required("subscription", subscription_name)?;
    let sequence = payload.required("sequence", |fields, name, value| {
        let number = whole(&value).and_then(|number| Seq::try_from(number).ok());
        number.ok_or_else(|| fields.wrong_type(name, &value, "a whole number from 0 to 2^53 - 1"))
    })?;
    payload.finish(&["executionId", "subscription", "sequence"])?;
    Ok(ClientCommand::Ack { execution_id, subscription, sequence })
}

fn authentication(mut payload: Fields) -> Result<ClientCommand, Problem> {
    let token = payload.required("token", Fields::text_of)?;
    payload.finish(&["token"])?;
    Ok(ClientCommand::Authentication { token: AccessToken::new(token) })
}

fn subscription_name(fields: &Fields, name: &'static str, value: Value) -> Result<SubscriptionName, Problem> {
    match value {
        Value::String(text) => SubscriptionName::new(text)
            .map_err(|_| fields.invalid(name, &format!("has to be {}", SubscriptionName::LEGAL))),
        other => Err(fields.wrong_type(name, &other, "a string")),
    }
}

fn strings<T: Into<String>>(names: Vec<T>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}
