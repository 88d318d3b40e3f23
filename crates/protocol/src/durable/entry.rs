//! What a producer outside the server adds to an execution: the entries of the native protocol, less what only the server
//! may say.
//!
//! ```json
//! [{"type": "token", "nodeId": "write", "payload": {"content": "Hello"}},
//!  {"type": "progress", "nodeId": "write", "payload": {"progress": 40}},
//!  {"type": "event", "once": "chapter-1", "payload": {"type": "chapter_done", "data": {"chapter": 1}}}]
//! ```
//!
//! An entry with `once` is taken once for its execution, and left out if one of that key was.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use streamnest_core::{Event, NodeName, payload};

use super::Invalid;
use crate::check_keys;

/// One entry as a producer sends it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sent {
    #[serde(rename = "type")]
    class: String,
    node_id: Option<NodeName>,
    once: Option<String>,
    payload: Map<String, Value>,
}

/// The entries of a body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entries {
    /// What they say, in order.
    pub events: Vec<Event>,
    /// The keys of those that are said once for their execution, by their place.
    pub once: Vec<(usize, String)>,
}

/// Takes the entries of a body: one object, or an array of them.
///
/// Of a token or a progress update `visit` and `attempt` are 1 if they are left out, of a token also `count`, and `index`
/// is 0.
///
/// # Errors
/// [`Invalid::Json`], [`Invalid::Empty`], [`Invalid::Entry`] for the first that is none, [`Invalid::Lifecycle`] for the
/// first that only the server may write. Then none is to be taken.
pub fn entries(body: &[u8]) -> Result<Entries, Invalid> {
    let invalid = |error: serde_json::Error| Invalid::Json { reason: error.to_string() };
    check_keys(body).map_err(invalid)?;
    let entries = match serde_json::from_slice(body).map_err(invalid)? {
        Value::Array(entries) => entries,
        entry => vec![entry],
    };
    if entries.is_empty() {
        return Err(Invalid::Empty);
    }
    let mut taken = Entries::default();
    for (index, entry) in entries.into_iter().enumerate() {
        let (event, once) = event(index, entry)?;
        taken.events.push(event);
        taken.once.extend(once.map(|key| (index, key)));
    }
    Ok(taken)
}

fn event(index: usize, entry: Value) -> Result<(Event, Option<String>), Invalid> {
    let invalid = |reason: String| Invalid::Entry { index, reason };
    let refused = |error: serde_json::Error| invalid(error.to_string());
    let Sent { class, node_id, once, mut payload } = serde_json::from_value(entry).map_err(refused)?;
    let mut default = |name: &str, value: u32| {
        payload.entry(name).or_insert_with(|| json!(value));
    };
    if once.as_deref() == Some("") {
        return Err(invalid("`once` is empty; name what is said once".into()));
    }
    let event = match class.as_str() {
        "token" => {
            let node = node_id.ok_or_else(|| invalid("a token needs `nodeId`".into()))?;
            for (name, value) in [("index", 0), ("count", 1), ("visit", 1), ("attempt", 1)] {
                default(name, value);
            }
            let token: payload::Token = serde_json::from_value(payload.into()).map_err(refused)?;
            Event::token(node, &token)
        }
        "progress" => {
            let node = node_id.ok_or_else(|| invalid("a progress update needs `nodeId`".into()))?;
            for (name, value) in [("visit", 1), ("attempt", 1)] {
                default(name, value);
            }
            let progress: payload::Progress = serde_json::from_value(payload.into()).map_err(refused)?;
            if !(0.0..=100.0).contains(&progress.progress) {
                return Err(invalid(format!("`progress` is {}, outside 0 to 100", progress.progress)));
            }
            Event::progress(node, &progress)
        }
        "event" => {
            let event: payload::EventData = serde_json::from_value(payload.into()).map_err(refused)?;
            if event.event_type.is_framework() {
                return Err(Invalid::Lifecycle { index, what: event.event_type.to_string() });
            }
            Event::named(node_id, event.event_type, &event.data)
        }
        "status" => return Err(Invalid::Lifecycle { index, what: class }),
        other => return Err(invalid(format!("there is no type {other:?}; types: token, progress, event"))),
    };
    Ok((event, once))
}

#[cfg(test)]
mod tests {
    use streamnest_core::Class;

    use super::*;

    fn events(body: &[u8]) -> Result<Vec<Event>, Invalid> {
        entries(body).map(|entries| entries.events)
    }

    #[test]
    fn tokens_progress_and_events_are_taken_in_order() {
        let body = br#"[{"type":"token","nodeId":"write","payload":{"content":"Hello"}},
            {"type":"progress","nodeId":"write","payload":{"progress":40}},
            {"type":"event","payload":{"type":"chapter_done","data":{"chapter":1}}}]"#;
        let taken = events(body).unwrap();
        assert_eq!(
            taken.iter().map(Event::class).collect::<Vec<_>>(),
            [Class::Token, Class::Progress, Class::Event]
        );
        let token = taken[0].as_token().unwrap().unwrap();
        assert_eq!((token.content.as_str(), token.count, token.visit, token.attempt), ("Hello", 1, 1, 1));
        assert_eq!(taken[2].event_type().as_str(), "chapter_done");
        assert_eq!(events(br#"{"type":"event","payload":{"type":"a","data":null}}"#).unwrap().len(), 1);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_however_deep() {
        let body = br#"{"type":"event","payload":{"type":"a","data":[{"b":1,"b":2}]}}"#;
        let Err(Invalid::Json { reason }) = events(body) else { panic!("is taken") };
        assert!(reason.contains("stands twice") && reason.contains("line 1 column"), "{reason}");
    }

    #[test]
    fn how_an_execution_stands_is_for_the_server_to_say() {
        for body in [
            r#"{"type":"status","payload":{"status":"completed"}}"#,
            r#"{"type":"event","payload":{"type":"workflow_end","data":{}}}"#,
            r#"{"type":"event","payload":{"type":"node:start","data":{}}}"#,
            r#"{"type":"event","payload":{"type":"node_retry","data":{}}}"#,
            r#"{"type":"event","payload":{"type":"approval","data":{}}}"#,
        ] {
            assert!(matches!(events(body.as_bytes()), Err(Invalid::Lifecycle { index: 0, .. })), "{body}");
        }
    }

    #[test]
    fn an_entry_that_is_none_is_named_by_its_place() {
        let good = r#"{"type":"event","payload":{"type":"a","data":1}}"#;
        for bad in [
            "1",
            r#"{"type":"token","payload":{"content":"x"}}"#,
            r#"{"type":"token","nodeId":"a b","payload":{"content":"x"}}"#,
            r#"{"type":"token","nodeId":"a","payload":{}}"#,
            r#"{"type":"progress","nodeId":"a","payload":{"progress":101}}"#,
            r#"{"type":"event","payload":{"type":"a"}}"#,
            r#"{"type":"event","once":"","payload":{"type":"a","data":1}}"#,
            r#"{"type":"tokens","payload":{}}"#,
            r#"{"type":"event","sequence":1,"payload":{"type":"a","data":1}}"#,
        ] {
            let body = format!("[{good},{bad}]");
            assert!(matches!(events(body.as_bytes()), Err(Invalid::Entry { index: 1, .. })), "{bad}");
        }
        assert_eq!(events(b"[]"), Err(Invalid::Empty));
        assert!(matches!(events(b"["), Err(Invalid::Json { .. })));
    }
}
