//! One of every frame, with the name of its golden file.

use serde_json::json;
use streamnest_core::{
    Approval, ApprovalAnswer, AskId, AskOutcome, Cost, Delivery, Entry, Epoch, Event, EventType, ExecutionId,
    LogIdentity, MessageId, NodeName, OnDisconnect, Position, Seq, Signal, StartExecution, Timestamp,
    TraceContext,
    payload::{Failure, Progress, StatusUpdate, Token},
};
use streamnest_protocol::native::*;

pub(crate) const NAME: &str = "dashboard";

pub(crate) fn log() -> LogIdentity {
    LogIdentity::new(&execution(), Epoch::new(1_795_238_979_000_001))
}

pub(crate) fn execution() -> ExecutionId {
    ExecutionId::new("tenant:run-1").unwrap()
}

pub(crate) fn position(seq: u64) -> Position {
    log().position(Seq::try_from(seq).unwrap())
}

pub(crate) fn entry(seq: u64, event: Event) -> Entry {
    Entry::new(Seq::try_from(seq).unwrap(), Timestamp::from_micros(1_795_238_979_000_042 + seq), event)
}

fn node() -> NodeName {
    NodeName::new("outer/generate").unwrap()
}

fn name() -> SubscriptionName {
    SubscriptionName::new(NAME).unwrap()
}

/// A question with everything.
pub(crate) fn approval() -> Approval {
    Approval {
        ask: AskId::new(1),
        node_id: node(),
        visit: 1,
        attempt: 1,
        item: Some(0),
        question: "May this be published?".into(),
        about: Some(json!("Rivers are …")),
        schema: json!({"type": "object", "properties": {"publish": {"type": "boolean"}}, "required": ["publish"]}),
        prefill: Some(json!({"publish": true})),
        deadline: Some(Timestamp::from_micros(1_795_242_579_000_042)),
        default: Some(json!({"publish": false})),
    }
}

/// Its answer.
pub(crate) fn answer() -> ApprovalAnswer {
    ApprovalAnswer {
        ask: AskId::new(1),
        outcome: AskOutcome::Answered,
        answer: Some(json!({"publish": true})),
        by: Some("Ada".into()),
    }
}

pub(crate) fn entries() -> Vec<(&'static str, Entry)> {
    let token = Token {
        content: "Hello, \"wörld\"\n".into(),
        index: 3,
        count: 1,
        visit: 1,
        attempt: 1,
        message: Some(MessageId::new(1)),
        ..Token::default()
    };
    let full_token = Token {
        filtered: 2,
        value: Some(json!({"title": "A"})),
        complete: Some(true),
        role: Some("assistant".into()),
        logprob: Some(-0.25),
        kind: Some("reasoning".into()),
        metadata: json!({"model": "offline"}).as_object().cloned(),
        ..token.clone()
    };
    let progress = Progress {
        progress: 42.0,
        current: Some(42.0),
        total: Some(100.0),
        rate: Some(17.3),
        eta_ms: Some(3350),
        elapsed_ms: Some(2427),
        milestone: Some(25.0),
        display: Some("42.0 %".into()),
        outcome: None,
        metrics: json!({"words": 420}).as_object().cloned(),
        visit: 2,
        attempt: 1,
        item: None,
    };
    let failed = Progress {
        progress: 42.0,
        outcome: Some("failed".into()),
        visit: 2,
        attempt: 1,
        ..Progress::default()
    };
    let failure = Failure {
        code: "node_timeout".into(),
        message: "node `generate` ran over 1s".into(),
        node_id: Some("generate".into()),
    };
    let cost = Box::new(Cost {
        calls: 3,
        input_tokens: 1_200,
        output_tokens: 640,
        estimated: true,
        nano_usd: Some(564_000),
        unpriced: 1,
        unreported: 1,
        incomplete: true,
    });
    vec![
        ("approval", entry(4, Event::named(Some(node()), EventType::APPROVAL, &json!(approval())))),
        (
            "approval_answer",
            entry(5, Event::named(Some(node()), EventType::APPROVAL_ANSWER, &json!(answer()))),
        ),
        ("status_running", entry(1, Event::status(&StatusUpdate::running()))),
        (
            "event",
            entry(2, Event::named(Some(node()), EventType::NODE_START, &json!({"visit": 1, "attempt": 1}))),
        ),
        (
            "event_of_the_run",
            entry(3, Event::named(None, EventType::CUSTOM, &json!(["any", null, {"shape": 1}]))),
        ),
        ("token", entry(7, Event::token(node(), &token))),
        ("token_with_everything", entry(8, Event::token(node(), &full_token))),
        ("progress", entry(99, Event::progress(node(), &progress))),
        ("progress_failed", entry(100, Event::progress(node(), &failed))),
        (
            "status_completed",
            entry(9_007_199_254_740_991, Event::status(&StatusUpdate::completed(json!({"content": "…"})))),
        ),
        ("status_failed", entry(101, Event::status(&StatusUpdate::failed(failure)))),
        ("status_cancelled", entry(102, Event::status(&StatusUpdate::cancelled(Some("enough".into()))))),
        (
            "status_with_cost",
            entry(103, Event::status(&StatusUpdate { cost: Some(cost), ..StatusUpdate::cancelled(None) })),
        ),
    ]
}

