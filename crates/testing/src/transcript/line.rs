//! An entry in one line.

use serde_json::Value;
use streamnest::core::{Approval, ApprovalAnswer, Class, Entry, Event, EventType, payload::StatusUpdate};

/// An entry as people read it.
pub(super) fn line(entry: &Entry) -> String {
    let event = entry.event();
    let node = event.node().map(|node| format!(" {node}")).unwrap_or_default();
    let said = match event.class() {
        Class::Token => event.as_token().ok().flatten().map(|token| format!("{:?}", token.content)),
        Class::Progress => progress(event),
        Class::Status => event.as_status().ok().flatten().map(status),
        _ => question(event).or_else(|| data(event)),
    };
    let said = said.map(|said| format!(" {said}")).unwrap_or_default();
    format!("{}{node}{said}", event.event_type())
}

fn progress(event: &Event) -> Option<String> {
    let progress = event.as_progress().ok().flatten()?;
    let outcome = progress.outcome.map(|outcome| format!(" {outcome}")).unwrap_or_default();
    Some(format!("{}%{outcome}", progress.progress))
}

fn status(status: StatusUpdate) -> String {
    let StatusUpdate { status, error, reason, .. } = status;
    let why = error.map(|error| error.code).or(reason).map(|why| format!(" {why}"));
    format!("{}{}", status.as_str(), why.unwrap_or_default())
}

/// What is asked and what is answered, without the schema and all else that a form is made of.
fn question(event: &Event) -> Option<String> {
    if *event.event_type() == EventType::APPROVAL {
        let asked: Approval = serde_json::from_value(event.as_data().ok().flatten()?).ok()?;
        return Some(format!("{} {:?}", asked.ask, asked.question));
    }
    if *event.event_type() == EventType::APPROVAL_ANSWER {
        let ended: ApprovalAnswer = serde_json::from_value(event.as_data().ok().flatten()?).ok()?;
        let outcome = serde_json::to_value(ended.outcome).ok()?;
        let answer = ended.answer.map(|answer| format!(" {answer}")).unwrap_or_default();
        let by = ended.by.map(|by| format!(" by={by:?}")).unwrap_or_default();
        return Some(format!("{} {}{answer}{by}", ended.ask, outcome.as_str()?));
    }
    None
}

fn data(event: &Event) -> Option<String> {
    match event.as_data().ok().flatten()? {
        Value::Null => None,
        // Each field is a word of its own, for patterns are words.
        Value::Object(fields) if fields.is_empty() => None,
        Value::Object(fields) => {
            let words = fields.iter().map(|(name, value)| format!("{name}={value}"));
            Some(words.collect::<Vec<_>>().join(" "))
        }
        data => Some(data.to_string()),
    }
}
