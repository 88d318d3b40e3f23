//! What a client may send, and what it is told when it sends something else.

use serde_json::{Value, json};
use streamnest_core::OnDisconnect;
use streamnest_protocol::native::{ClientCommand, ErrorFrame, Replay, Request, ServerFrame, StartAt};

fn subscribe(payload: Value) -> String {
    json!({"type": "subscribe_execution", "id": "7", "payload": payload}).to_string()
}

/// Parses `frame`, which has to be refused with `code`, in a message that holds all of `words`.
#[track_caller]
fn refused(frame: &str, code: &str, words: &[&str]) -> Option<String> {
    let error = Request::parse(frame).expect_err(frame);
    assert_eq!(error.code, code, "{}", error.message);
    for word in words {
        assert!(error.message.contains(word), "{word:?} is not in {:?}", error.message);
    }
    error.reply_to
}

#[test]
fn the_manuals_subscription_is_understood() {
    // As the client of the original manual sends it: no id, classes in `events`.
    let frame = r#"{"type":"subscribe_execution","payload":{"executionId":"execution-123","events":["token","event","progress","status"]}}"#;
    let Request { id, command } = Request::parse(frame).unwrap();
    let ClientCommand::SubscribeExecution(subscribe) = command else { panic!("{command:?}") };
    assert_eq!(id, None);
    assert_eq!(&*subscribe.execution_id, "execution-123");
    assert_eq!(subscribe.events, ["token", "event", "progress", "status"]);
    assert_eq!((subscribe.from, subscribe.wait, subscribe.replay), (None, false, Replay::Full));
}

#[test]
fn event_types_is_another_name_of_events() {
    let frame = subscribe(json!({"executionId": "e", "eventTypes": ["node:start", "mine"]}));
    let ClientCommand::SubscribeExecution(read) = Request::parse(&frame).unwrap().command else { panic!() };
    assert_eq!(read.events, ["node_start", "mine"]);
    let both = subscribe(json!({"executionId": "e", "events": [], "eventTypes": []}));
    refused(&both, "invalid_field", &["`payload.eventTypes`", "another name of `events`"]);
}

#[test]
fn from_is_start_now_or_a_position() {
    for text in ["start", "now", "0000000000000007_0000000000000041"] {
        let frame = subscribe(json!({"executionId": "e", "from": text}));
        let ClientCommand::SubscribeExecution(read) = Request::parse(&frame).unwrap().command else {
            panic!()
        };
        assert_eq!(read.from, Some(text.parse::<StartAt>().unwrap()));
        assert_eq!(read.from.unwrap().to_string(), text);
    }
    refused(
        &subscribe(json!({"executionId": "e", "from": "41"})),
        "invalid_position",
        &["`payload.from`", "16 digits"],
    );
    refused(
        &subscribe(json!({"executionId": "e", "from": 41})),
        "invalid_field",
        &["`payload.from`", "is 41", "\"start\", \"now\" or a position"],
    );
}

#[test]
fn what_is_no_object_is_told_the_shape_of_a_frame() {
    for frame in ["", "token", "{", "[]", "3", "null", "\"ping\"", "{\"type\":\"ping\"} x"] {
        assert_eq!(refused(frame, "bad_frame", &["{\"type\": …"]), None, "{frame}");
    }
    let deep = "[".repeat(100_000);
    refused(&format!("{{\"type\":\"ping\",\"payload\":{deep}"), "bad_frame", &["recursion limit"]);
}

#[test]
fn an_object_in_which_a_key_stands_twice_is_refused() {
    for frame in [
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"ping","payload":{},"payload":{}}"#,
        r#"{"type":"cancel_execution","payload":{"executionId":"a","executionId":"b"}}"#,
        r#"{"type":"cancel_execution","payload":{"executionId":"a","execution\u0049d":"b"}}"#,
        r#"{"type":"start_execution","payload":{"workflow":"w","input":{"deep":[{"a":1,"a":2}]}}}"#,
    ] {
        assert_eq!(refused(frame, "bad_frame", &["stands twice"]), None, "{frame}");
    }
}

