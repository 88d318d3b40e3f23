//! `docs/schema/native-v1.json` against every golden frame and against thousands of damaged ones: schema and code have
//! to agree on each.

use jsonschema::Validator;
use serde_json::{Value, json};
use streamnest_core::{Approval, ApprovalAnswer};
use streamnest_protocol::native::{Frame, Request};

use crate::{golden, samples};

fn schema(of: &str) -> Validator {
    let mut schema: Value =
        serde_json::from_str(include_str!("../../../../docs/schema/native-v1.json")).unwrap();
    let root = schema.as_object_mut().unwrap();
    root.remove("anyOf").unwrap();
    root.insert("$ref".into(), json!(format!("#/$defs/{of}")));
    jsonschema::validator_for(&schema).unwrap()
}

fn goldens(of: &str) -> Vec<(String, Value)> {
    let read = |(name, text): (String, String)| (name, serde_json::from_str(&text).unwrap());
    golden::files(of).into_iter().map(read).collect()
}

/// The paths of every value in `value`, as JSON pointers.
fn paths(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                paths(value, format!("{at}/{key}"), out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                paths(value, format!("{at}/{index}"), out);
            }
        }
        _ => {}
    }
    out.push(at);
}

fn without(value: &Value, path: &str) -> Option<Value> {
    let mut value = value.clone();
    let (parent, key) = path.rsplit_once('/')?;
    value.pointer_mut(parent)?.as_object_mut()?.remove(key)?;
    Some(value)
}

fn with(value: &Value, path: &str, new: Value) -> Option<Value> {
    let mut value = value.clone();
    *value.pointer_mut(path)? = new;
    Some(value)
}

/// Every way to damage `value` in one place: a field left out, a value of another kind, a field too many.
fn damaged(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let mut at = Vec::new();
    paths(value, String::new(), &mut at);
    for path in at {
        all.extend(without(value, &path));
        let others = [
            json!(null),
            json!(true),
            json!(-1),
            json!(1.5),
            json!("a b\n"),
            json!(""),
            json!([]),
            json!({}),
        ];
        all.extend(others.into_iter().filter_map(|other| with(value, &path, other)));
        all.extend(
            [json!("x".repeat(200)), json!([1]), json!(vec!["a"; 65])]
                .into_iter()
                .filter_map(|other| with(value, &path, other)),
        );
        let mut more = value.clone();
        if let Some(object) = more.pointer_mut(&path).and_then(Value::as_object_mut) {
            object.insert("unheardOf".into(), json!(1));
            all.push(more);
        }
    }
    all
}

#[test]
fn every_golden_frame_is_valid() {
    for (of, definition) in [("server", "serverFrame"), ("client", "clientFrame")] {
        let schema = schema(definition);
        for (name, frame) in goldens(of) {
            let errors: Vec<_> = schema.iter_errors(&frame).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{of}/{name}: {errors:?}");
        }
    }
}

#[test]
fn questions_and_answers_are_as_the_schema_says_and_read_back() {
    let full = json!(samples::approval());
    let mut bare = full.clone();
    for field in ["item", "about", "prefill", "deadline", "default"] {
        bare.as_object_mut().unwrap().remove(field).unwrap();
    }
    for approval in [full, bare] {
        assert!(schema("approval").is_valid(&approval), "{approval}");
        let read: Approval = serde_json::from_value(approval.clone()).unwrap();
        assert_eq!(json!(read), approval);
    }
    for outcome in ["answered", "default", "timeout", "withdrawn"] {
        let answer = json!({"ask": "ask1", "outcome": outcome});
        assert!(schema("approvalAnswer").is_valid(&answer), "{answer}");
        let read: ApprovalAnswer = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(json!(read), answer);
    }
    assert!(schema("approvalAnswer").is_valid(&json!(samples::answer())));
    assert!(!schema("approvalAnswer").is_valid(&json!({"ask": "ask1", "outcome": "eaten"})));
}

#[test]
fn every_example_in_the_reference_is_a_frame() {
    let reference = include_str!("../../../../docs/protocol.md");
    let (client, server) = (schema("clientFrame"), schema("serverFrame"));
    let data = |line: &'static str| line.strip_prefix("data: ").unwrap_or(line);
    let examples: Vec<_> = reference.lines().map(data).filter(|line| line.starts_with("{\"type\"")).collect();
    for example in &examples {
        let frame: Value = serde_json::from_str(example).unwrap();
        let (sent, received) = (client.is_valid(&frame), server.is_valid(&frame));
        assert!(sent != received, "{example}");
        assert_eq!(Request::parse(example).is_ok(), sent, "{example}");
        let known = matches!(Frame::decode(example), Ok(Frame::Entry(_) | Frame::Server { .. }));
        assert_eq!(known, received, "{example}");
    }
    assert!(examples.len() >= 14, "{} examples", examples.len());
}

#[test]
fn a_server_refuses_exactly_the_requests_that_the_schema_refuses() {
    let schema = schema("clientFrame");
    let (mut refused, mut taken) = (0, 0);
    for frame in goldens("client").into_iter().flat_map(|(_, frame)| damaged(&frame)) {
        let parsed = Request::parse(&frame.to_string());
        assert_eq!(parsed.is_ok(), schema.is_valid(&frame), "{frame}\n{parsed:?}");
        *(if parsed.is_ok() { &mut taken } else { &mut refused }) += 1;
    }
    assert!(refused > 500 && taken > 50, "{refused} refused, {taken} taken");
}

#[test]
fn a_client_reads_every_frame_that_the_schema_allows() {
    let schema = schema("serverFrame");
    let (mut valid, mut invalid) = (0, 0);
    for (name, frame) in goldens("server")
        .into_iter()
        .flat_map(|(name, frame)| damaged(&frame).into_iter().map(move |frame| (name.clone(), frame)))
    {
        if !schema.is_valid(&frame) {
            invalid += 1;
            continue;
        }
        valid += 1;
        match Frame::decode(&frame.to_string()).unwrap_or_else(|error| panic!("{name}: {error}\n{frame}")) {
            Frame::Entry(entry) => {
                let read =
                    [entry.token().err(), entry.progress().err(), entry.event().err(), entry.status().err()];
                assert_eq!(read, [None, None, None, None], "{frame}");
            }
            Frame::Server { .. } => {}
            Frame::Unknown { frame_type } => panic!("{frame_type} is in the schema and unknown"),
            _ => panic!("a new kind of frame"),
        }
    }
    assert!(valid > 200 && invalid > 1000, "{valid} valid, {invalid} invalid");
}

#[test]
fn a_frame_that_lacks_what_the_schema_requires_is_not_read() {
    let schema = schema("serverFrame");
    let mut refused = 0;
    for (name, frame) in goldens("server") {
        let mut at = Vec::new();
        paths(&frame, String::new(), &mut at);
        for path in at {
            let Some(lacking) = without(&frame, &path) else { continue };
            // A `pong` says nothing, so nothing is missed in it.
            if schema.is_valid(&lacking) || name == "pong" {
                continue;
            }
            let typed = Frame::decode(&lacking.to_string()).and_then(|frame| match frame {
                Frame::Entry(entry) => {
                    entry.token()?;
                    entry.progress()?;
                    entry.event()?;
                    entry.status().map(|_| ())
                }
                _ => Ok(()),
            });
            assert!(typed.is_err(), "{name} without {path} was read: {lacking}");
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
}
