//! Which updates a view takes.

use std::collections::HashSet;

use streamnest_core::{Class, EventType, ExecutionId, NodeName, Timestamp};

use super::StreamUpdate;

/// Chooses updates by type, execution, node and time. What is left empty takes all; what is given must all hold.
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
    pub classes: Vec<Class>,
    /// Event types to take, beside [`classes`](Self::classes).
    pub types: Vec<EventType>,
    /// Executions to take.
    pub executions: HashSet<ExecutionId>,
    /// Nodes to take.
    pub nodes: HashSet<NodeName>,
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
        Self { classes: classes.into_iter().collect(), ..self }
    }

    /// Takes these event types, beside the classes that are taken.
    #[must_use]
    pub fn with_types(self, types: impl IntoIterator<Item = EventType>) -> Self {
        Self { types: types.into_iter().collect(), ..self }
    }

    /// Takes these executions only.
    #[must_use]
    pub fn with_executions(self, executions: impl IntoIterator<Item = ExecutionId>) -> Self {
        Self { executions: executions.into_iter().collect(), ..self }
    }

    /// Takes these nodes only; what the run itself says is of none.
    #[must_use]
    pub fn with_nodes(self, nodes: impl IntoIterator<Item = NodeName>) -> Self {
        Self { nodes: nodes.into_iter().collect(), ..self }
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

    /// Whether it takes `update`.
    pub fn matches(&self, update: &StreamUpdate) -> bool {
        let kind = || {
            (self.classes.is_empty() && self.types.is_empty())
                || self.classes.contains(&update.class())
                || self.types.contains(update.event_type())
        };
        let execution = || self.executions.is_empty() || self.executions.contains(update.execution_id());
        let node = || self.nodes.is_empty() || update.node_id().is_some_and(|node| self.nodes.contains(node));
        let time = || {
            self.start.is_none_or(|start| update.timestamp() >= start)
                && self.end.is_none_or(|end| update.timestamp() < end)
        };
        kind() && execution() && node() && time()
    }
}
