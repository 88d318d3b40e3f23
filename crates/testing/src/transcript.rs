//! What a run said.

mod line;

use std::{fmt, sync::Arc};

use serde_json::{Value, json};
use streamnest::core::{Class, Entry, ExecutionId, Status, payload::StatusUpdate};

use self::line::line;

/// What a run said, entry by entry.
#[derive(Clone, Debug)]
pub struct Transcript {
    execution: ExecutionId,
    entries: Vec<Arc<Entry>>,
    lines: Vec<String>,
}

impl Transcript {
    pub(crate) const fn new(execution: ExecutionId) -> Self {
        Self { execution, entries: Vec::new(), lines: Vec::new() }
    }

    pub(crate) fn push(&mut self, entry: Arc<Entry>) -> &str {
        self.lines.push(line(&entry));
        self.entries.push(entry);
        self.lines.last().map_or("", String::as_str)
    }

    /// The execution.
    pub const fn execution_id(&self) -> &ExecutionId {
        &self.execution
    }

    /// The entries as they stand in the log.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// The entries as people read them, one a line: its type, its node if it has one, and what it says.
    ///
    /// | entry | line |
    /// |---|---|
    /// | token frame | `token write "Hello"` |
    /// | progress | `progress write 50%`, and the outcome if the visit ended so: `progress write 50% failed` |
    /// | status | `status running`, `status failed node_timeout`, `status cancelled enough` |
    /// | question | `approval review ask1 "Shall it go out?"` |
    /// | its end | `approval_answer review ask1 answered {"publish":true}`, with `by="Ada"` if it says who |
    /// | other events | their data field by field: `node_start write attempt=1 kind="llm" visit=1` |
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The text of all tokens.
    pub fn text(&self) -> String {
        self.text_of(|_| true)
    }

    /// The text of the tokens of one node.
    pub fn text_by(&self, node: &str) -> String {
        self.text_of(|entry| entry.event().node().is_some_and(|name| name.as_str() == node))
    }

    fn text_of(&self, is: impl Fn(&Entry) -> bool) -> String {
        let entries = self.entries.iter().filter(|entry| is(entry));
        entries.filter_map(|entry| entry.event().as_token().ok()?).map(|token| token.content).collect()
    }

    /// The final state; null if it did not complete.
    pub fn result(&self) -> Value {
        self.end().and_then(|end| end.result).unwrap_or_default()
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.end().map_or(Status::Running, |end| end.status)
    }

    /// The code by which it failed.
    pub fn failure(&self) -> Option<String> {
        self.end()?.error.map(|failure| failure.code)
    }

    fn end(&self) -> Option<StatusUpdate> {
        self.entries.iter().rev().find_map(|entry| entry.event().as_status().ok()?)
    }

    /// Each entry as JSON: its type, its node, and its payload.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> {
        self.entries.iter().map(|entry| {
            let event = entry.event();
            let payload: Value = serde_json::from_slice(event.payload()).unwrap_or_default();
            let data = match event.class() {
                Class::Event => payload.get("data").cloned().unwrap_or_default(),
                _ => payload,
            };
            let mut value = json!({"type": event.event_type().as_str(), "data": data});
            if let (Some(node), Value::Object(value)) = (event.node(), &mut value) {
                value.insert("node".into(), node.as_str().into());
            }
            value
        })
    }
}

impl fmt::Display for Transcript {
    /// The lines, numbered from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines.iter().enumerate() {
            writeln!(f, "{:4}  {line}", index + 1)?;
        }
        Ok(())
    }
}
