//! The checked shape of a workflow: its nodes by number, and the edges between them.

mod check;
mod json;
mod mermaid;
mod paths;

use std::fmt;

use streamnest_core::{ExecutionSummary, NodeName, WorkflowName};

use self::paths::Edges;
pub(crate) use self::paths::{Join, Lead};
use crate::{Error, NodeKind, Workflow, WorkflowBuilder, workflow::Target};

/// The number of a node in its graph.
pub(crate) type NodeIndex = usize;

/// The number of a join in its graph.
pub(crate) type JoinIndex = usize;

/// The nodes of a workflow and the edges between them, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Graph {
    pub(crate) workflow: WorkflowName,
    pub(crate) nodes: Vec<GraphNode>,
    pub(crate) start: NodeIndex,
    /// The nodes that wait for several, in the order of the nodes.
    pub(crate) joins: Vec<Join>,
    /// The joins of all to which each node leads.
    pub(crate) leads: Vec<Vec<Lead>>,
    pub(crate) max_steps: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GraphNode {
    /// The name within its workflow.
    pub(crate) name: NodeName,
    pub(crate) kind: NodeKind,
    pub(crate) next: Next,
    pub(crate) runs: Runs,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) streams: Vec<&'static str>,
    /// How many items are worked on at once, if the node runs once for each item.
    pub(crate) concurrency: Option<usize>,
    /// The tries of a visit, if it is tried more than once.
    pub(crate) attempts: Option<u32>,
    /// The graph of the workflow that it runs.
    pub(crate) subgraph: Option<Box<Graph>>,
}

/// Where a node leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// To all of these, in the order in which they were added; to the end if there are none.
    Nodes(Vec<NodeIndex>),
    /// Where its `Goto` says, among these.
    Routes { targets: Vec<NodeIndex>, may_end: bool },
}

/// What makes a node run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Runs {
    /// Every arrival.
    Each,
    /// An arrival from every node that can still lead here.
    All(JoinIndex),
    /// The first arrival of a round; the number counts the joins of this kind.
    Any(JoinIndex, usize),
}

impl Graph {
    /// Checks the nodes and edges of `definition`, whose subgraphs are checked already.
    pub(crate) fn new<W: Workflow>(
        definition: &WorkflowBuilder<W>,
        subgraphs: Vec<Option<Graph>>,
    ) -> Result<Self, Error> {
        let workflow = WorkflowName::new(&definition.name)
            .map_err(|reason| Error::Name { of: format!("workflow `{}`", definition.name), reason })?;
        if definition.name == ExecutionSummary::EXTERNAL {
            return Err(Error::ReservedName { workflow: definition.name.clone() });
        }
        let checked = check::edges(definition)?;
        let edges = Edges::of(&checked.next);
        let mut joins = Vec::new();
        let mut leads = vec![Vec::new(); checked.next.len()];
        let mut races = 0;
        let nodes = definition.nodes.iter().zip(checked.names).zip(checked.next.iter()).zip(subgraphs);
        let nodes = nodes.enumerate().map(|(index, (((node, name), next), subgraph))| {
            let joins_any = node.after.as_ref().map(|after| after.any).filter(|_| node.is_join());
            let runs = match joins_any {
                None => Runs::Each,
                Some(true) => {
                    joins.push(Join::of_first(index, &checked.next, &edges));
                    races += 1;
                    Runs::Any(joins.len() - 1, races - 1)
                }
                Some(false) => {
                    joins.push(Join::of_all(joins.len(), index, &edges, &mut leads));
                    Runs::All(joins.len() - 1)
                }
            };
            GraphNode {
                name,
                kind: node.kind,
                next: next.clone(),
                runs,
                description: node.description.clone(),
                tags: node.tags.clone(),
                streams: streams(definition.streaming, node),
                concurrency: node.is_each().then_some(node.concurrency),
                attempts: node.retry.as_ref().map(|retry| retry.attempts),
                subgraph: subgraph.map(Box::new),
            }
        });
        let nodes = nodes.collect();
        Ok(Self { workflow, nodes, start: checked.start, joins, leads, max_steps: definition.max_steps })
    }

    /// The nodes that a `Goto` of `from` names, or the first name that is not among its routes. None of them is the end.
    pub(crate) fn route<'t>(&self, from: NodeIndex, target: &'t Target) -> Result<Vec<NodeIndex>, &'t str> {
        let (targets, may_end) = match self.nodes.get(from).map(|node| &node.next) {
            Some(Next::Routes { targets, may_end }) => (targets.as_slice(), *may_end),
            _ => (&[][..], false),
        };
        let Target::Nodes(names) = target else {
            return if may_end { Ok(Vec::new()) } else { Err("end") };
        };
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let named = |index: &&NodeIndex| self.nodes.get(**index).is_some_and(|n| *n.name == **name);
            let Some(index) = targets.iter().find(named) else { return Err(name) };
            if !found.contains(index) {
                found.push(*index);
            }
        }
        Ok(found)
    }

    /// The names that `routes` of a node lists, for messages.
    pub(crate) fn routes_of(&self, node: NodeIndex) -> String {
        let Some(Next::Routes { targets, may_end }) = self.nodes.get(node).map(|node| &node.next) else {
            return String::new();
        };
        let names = targets.iter().map(|target| self.name(*target).to_owned());
        names.chain(may_end.then(|| "end".to_owned())).collect::<Vec<_>>().join(", ")
    }

    /// The name of a node.
    pub(crate) fn name(&self, node: NodeIndex) -> &str {
        self.nodes.get(node).map_or("", |node| node.name.as_str())
    }

    /// How many joins run at the first arrival.
    pub(crate) fn races(&self) -> usize {
        self.joins.iter().filter(|join| join.any).count()
    }
}

fn streams<W: Workflow>(streaming: bool, node: &crate::NodeBuilder<W>) -> Vec<&'static str> {
    let all = [
        ("token", node.token.as_ref().is_some_and(|token| token.enabled)),
        ("event", node.event.as_ref().is_none_or(|event| event.enabled)),
        ("progress", node.progress.as_ref().is_some_and(|progress| progress.enabled)),
    ];
    all.into_iter().filter(|(_, on)| streaming && *on).map(|(name, _)| name).collect()
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph({})", self.to_json())
    }
}