/// What a late reader of a run gets that is in the middle of its second node.
fn snapshot() -> Snapshot {
    let token = |index, content: &str| Token {
        content: content.into(),
        index,
        count: 1,
        visit: 1,
        attempt: 2,
        message: Some(MessageId::new(2)),
        ..Token::default()
    };
    let place = json!({"visit": 1, "attempt": 2});
    let void = json!({"code": "node_timeout", "visit": 1, "attempt": 1});
    let progress = Progress { progress: 40.0, visit: 1, attempt: 2, ..Progress::default() };
    let lost = Token { attempt: 1, message: Some(MessageId::new(1)), ..token(0, "void") };
    let events = [
        Event::status(&StatusUpdate::running()),
        Event::token(node(), &lost),
        Event::named(Some(node()), EventType::NODE_RETRY, &void),
        Event::named(Some(node()), EventType::NODE_START, &place),
        Event::token(node(), &token(0, "Hello")),
        Event::token(node(), &token(1, ", world")),
        Event::progress(node(), &progress),
        Event::named(None, EventType::VALUES, &json!({"content": "Hello"})),
        Event::named(Some(node()), EventType::APPROVAL, &json!(approval())),
    ];
    let mut fold = Fold::default();
    for (sequence, event) in (1..).zip(events) {
        fold.add(&entry(sequence, event));
    }
    fold.finish(&log(), None, SubscriptionState::Running).unwrap()
}

/// Name, frame, `replyTo`.
pub(crate) fn frames() -> Vec<(&'static str, ServerFrame, Option<&'static str>)> {
    let (execution_id, reply) = (execution(), Some("7"));
    let gap = Gap {
        execution_id: execution(),
        subscription: None,
        from: Seq::FIRST,
        to: Seq::try_from(40).unwrap(),
        reason: GapReason::Trimmed,
        position: position(40),
    };
    let reader = ReaderPosition { execution_id: execution(), subscription: None, position: position(7) };
    let named = ReaderPosition { subscription: Some(name()), ..reader.clone() };
    let confirmed = SubscriptionConfirmed {
        execution_id: execution(),
        subscription: None,
        position: position(0),
        state: SubscriptionState::Running,
    };
    let waiting = SubscriptionConfirmed {
        subscription: Some(name()),
        position: Position::BEFORE_FIRST,
        state: SubscriptionState::Waiting,
        ..confirmed.clone()
    };
    let status = SubscriptionStatus {
        execution_id: execution(),
        subscription: Some(name()),
        position: position(7),
        lag: 12,
        state: SubscriptionState::Failed,
    };
    let scope = EventScope { execution_ids: vec![execution()], node_ids: vec![node()] };
    vec![
        (
            "connected",
            ServerFrame::Connected(Connected { connection_id: "c1".into(), heartbeat_ms: 15_000 }),
            None,
        ),
        ("heartbeat", ServerFrame::Heartbeat(Heartbeat { positions: vec![reader, named] }), None),
        ("heartbeat_idle", ServerFrame::Heartbeat(Heartbeat::default()), None),
        ("gap_trimmed", ServerFrame::Gap(gap.clone()), None),
        (
            "gap_epoch",
            ServerFrame::Gap(Gap {
                to: Seq::BEFORE_FIRST,
                reason: GapReason::Epoch,
                position: position(0),
                ..gap.clone()
            }),
            None,
        ),
        (
            "gap_lagged",
            ServerFrame::Gap(Gap { subscription: Some(name()), reason: GapReason::Lagged, ..gap }),
            None,
        ),
        ("snapshot", ServerFrame::Snapshot(Box::new(snapshot())), None),
        ("message", ServerFrame::Message(json!({"hello": ["from", "the", "program"]})), None),
        ("error", ServerFrame::error("bad_frame", "frame is not JSON", false), None),
        ("error_in_answer", ServerFrame::error("draining", "server is shutting down", true), reply),
        ("pong", ServerFrame::Pong, reply),
        (
            "status_response",
            ServerFrame::StatusResponse(StatusResponse {
                connection_id: "c1".into(),
                connected_ms: 60_250,
                subscriptions: vec![status],
            }),
            reply,
        ),
        ("subscription_confirmed", ServerFrame::SubscriptionConfirmed(confirmed), reply),
        ("subscription_confirmed_waiting", ServerFrame::SubscriptionConfirmed(waiting), reply),
        (
            "unsubscription_confirmed",
            ServerFrame::UnsubscriptionConfirmed(UnsubscriptionConfirmed {
                execution_id: execution(),
                subscription: Some(name()),
            }),
            reply,
        ),
        (
            "events_subscription_confirmed",
            ServerFrame::EventsSubscriptionConfirmed(EventsSubscriptionConfirmed {
                event_types: vec![EventType::NODE_START],
                scope: EventScope::default(),
            }),
            reply,
        ),
        (
            "events_subscription_confirmed_scoped",
            ServerFrame::EventsSubscriptionConfirmed(EventsSubscriptionConfirmed {
                event_types: vec![EventType::TOKEN, EventType::new("my type").unwrap()],
                scope,
            }),
            reply,
        ),
        (
            "execution_started",
            ServerFrame::ExecutionStarted(ExecutionStarted {
                execution_id: execution(),
                position: position(0),
                attached: false,
            }),
            reply,
        ),
        (
            "signal_accepted",
            ServerFrame::SignalAccepted(SignalAccepted {
                execution_id: execution(),
                ask: AskId::new(1),
                repeated: false,
            }),
            reply,
        ),
        (
            "authentication_success",
            ServerFrame::AuthenticationSuccess(AuthenticationSuccess {
                subject: "ada".into(),
                expires_at: Timestamp::from_micros(1_795_238_979_000_000),
            }),
            reply,
        ),
        (
            "token_expiring",
            ServerFrame::TokenExpiring(TokenExpiring {
                expires_at: Timestamp::from_micros(1_795_238_979_000_000),
            }),
            None,
        ),
        ("cancel_accepted", ServerFrame::CancelAccepted(CancelAccepted { execution_id }), reply),
    ]
}

pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    let mut all = SubscribeExecution::new(execution());
    all.events = vec!["token".into(), "event".into(), "progress".into(), "status".into()];
    let options = SubscribeExecution {
        execution_id: execution(),
        events: vec!["node_start".into(), "my type".into()],
        nodes: vec!["outer/generate".into()],
        from: Some(StartAt::After(position(7))),
        wait: true,
        subscription: Some(name()),
        delivery: Some(Delivery::ExactlyOnce),
        flush_window: Some(std::time::Duration::from_millis(20)),
        replay: Replay::Full,
    };
    let compact = SubscribeExecution {
        from: Some(StartAt::Now),
        replay: Replay::Compact,
        ..SubscribeExecution::new(execution())
    };
    let start = StartExecution {
        workflow: "ai-content-generation".into(),
        input: json!({"prompt": "Write about rivers."}),
        execution_id: None,
        on_disconnect: None,
        trace: None,
    };
    let chosen = StartExecution {
        input: json!(null),
        execution_id: Some(execution()),
        on_disconnect: Some(OnDisconnect::Cancel),
        trace: TraceContext::parse(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            Some("rojo=00f067aa0ba902b7"),
        ),
        ..start.clone()
    };
    let scope = EventScope { execution_ids: vec![execution()], node_ids: vec![node()] };
    let events = |event_types: Vec<EventType>, scope| {
        ClientCommand::SubscribeEvents(SubscribeEvents { event_types, scope })
    };
    let answered = |command| Request::new("7", command);
    vec![
        ("subscribe_execution", Request { id: None, command: ClientCommand::SubscribeExecution(all) }),
        ("subscribe_execution_with_everything", answered(ClientCommand::SubscribeExecution(options))),
        ("subscribe_execution_compact", answered(ClientCommand::SubscribeExecution(compact))),
        (
            "unsubscribe_execution",
            answered(ClientCommand::UnsubscribeExecution {
                execution_id: execution(),
                subscription: Some(name()),
            }),
        ),
        ("subscribe_events", answered(events(vec![EventType::NODE_START], EventScope::default()))),
        ("subscribe_events_scoped", answered(events(vec![EventType::TOKEN], scope))),
        ("start_execution", answered(ClientCommand::StartExecution(start))),
        ("start_execution_with_everything", answered(ClientCommand::StartExecution(chosen))),
        (
            "cancel_execution",
            answered(ClientCommand::CancelExecution {
                execution_id: execution(),
                reason: Some("enough".into()),
            }),
        ),
        (
            "signal",
            answered(ClientCommand::Signal {
                execution_id: execution(),
                signal: Signal::new(AskId::new(1), json!({"verdict": "publish"})),
            }),
        ),
        (
            "signal_with_everything",
            answered(ClientCommand::Signal {
                execution_id: execution(),
                signal: Signal { by: Some("Ada".into()), ..Signal::new(AskId::new(12), json!(null)) },
            }),
        ),
        (
            "ack",
            Request {
                id: None,
                command: ClientCommand::Ack {
                    execution_id: execution(),
                    subscription: name(),
                    sequence: Seq::try_from(7).unwrap(),
                },
            },
        ),
        ("authentication", answered(ClientCommand::Authentication { token: AccessToken::new("a.b.c") })),
        ("ping", answered(ClientCommand::Ping)),
        ("get_status", answered(ClientCommand::GetStatus)),
    ]
}
