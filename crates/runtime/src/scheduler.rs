//! Which node comes next: a pure state machine, from what happened to what to do.

use std::sync::Arc;

use crate::{
    graph::{Graph, Next, NodeIndex},
    workflow::Target,
};

/// Where one execution stands in its graph.
#[derive(Debug)]
pub(crate) struct Scheduler {
    graph: Arc<Graph>,
    steps: u32,
    visits: Vec<u32>,
}

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// Visit a node, for the `visit`-th time.
    Run { node: NodeIndex, visit: u32 },
    /// The execution is complete.
    Complete,
    /// The execution cannot go on.
    Fail(ScheduleError),
}

/// Why an execution cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ScheduleError {
    #[error("more than {limit} steps, the limit of `max_steps`; raise it if the loop is meant to run longer")]
    MaxSteps { limit: u32 },
    #[error("node `{node}` went to `{target}`, which is not among its routes: {routes}")]
    NotRouted { node: String, target: String, routes: String },
    #[error("node `{node}` has routes but did not say where to go")]
    NoTarget { node: String },
}

impl ScheduleError {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::MaxSteps { .. } => "max_steps",
            Self::NotRouted { .. } => "route_not_declared",
            Self::NoTarget { .. } => "route_missing",
        }
    }
}

impl Scheduler {
    pub(crate) fn new(graph: Arc<Graph>) -> Self {
        let visits = vec![0; graph.nodes.len()];
        Self { graph, steps: 0, visits }
    }

    /// The execution begins.
    pub(crate) fn begin(&mut self) -> Command {
        self.visit(self.graph.start)
    }

    /// `node` completed, and named `target` if it returned a `Goto`.
    pub(crate) fn completed(&mut self, node: NodeIndex, target: Option<&Target>) -> Command {
        let graph = self.graph.clone();
        let Some(here) = graph.nodes.get(node) else { return Command::Complete };
        let next = match (&here.next, target) {
            (_, Some(target)) => match graph.route(node, target) {
                Some(next) => next,
                None => return Command::Fail(not_routed(&graph, node, target)),
            },
            (Next::End, None) => None,
            (Next::Node(next), None) => Some(*next),
            (Next::Routes { .. }, None) => {
                return Command::Fail(ScheduleError::NoTarget { node: here.name.to_string() });
            }
        };
        next.map_or(Command::Complete, |next| self.visit(next))
    }

    fn visit(&mut self, node: NodeIndex) -> Command {
        if self.steps == self.graph.max_steps {
            return Command::Fail(ScheduleError::MaxSteps { limit: self.steps });
        }
        self.steps += 1;
        match self.visits.get_mut(node) {
            Some(visits) => {
                *visits += 1;
                Command::Run { node, visit: *visits }
            }
            None => Command::Complete,
        }
    }
}

fn not_routed(graph: &Graph, node: NodeIndex, target: &Target) -> ScheduleError {
    let name =
        |index: &NodeIndex| graph.nodes.get(*index).map(|node| node.name.to_string()).unwrap_or_default();
    let target = match target {
        Target::Node(name) => name.clone(),
        Target::End => "end".into(),
    };
    let routes = match graph.nodes.get(node).map(|node| &node.next) {
        Some(Next::Routes { targets, may_end }) => {
            let targets = targets.iter().map(name);
            targets.chain(may_end.then(|| "end".into())).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    };
    ScheduleError::NotRouted { node: name(&node), target, routes }
}

#[cfg(test)]
mod tests;
