//! One entry, as a view over one or many executions yields it.

use std::{fmt, sync::Arc};

use serde_json::Value;
use streamnest_core::{
    Class, Entry, Epoch, Event, EventType, ExecutionId, LogIdentity, NodeName, Position, Seq, Timestamp,
    payload::{Progress, StatusUpdate, Token},
};

/// An entry of a log, and the execution that said it. Cheap to clone, and it keeps nothing alive but the entry.
#[derive(Clone)]
pub struct StreamUpdate {
    execution: ExecutionId,
    epoch: Epoch,
    entry: Arc<Entry>,
}

impl StreamUpdate {
    /// `entry` of the log that `log` names; `None` if that is no execution's.
    pub fn new(log: &LogIdentity, entry: Arc<Entry>) -> Option<Self> {
        Some(Self { execution: log.execution()?.clone(), epoch: log.epoch(), entry })
    }

    /// The execution that said it.
    pub const fn execution_id(&self) -> &ExecutionId {
        &self.execution
    }

    /// The entry.
    pub const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// What was said.
    pub fn event(&self) -> &Event {
        self.entry.event()
    }

    /// Which of the four kinds it is.
    pub fn class(&self) -> Class {
        self.event().class()
    }

    /// The type: for a token, a progress update and a status the name of its class.
    pub fn event_type(&self) -> &EventType {
        self.event().event_type()
    }

    /// The node that said it; `None` if the run itself did.
    pub fn node_id(&self) -> Option<&NodeName> {
        self.event().node()
    }

    /// Its number in the log of its execution.
    pub fn sequence(&self) -> Seq {
        self.entry.seq()
    }

    /// After it: a view that begins here goes on with the next entry.
    pub fn position(&self) -> Position {
        Position::new(self.epoch, self.entry.seq())
    }

    /// When the log took it.
    pub fn timestamp(&self) -> Timestamp {
        self.entry.time()
    }

    /// The token frame, if it is one.
    pub fn token(&self) -> Option<Token> {
        self.event().as_token().ok().flatten()
    }

    /// The progress update, if it is one.
    pub fn progress(&self) -> Option<Progress> {
        self.event().as_progress().ok().flatten()
    }

    /// The status, if it is one.
    pub fn status(&self) -> Option<StatusUpdate> {
        self.event().as_status().ok().flatten()
    }

    /// What it says, as JSON: an event's data, and the whole payload of everything else.
    pub fn data(&self) -> Value {
        match self.event().as_data() {
            Ok(Some(data)) => data,
            _ => serde_json::from_slice(self.event().payload()).unwrap_or_default(),
        }
    }
}

/// Two are the same if they stand at the same place of the same log.
impl PartialEq for StreamUpdate {
    fn eq(&self, other: &Self) -> bool {
        (&self.execution, self.epoch, self.entry.seq()) == (&other.execution, other.epoch, other.entry.seq())
    }
}

impl Eq for StreamUpdate {}

impl fmt::Debug for StreamUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamUpdate")
            .field("execution", self.execution_id())
            .field("sequence", &self.sequence().get())
            .field("type", self.event_type())
            .field("node", &self.node_id())
            .finish_non_exhaustive()
    }
}
