//! The checked shape of a workflow: its nodes by number, and the edges between them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use streamnest_core::{NodeName, WorkflowName};

use crate::{Error, NodeKind, Workflow, WorkflowBuilder, error::nearest, workflow::Target};

/// The number of a node in its graph.
pub(crate) type NodeIndex = usize;

/// Nodes and edges, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<GraphNode>,
    pub(crate) start: NodeIndex,
    pub(crate) max_steps: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GraphNode {
    pub(crate) name: NodeName,
    pub(crate) kind: NodeKind,
    pub(crate) next: Next,
    description: Option<String>,
    tags: Vec<String>,
    streams: Vec<&'static str>,
}

/// Where a node leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// To the end.
    End,
    /// To one node.
    Node(NodeIndex),
    /// Where its `Goto` says, among these.
    Routes { targets: Vec<NodeIndex>, may_end: bool },
}

impl Graph {
    /// Checks the nodes and edges of `definition`.
    pub(crate) fn new<W: Workflow>(definition: &WorkflowBuilder<W>) -> Result<Self, Error> {
        let workflow = WorkflowName::new(&definition.name).map_err(Error::Name)?;
        let names = node_names(definition)?;
        let find = |by: &str, name: &str| {
            let found = names.iter().position(|known| known.as_str() == name);
            found.ok_or_else(|| Error::UnknownNode {
                workflow: workflow.to_string(),
                by: by.into(),
                name: name.into(),
                suggestion: nearest(name, names.iter().map(NodeName::as_str)),
                known: join(&names),
            })
        };
        let mut starts = definition.nodes.iter().filter(|node| node.start).map(|node| node.name.clone());
        let start = starts.next().ok_or_else(|| Error::NoStart { workflow: definition.name.clone() })?;
        if let Some(second) = starts.next() {
            return Err(Error::TwoStarts { workflow: definition.name.clone(), first: start, second });
        }
        let mut next = vec![Next::End; names.len()];
        for (node, slot) in definition.nodes.iter().zip(&mut next) {
            if let Some(routes) = &node.routes {
                if routes.targets.is_empty() && !routes.may_end {
                    let (workflow, node) = (definition.name.clone(), node.name.clone());
                    return Err(Error::NoRoutes { workflow, node });
                }
                let targets: Result<_, _> =
                    routes.targets.iter().map(|target| find(&node.name, target)).collect();
                *slot = Next::Routes { targets: targets?, may_end: routes.may_end };
            }
            if node.routes.is_some() != node.may_go_to && node.handler.is_some() {
                let (workflow, node) = (definition.name.clone(), node.name.clone());
                return Err(match slot {
                    Next::Routes { .. } => Error::RoutesWithoutGoto { workflow, node },
                    _ => Error::GotoWithoutRoutes { workflow, node },
                });
            }
            if node.kind == NodeKind::Condition && !node.may_go_to {
                let (workflow, node) = (definition.name.clone(), node.name.clone());
                return Err(Error::ConditionWithoutGoto { workflow, node });
            }
        }
        for (index, node) in definition.nodes.iter().enumerate() {
            let Some(after) = &node.after else { continue };
            let before = find(&node.name, after)?;
            match next.get_mut(before) {
                Some(slot @ Next::End) => *slot = Next::Node(index),
                Some(Next::Node(other)) => {
                    let first = names.get(*other).map(ToString::to_string).unwrap_or_default();
                    return Err(Error::TwoAfter {
                        workflow: definition.name.clone(),
                        before: after.clone(),
                        first,
                        second: node.name.clone(),
                    });
                }
                Some(Next::Routes { targets, .. }) if !targets.contains(&index) => {
                    return Err(Error::AfterNotRouted {
                        workflow: definition.name.clone(),
                        node: node.name.clone(),
                        before: after.clone(),
                    });
                }
                _ => {}
            }
        }
        let start = find("start", &start)?;
        check_reachable(&definition.name, &names, &next, start)?;
        check_endless(&definition.name, &names, &next)?;
        let nodes = definition.nodes.iter().zip(names).zip(next);
        let nodes = nodes
            .map(|((node, name), next)| GraphNode {
                name,
                kind: node.kind,
                next,
                description: node.description.clone(),
                tags: node.tags.clone(),
                streams: streams(definition.streaming, node),
            })
            .collect();
        Ok(Self { nodes, start, max_steps: definition.max_steps })
    }

