//! Which updates a view takes.

use std::collections::HashSet;

use streamnest_core::{Class, Entry, EventType, ExecutionId, LogIdentity, NodeName, Timestamp};
use streamnest_log::Filter;

use super::StreamUpdate;

/// Chooses updates by type, execution, node and time. What is not given takes all; what is given must all hold, and an empty
/// list that is given takes nothing.
///
/// ```
/// use streamnest_core::{Class, EventType};
/// use streamnest_runtime::FilterCriteria;
///
/// let tools = FilterCriteria::all().with_types([EventType::TOOL_START, EventType::TOOL_COMPLETE]);
/// let tokens = FilterCriteria::all().with_classes([Class::Token]);
/// assert_ne!(tools, tokens);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct FilterCriteria {
    /// Classes to take, beside [`types`](Self::types).
    pub classes: Option<Vec<Class>>,
    /// Event types to take, beside [`classes`](Self::classes).
    pub types: Option<Vec<EventType>>,
    /// Executions to take.
    pub executions: Option<HashSet<ExecutionId>>,
    /// Nodes to take.
    pub nodes: Option<HashSet<NodeName>>,
    /// The earliest time to take, itself included.
    pub start: Option<Timestamp>,
    /// The first time not to take.
    pub end: Option<Timestamp>,
}

impl FilterCriteria {
    /// Takes everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Takes these classes, beside the types that are taken.
    #[must_use]
    pub fn with_classes(self, classes: impl IntoIterator<Item = Class>) -> Self {
        Self { classes: Some(classes.into_iter().collect()), ..self }
    }

    /// Takes these event types, beside the classes that are taken.
    #[must_use]
    pub fn with_types(self, types: impl IntoIterator<Item = EventType>) -> Self {
        Self { types: Some(types.into_iter().collect()), ..self }
    }

    /// Takes these executions only.
    #[must_use]
    pub fn with_executions(self, executions: impl IntoIterator<Item = ExecutionId>) -> Self {
        Self { executions: Some(executions.into_iter().collect()), ..self }
    }

    /// Takes these nodes only; what the run itself says is of none.
    #[must_use]
    pub fn with_nodes(self, nodes: impl IntoIterator<Item = NodeName>) -> Self {
        Self { nodes: Some(nodes.into_iter().collect()), ..self }
    }

    /// Takes what was said at `start` or later.
    #[must_use]
    pub fn with_start(self, start: Timestamp) -> Self {
        Self { start: Some(start), ..self }
    }

    /// Takes what was said before `end`.
    #[must_use]
    pub fn with_end(self, end: Timestamp) -> Self {
        Self { end: Some(end), ..self }
    }

    /// Whether they take `update`.
    pub fn matches(&self, update: &StreamUpdate) -> bool {
        self.take_of(Some(update.execution_id()), update.entry())
    }

    /// Whether they take an entry of `log`, which need not be wrapped for that.
    pub(super) fn take(&self, log: &LogIdentity, entry: &Entry) -> bool {
        self.take_of(log.execution(), entry)
    }

    fn take_of(&self, execution: Option<&ExecutionId>, entry: &Entry) -> bool {
        let (event, at) = (entry.event(), entry.time());
        let kind = || match (&self.classes, &self.types) {
            (None, None) => true,
            (classes, types) => {
                classes.as_ref().is_some_and(|classes| classes.contains(&event.class()))
                    || types.as_ref().is_some_and(|types| types.contains(event.event_type()))
            }
        };
        let given = |ids: &HashSet<ExecutionId>| execution.is_some_and(|id| ids.contains(id));
        let node = |nodes: &HashSet<NodeName>| event.node().is_some_and(|node| nodes.contains(node));
        kind()
            && self.executions.as_ref().is_none_or(given)
            && self.nodes.as_ref().is_none_or(node)
            && self.start.is_none_or(|start| at >= start)
            && self.end.is_none_or(|end| at < end)
    }

    /// What of these a reader of logs can leave out by itself. A terminal status passes it all the same, and so does everything
    /// where a list is given and empty.
    pub(super) fn filter(&self) -> Filter {
        let classes = self.classes.iter().flatten().map(|class| class.as_str());
        let types = self.types.iter().flatten().map(EventType::as_str);
        let kinds: Vec<&str> = classes.chain(types).collect();
        let nodes: Vec<&str> = self.nodes.iter().flatten().map(|node| &**node).collect();
        // The names were looked at when they were made.
        Filter::new(&kinds, &nodes).unwrap_or_default()
    }
}
