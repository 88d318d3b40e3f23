//! The frames of clients: the parser beside the JSON Schema that is published.

use jsonschema::Validator;
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use streamnest_protocol::native::Request;

use super::{
    Verdict,
    damage::{changed, changes, damaged, damages},
    fuzz, positions,
};

/// The fields of all commands, and one of none.
const NAMES: &[&str] = &[
    "type",
    "id",
    "payload",
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
    "scope",
    "executionIds",
    "nodeIds",
    "workflow",
    "input",
    "onDisconnect",
    "reason",
    "ask",
    "answer",
    "by",
    "sequence",
    "token",
    "extra",
];

/// One frame of each kind, as `crates/protocol/tests/golden/client` has them.
pub(super) fn goldens() -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/protocol/tests/golden/client");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    files.iter().map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()).collect()
}

/// Frames of clients, whole and damaged: in their JSON, in its text, or text of any kind.
pub(super) fn texts(goldens: Vec<Value>) -> impl Strategy<Value = String> {
    let damaged_ones = (any::<Index>(), changes(3), damages(2)).prop_map(move |(which, changes, damages)| {
        let value = changed(which.get(&goldens).clone(), &changes, NAMES);
        damaged(&value.to_string(), &damages)
    });
    prop_oneof![15 => damaged_ones, 1 => any::<String>()]
}

fn schema() -> Validator {
    let text = include_str!("../../../docs/schema/native-v1.json");
    let mut schema: Value = serde_json::from_str(text).unwrap();
    let root = schema.as_object_mut().unwrap();
    root.remove("anyOf").unwrap();
    root.insert("$ref".into(), json!("#/$defs/clientFrame"));
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn a_client_frame_is_read_just_if_the_published_schema_takes_it_and_means_what_it_says() {
    let schema = schema();
    fuzz("client_frames", 4_000, &texts(goldens()), |text| {
        let json: Option<Value> = serde_json::from_str(&text).ok();
        // What the schema says of a position in words only.
        let begins = json.as_ref().and_then(|json| json.pointer("/payload/from")?.as_str());
        let is_somewhere =
            begins.is_none_or(|from| ["start", "now"].contains(&from) || positions::read(from).is_some());
        let is_legal =
            json.as_ref().is_some_and(|json| schema.is_valid(json) && colons(&text) == members(json))
                && (is_somewhere || json.as_ref().is_some_and(|json| json["type"] != "subscribe_execution"));
        let read = Request::parse(&text);
        prop_assert_eq!(read.is_ok(), is_legal, "{:?}", read);
        match read {
            Ok(request) => means(&json.unwrap(), &serde_json::from_str(&request.to_json()).unwrap())?,
            Err(error) => {
                prop_assert!(error.message.len() < 2_000, "{}", error.message);
                prop_assert!(!error.message.chars().any(char::is_control), "{:?}", error.message);
                prop_assert!(error.reply_to.is_none_or(|id| json.is_some_and(|json| json["id"] == id)));
            }
        }
        Ok(Verdict::of(is_legal))
    });
}

/// Colons outside of strings: one for each member of an object, also for one whose key stands there twice.
fn colons(text: &str) -> usize {
    let (mut colons, mut in_string, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b':' if !in_string => colons += 1,
            _ => {}
        }
    }
    colons
}

/// Members of all objects, of which a reader that is not strict keeps one of each key.
fn members(json: &Value) -> usize {
    match json {
        Value::Array(items) => items.iter().map(members).sum(),
        Value::Object(entries) => entries.len() + entries.values().map(members).sum::<usize>(),
        _ => 0,
    }
}

/// Checks that a command, written out again, says what the frame said: each field, and none that it did not have.
fn means(sent: &Value, read: &Value) -> Result<(), TestCaseError> {
    // Both were written and read once, so that no number differs in its last digit.
    let sent: &Value = &serde_json::from_str(&sent.to_string()).unwrap();
    prop_assert_eq!(&sent["type"], &read["type"]);
    prop_assert_eq!(sent.get("id"), read.get("id"));
    let fields = |frame: &Value| frame["payload"].as_object().cloned().unwrap_or_default();
    let (mut sent, read) = (fields(sent), fields(read));
    for (name, value) in &read {
        let other = (name == "events").then(|| sent.remove("eventTypes")).flatten();
        let said = other.or_else(|| sent.remove(name));
        let is_same = said.as_ref().is_some_and(|said| is_same(name, said, value));
        prop_assert!(is_same, "{}: {:?} became {}", name, said, value);
    }
    // What is no header is left out, and without a `traceparent` nobody may look at the other (W3C Trace Context §3.2.2).
    if !sent.get("traceparent").is_some_and(is_traceparent) {
        sent.remove("traceparent");
    }
    if !read.contains_key("traceparent") || !sent.get("tracestate").is_some_and(is_tracestate) {
        sent.remove("tracestate");
    }
    // What is left said nothing.
    let defaults =
        json!({"wait": false, "replay": "full", "events": [], "eventTypes": [], "nodes": [], "scope": {}});
    for (name, value) in &sent {
        let is_scope = name == "scope"
            && value.as_object().is_some_and(|scope| scope.values().all(|list| list == &json!([])));
        prop_assert!(is_scope || defaults.get(name) == Some(value), "{} was lost", name);
    }
    Ok(())
}

/// Whether a field means what was said: a number is the same however it is written, a known event type may be written with a colon,
/// and an empty list limits nothing.
fn is_same(name: &str, said: &Value, read: &Value) -> bool {
    match (name, said, read) {
        ("sequence" | "flushWindowMs", said, read) => said.as_f64() == read.as_f64(),
        ("events" | "eventTypes", Value::Array(said), Value::Array(read)) => {
            let name = |value: &Value| value.as_str().unwrap_or_default().replace(':', "_");
            said.iter().map(name).eq(read.iter().map(name))
        }
        ("scope", Value::Object(said), Value::Object(read)) => {
            said.iter().filter(|(_, list)| *list != &json!([])).eq(read)
        }
        // Of the flags one has a meaning, and blanks around a header are none of it.
        ("traceparent", Value::String(said), Value::String(read)) => said.get(3..52) == read.get(3..52),
        ("tracestate", Value::String(said), Value::String(read)) => said.trim_matches([' ', '\t']) == read,
        (_, said, read) => said == read,
    }
}

/// Whether it is `version-trace-parent-flags`, of which neither the trace nor the parent is zero and the version is not the last.
fn is_traceparent(value: &Value) -> bool {
    let fields: Vec<&str> = value.as_str().unwrap_or_default().split('-').collect();
    let is_hex = |field: &&str, digits: usize| {
        field.len() == digits && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let [version, trace, parent, flags, rest @ ..] = fields.as_slice() else { return false };
    is_hex(version, 2)
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && *version != "ff"
        && (rest.is_empty() || *version != "00")
        && [trace, parent].iter().all(|id| id.bytes().any(|byte| byte != b'0'))
}

fn is_tracestate(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default().trim_matches([' ', '\t']);
    (1..=512).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
