//! Which entries a reader wants.

use streamnest_core::{Class, Event, EventType, NodeName};

use crate::Error;

/// Chooses entries by class, event type and node. A terminal status passes every filter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// `None` takes every class and type.
    kinds: Option<Kinds>,
    /// Empty takes every node, and what the run itself says.
    nodes: Vec<NodeName>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Kinds {
    classes: Vec<Class>,
    event_types: Vec<EventType>,
}

impl Filter {
    /// Takes everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Takes what `events` names, classes (`token`, `event`, `progress`, `status`) and event types mixed, of the nodes
    /// that `nodes` names. An empty list takes all. `node:start` is `node_start`.
    ///
    /// # Errors
    /// [`Error::Filter`] if a name can be neither.
    pub fn new<S: AsRef<str>>(events: &[S], nodes: &[S]) -> Result<Self, Error> {
        let mut kinds = Kinds::default();
        for name in events.iter().map(AsRef::as_ref) {
            match Class::ALL.into_iter().find(|class| class.as_str() == name) {
                Some(class) => kinds.classes.push(class),
                None => kinds.event_types.push(EventType::new(name).map_err(Error::Filter)?),
            }
        }
        let nodes: Result<_, _> = nodes.iter().map(|name| NodeName::new(name.as_ref())).collect();
        let kinds = if events.is_empty() { None } else { Some(kinds) };
        Ok(Self { kinds, nodes: nodes.map_err(Error::Filter)? })
    }

    /// Whether it takes everything.
    pub fn is_all(&self) -> bool {
        self.kinds.is_none() && self.nodes.is_empty()
    }

    /// Whether it takes `event`.
    pub fn matches(&self, event: &Event) -> bool {
        let kind = || match &self.kinds {
            None => true,
            Some(kinds) => {
                kinds.classes.contains(&event.class()) || kinds.event_types.contains(event.event_type())
            }
        };
        let node = || self.nodes.is_empty() || event.node().is_some_and(|node| self.nodes.contains(node));
        (kind() && node()) || (event.class() == Class::Status && is_terminal(event))
    }
}

fn is_terminal(event: &Event) -> bool {
    matches!(event.as_status(), Ok(Some(update)) if update.status.is_terminal())
}

#[cfg(test)]
mod tests {
    use streamnest_core::payload::{StatusUpdate, Token};

    use super::*;

    fn filter(events: &[&str], nodes: &[&str]) -> Filter {
        Filter::new(events, nodes).unwrap()
    }

    #[test]
    fn classes_types_and_nodes_choose_and_a_terminal_status_always_passes() {
        let node = NodeName::new("draft").unwrap();
        let token = Event::token(node.clone(), &Token::default());
        let started = Event::named(Some(node), EventType::NODE_START, &serde_json::Value::Null);
        let running = Event::status(&StatusUpdate::running());
        let done = Event::status(&StatusUpdate::completed(1.into()));
        let check = |filter: Filter, expected: [bool; 4]| {
            assert_eq!(
                [&token, &started, &running, &done].map(|e| filter.matches(e)),
                expected,
                "{filter:?}"
            );
        };
        check(Filter::all(), [true; 4]);
        check(filter(&["token"], &[]), [true, false, false, true]);
        check(filter(&["node:start"], &[]), [false, true, false, true]);
        check(filter(&["event", "status"], &[]), [false, true, true, true]);
        check(filter(&[], &["draft"]), [true, true, false, true]);
        check(filter(&["token"], &["other"]), [false, false, false, true]);
    }

    #[test]
    fn a_name_that_can_be_nothing_is_refused() {
        assert!(Filter::new(&["a\nb"], &[]).is_err());
        assert!(Filter::new(&[], &["not a node"]).is_err());
    }
}