    /// The node that a `Goto` of `from` names, if it is among its routes.
    pub(crate) fn route(&self, from: NodeIndex, target: &Target) -> Option<Option<NodeIndex>> {
        let Next::Routes { targets, may_end } = &self.nodes.get(from)?.next else { return None };
        match target {
            Target::End => may_end.then_some(None),
            Target::Node(name) => {
                let named = |index: &&NodeIndex| self.nodes.get(**index).is_some_and(|n| *n.name == **name);
                targets.iter().find(named).map(|index| Some(*index))
            }
        }
    }

    /// The graph as JSON: `{start, nodes: [{name, kind, streams, …}], edges: [{from, to, conditional}]}`; an edge to
    /// the end has no `to`.
    pub(crate) fn to_json(&self) -> Value {
        let name = |index: &NodeIndex| self.nodes.get(*index).map(|node| node.name.to_string());
        let mut edges = Vec::new();
        for node in &self.nodes {
            let from = node.name.as_str();
            match &node.next {
                Next::End => edges.push(json!({"from": from, "conditional": false})),
                Next::Node(to) => edges.push(json!({"from": from, "to": name(to), "conditional": false})),
                Next::Routes { targets, may_end } => {
                    edges.extend(
                        targets.iter().map(|to| json!({"from": from, "to": name(to), "conditional": true})),
                    );
                    if *may_end {
                        edges.push(json!({"from": from, "conditional": true}));
                    }
                }
            }
        }
        let nodes: Vec<_> = self.nodes.iter().map(GraphNode::to_json).collect();
        json!({"start": name(&self.start), "nodes": nodes, "edges": edges})
    }
}

impl GraphNode {
    fn to_json(&self) -> Value {
        let mut node = json!({"name": self.name, "kind": self.kind.as_str(), "streams": self.streams});
        if let Value::Object(fields) = &mut node {
            if let Some(description) = &self.description {
                fields.insert("description".into(), description.as_str().into());
            }
            if !self.tags.is_empty() {
                fields.insert("tags".into(), json!(self.tags));
            }
        }
        node
    }
}

fn node_names<W: Workflow>(definition: &WorkflowBuilder<W>) -> Result<Vec<NodeName>, Error> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for node in &definition.nodes {
        let workflow = || definition.name.clone();
        if !seen.insert(node.name.as_str()) {
            return Err(Error::DuplicateNode { workflow: workflow(), node: node.name.clone() });
        }
        if node.handler.is_none() {
            return Err(Error::NoBody { workflow: workflow(), node: node.name.clone() });
        }
        names.push(NodeName::new(&node.name).map_err(Error::Name)?);
    }
    Ok(names)
}

fn check_reachable(workflow: &str, names: &[NodeName], next: &[Next], start: NodeIndex) -> Result<(), Error> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(index) = open.pop() {
        if !reached.insert(index) {
            continue;
        }
        match next.get(index) {
            Some(Next::Node(to)) => open.push(*to),
            Some(Next::Routes { targets, .. }) => open.extend(targets),
            _ => {}
        }
    }
    match names.iter().enumerate().find(|(index, _)| !reached.contains(index)) {
        Some((_, node)) => Err(Error::Unreachable { workflow: workflow.into(), node: node.to_string() }),
        None => Ok(()),
    }
}

/// Refuses a circle in which no node may choose to leave it.
fn check_endless(workflow: &str, names: &[NodeName], next: &[Next]) -> Result<(), Error> {
    for first in 0..names.len() {
        let mut circle = vec![first];
        while let Some(Next::Node(to)) = circle.last().and_then(|last| next.get(*last)) {
            circle.push(*to);
            if *to == first {
                let names = circle.iter().filter_map(|index| names.get(*index)).map(NodeName::as_str);
                let circle = names.collect::<Vec<_>>().join(" → ");
                return Err(Error::Endless { workflow: workflow.into(), circle });
            }
            // A circle that does not lead through `first` is found from one of its own nodes.
            if circle.len() > names.len() {
                break;
            }
        }
    }
    Ok(())
}

fn streams<W: Workflow>(streaming: bool, node: &crate::NodeBuilder<W>) -> Vec<&'static str> {
    let all = [
        ("token", node.token.as_ref().is_some_and(|token| token.enabled)),
        ("event", node.event.as_ref().is_none_or(|event| event.enabled)),
        ("progress", node.progress.as_ref().is_some_and(|progress| progress.enabled)),
    ];
    all.into_iter().filter(|(_, on)| streaming && *on).map(|(name, _)| name).collect()
}

fn join(names: &[NodeName]) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}
