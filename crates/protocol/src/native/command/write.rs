//! A command as a client sends it.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use streamnest_core::{AskId, Delivery, EventType, ExecutionId, OnDisconnect, Seq, Signal, TraceContext};

use super::{ClientCommand, EventScope, Replay, Request, SubscribeExecution, SubscriptionName};
use crate::native::{AccessToken, text};

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    command_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    payload: Payload<'a>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Payload<'a> {
    Subscribe {
        execution_id: &'a ExecutionId,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        events: &'a [String],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        nodes: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        wait: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        subscription: Option<&'a SubscriptionName>,
        #[serde(skip_serializing_if = "Option::is_none")]
        delivery: Option<Delivery>,
        #[serde(skip_serializing_if = "Option::is_none")]
        flush_window_ms: Option<u128>,
        #[serde(skip_serializing_if = "Option::is_none")]
        replay: Option<&'static str>,
    },
    Events {
        event_types: &'a [EventType],
        #[serde(skip_serializing_if = "EventScope::is_everything")]
        scope: &'a EventScope,
    },
    Start {
        workflow: &'a str,
        input: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        execution_id: Option<&'a ExecutionId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        on_disconnect: Option<OnDisconnect>,
        #[serde(skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tracestate: Option<&'a str>,
    },
    Signal {
        execution_id: &'a ExecutionId,
        ask: AskId,
        answer: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
    },
    Execution {
        execution_id: &'a ExecutionId,
        #[serde(skip_serializing_if = "Option::is_none")]
        subscription: Option<&'a SubscriptionName>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence: Option<Seq>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Authentication {
        token: &'a AccessToken,
    },
    Nothing {},
}

impl Request {
    /// A request that expects an answer to `id`.
    pub fn new(id: impl Into<String>, command: ClientCommand) -> Self {
        Self { id: Some(id.into()), command }
    }

    /// The request as JSON on one line.
    pub fn to_json(&self) -> String {
        let (command_type, id) = (self.command.command_type(), self.id.as_deref());
        text::to_json(&Envelope { command_type, id, payload: payload(&self.command) })
    }
}

fn payload(command: &ClientCommand) -> Payload<'_> {
    match command {
        ClientCommand::SubscribeExecution(subscribe) => subscribe_payload(subscribe),
        ClientCommand::UnsubscribeExecution { execution_id, subscription } => Payload::Execution {
            execution_id,
            subscription: subscription.as_ref(),
            sequence: None,
            reason: None,
        },
        ClientCommand::SubscribeEvents(subscribe) => {
            Payload::Events { event_types: &subscribe.event_types, scope: &subscribe.scope }
        }
        ClientCommand::StartExecution(start) => Payload::Start {
            workflow: &start.workflow,
            input: &start.input,
            execution_id: start.execution_id.as_ref(),
            on_disconnect: start.on_disconnect,
            traceparent: start.trace.as_ref().map(TraceContext::traceparent),
            tracestate: start.trace.as_ref().and_then(TraceContext::tracestate),
        },
        ClientCommand::CancelExecution { execution_id, reason } => {
            Payload::Execution { execution_id, subscription: None, sequence: None, reason: reason.as_deref() }
        }
        ClientCommand::Signal { execution_id, signal: Signal { ask, answer, by } } => {
            Payload::Signal { execution_id, ask: *ask, answer, by: by.as_deref() }
        }
        ClientCommand::Ack { execution_id, subscription, sequence } => Payload::Execution {
            execution_id,
            subscription: Some(subscription),
            sequence: Some(*sequence),
            reason: None,
        },
        ClientCommand::Authentication { token } => Payload::Authentication { token },
        ClientCommand::Ping | ClientCommand::GetStatus => Payload::Nothing {},
    }
}

fn subscribe_payload(subscribe: &SubscribeExecution) -> Payload<'_> {
    Payload::Subscribe {
        execution_id: &subscribe.execution_id,
        events: &subscribe.events,
        nodes: &subscribe.nodes,
        from: subscribe.from.map(|from| from.to_string()),
        wait: subscribe.wait,
        subscription: subscribe.subscription.as_ref(),
        delivery: subscribe.delivery,
        flush_window_ms: subscribe.flush_window.as_ref().map(Duration::as_millis),
        replay: (subscribe.replay == Replay::Compact).then_some("compact"),
    }
}