#[test]
fn an_unknown_command_is_told_the_near_one_and_all() {
    let reply = refused(r#"{"type":"subscribe","id":"9"}"#, "unknown_type", &["`subscribe`", "get_status"]);
    assert_eq!(reply.as_deref(), Some("9"));
    refused(r#"{"type":"subscribe_exection"}"#, "unknown_type", &["did you mean `subscribe_execution`?"]);
    refused(r#"{"type":"Ping"}"#, "unknown_type", &["did you mean `ping`?"]);
    refused(r#"{"payload":{}}"#, "missing_field", &["a frame needs `type`"]);
    refused(r#"{"type":5}"#, "invalid_field", &["`type` of a frame is 5", "a string"]);
}

#[test]
fn an_unknown_field_is_refused_by_name_with_the_near_one() {
    let message =
        ["`subscribe_execution` has no field `payload.evnts`", "did you mean `events`?", "flushWindowMs"];
    refused(&subscribe(json!({"executionId": "e", "evnts": []})), "unknown_field", &message);
    refused(
        r#"{"type":"start_execution","payload":{"workflow":"w","input":{},"execution_id":"e"}}"#,
        "unknown_field",
        &["did you mean `executionId`?"],
    );
    refused(r#"{"type":"ping","payload":{"x":1}}"#, "unknown_field", &["`payload.x`", "takes no fields"]);
    refused(r#"{"type":"ping","data":{}}"#, "unknown_field", &["a frame has no field `data`", "payload"]);
    refused(
        r#"{"type":"subscribe_events","payload":{"eventTypes":["token"],"scope":{"nodes":[]}}}"#,
        "unknown_field",
        &["`payload.scope.nodes`", "executionIds, nodeIds"],
    );
}

#[test]
fn a_missing_field_is_named_and_the_request_answered() {
    for (command, field) in [
        ("subscribe_execution", "executionId"),
        ("unsubscribe_execution", "executionId"),
        ("subscribe_events", "eventTypes"),
        ("start_execution", "workflow"),
        ("cancel_execution", "executionId"),
        ("signal", "executionId"),
        ("ack", "executionId"),
        ("authentication", "token"),
    ] {
        for frame in [json!({"type": command, "id": "1"}), json!({"type": command, "id": "1", "payload": {}})]
        {
            let words = [&format!("`{command}` needs `payload.{field}`")[..]];
            assert_eq!(refused(&frame.to_string(), "missing_field", &words).as_deref(), Some("1"));
        }
    }
    for (payload, field) in [(r#""ask":"ask1""#, "answer"), (r#""answer":true"#, "ask")] {
        let frame = format!(r#"{{"type":"signal","payload":{{"executionId":"e",{payload}}}}}"#);
        refused(&frame, "missing_field", &[&format!("`payload.{field}`")]);
    }
    refused(
        r#"{"type":"start_execution","payload":{"workflow":"w"}}"#,
        "missing_field",
        &["`payload.input`"],
    );
}

#[test]
fn identifiers_are_checked_in_the_words_of_their_rule() {
    let id = "x".repeat(129);
    refused(
        &subscribe(json!({"executionId": id})),
        "invalid_execution_id",
        &["`payload.executionId`", "129", "128"],
    );
    refused(&subscribe(json!({"executionId": "a/b"})), "invalid_execution_id", &["'/'"]);
    refused(
        &subscribe(json!({"executionId": "e", "nodes": ["a b"]})),
        "invalid_name",
        &["`payload.nodes`", "' '"],
    );
    refused(
        &subscribe(json!({"executionId": "e", "events": ["a\nb"]})),
        "invalid_event_type",
        &["`payload.events`"],
    );
    refused(
        &subscribe(json!({"executionId": "e", "subscription": "a b"})),
        "invalid_field",
        &["`payload.subscription`", "1 to 64 characters"],
    );
    let long = json!({"type": "ping", "id": "x".repeat(129)}).to_string();
    assert_eq!(refused(&long, "invalid_field", &["`id` of a frame has 129 characters"]), None);
}

#[test]
fn numbers_and_words_have_their_bounds() {
    for bad in [json!(-1), json!(10_001), json!(1.5), json!("20"), json!(null), json!(1e300)] {
        let frame = subscribe(json!({"executionId": "e", "flushWindowMs": bad}));
        refused(&frame, "invalid_field", &["`payload.flushWindowMs`", "from 0 to 10000"]);
    }
    for bad in [json!(-1), json!(9_007_199_254_740_992u64), json!(0.5), json!(true)] {
        let payload = json!({"executionId": "e", "subscription": "s", "sequence": bad});
        let frame = json!({"type": "ack", "payload": payload}).to_string();
        refused(&frame, "invalid_field", &["`payload.sequence`", "2^53 - 1"]);
    }
    refused(
        &subscribe(json!({"executionId": "e", "delivery": "exactly_once"})),
        "invalid_field",
        &["did you mean `exactly-once`?", "at-most-once, at-least-once, exactly-once"],
    );
    refused(&subscribe(json!({"executionId": "e", "wait": "yes"})), "invalid_field", &["true or false"]);
    let many = vec!["token"; 65];
    refused(
        &subscribe(json!({"executionId": "e", "events": many})),
        "invalid_field",
        &["65 items", "limit of 64"],
    );
    let reason =
        json!({"type": "cancel_execution", "payload": {"executionId": "e", "reason": "x".repeat(513)}});
    refused(&reason.to_string(), "invalid_field", &["`payload.reason`", "513", "512"]);
}

#[test]
fn a_start_keeps_its_input_as_it_is() {
    let input = json!({"nested": [1, {"a": null}], "n": 9_007_199_254_740_993u64});
    let frame = json!({
        "type": "start_execution",
        "payload": {"workflow": "w", "input": input, "executionId": "a:b", "onDisconnect": "cancel"},
    });
    let ClientCommand::StartExecution(start) = Request::parse(&frame.to_string()).unwrap().command else {
        panic!()
    };
    assert_eq!(start.input, input);
    assert_eq!(start.execution_id.as_deref(), Some("a:b"));
    assert_eq!(start.on_disconnect, Some(OnDisconnect::Cancel));
}

#[test]
fn a_refusal_is_sent_back_with_the_clients_own_id_and_nothing_long() {
    let frame = json!({"type": "x\n".repeat(10_000), "id": "7"}).to_string();
    let error = Request::parse(&frame).unwrap_err();
    assert!(error.message.len() < 600, "{}", error.message);
    let answer = ServerFrame::Error(ErrorFrame::from(&error)).to_json(error.reply_to.as_deref());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["replyTo"], "7");
    assert_eq!(answer["payload"]["code"], "unknown_type");
    assert_eq!(answer["payload"]["retryable"], false);
}
