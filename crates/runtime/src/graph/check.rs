//! What must hold of a graph before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use streamnest_core::NodeName;

use super::{
    Next, NodeIndex,
    paths::{Edges, NodeSet},
};
use crate::{Error, NodeBuilder, NodeKind, Workflow, WorkflowBuilder, error::nearest};

/// Nodes and edges without a mistake.
pub(super) struct Checked {
    pub(super) names: Vec<NodeName>,
    pub(super) next: Vec<Next>,
    pub(super) start: NodeIndex,
}

/// Checks the nodes and edges of `definition`.
pub(super) fn edges<W: Workflow>(definition: &WorkflowBuilder<W>) -> Result<Checked, Error> {
    let names = node_names(definition)?;
    let mut next = Vec::with_capacity(names.len());
    for node in &definition.nodes {
        next.push(routes(definition, node)?);
    }
    for (index, node) in definition.nodes.iter().enumerate() {
        follow(definition, index, node, &mut next)?;
    }
    let start = start(definition)?;
    let graph = Shape { workflow: &definition.name, names: &names, next: &next };
    graph.check_reachable(start)?;
    graph.check_circles()?;
    graph.check_ways_out()?;
    graph.check_joins(definition)?;
    Ok(Checked { names, next, start })
}

fn node_names<W: Workflow>(definition: &WorkflowBuilder<W>) -> Result<Vec<NodeName>, Error> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for node in &definition.nodes {
        let (workflow, name) = (|| definition.name.clone(), || node.name.clone());
        if !seen.insert(node.name.as_str()) {
            return Err(Error::DuplicateNode { workflow: workflow(), node: name() });
        }
        if !node.has_body() {
            return Err(Error::NoBody { workflow: workflow(), node: name() });
        }
        if node.name.contains('/') {
            return Err(Error::Slash { workflow: workflow(), node: name() });
        }
        names.push(
            NodeName::new(&node.name)
                .map_err(|error| Error::node_name(&definition.name, &node.name, error))?,
        );
    }
    Ok(names)
}

/// The node called `name`, which `option` of the node `by` names.
fn find<W: Workflow>(
    definition: &WorkflowBuilder<W>,
    option: &'static str,
    by: &str,
    name: &str,
) -> Result<NodeIndex, Error> {
    let names = || definition.nodes.iter().map(|node| node.name.as_str());
    names().position(|known| known == name).ok_or_else(|| Error::UnknownNode {
        workflow: definition.name.clone(),
        option,
        by: by.into(),
        name: name.into(),
        way_out: format!("{}name one of: {}", nearest(name, names()), names().collect::<Vec<_>>().join(", ")),
    })
}

fn start<W: Workflow>(definition: &WorkflowBuilder<W>) -> Result<NodeIndex, Error> {
    let mut starts = definition.nodes.iter().enumerate().filter(|(_, node)| node.start);
    let Some((start, first)) = starts.next() else {
        if definition.nodes.is_empty() {
            return Err(Error::NoNodes { workflow: definition.name.clone() });
        }
        let nodes = definition.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Error::NoStart { workflow: definition.name.clone(), nodes });
    };
    match starts.next() {
        None => Ok(start),
        Some((_, second)) => Err(Error::TwoStarts {
            workflow: definition.name.clone(),
            first: first.name.clone(),
            second: second.name.clone(),
        }),
    }
}

/// Where the routes of a node lead; nowhere yet if it has none.
fn routes<W: Workflow>(definition: &WorkflowBuilder<W>, node: &NodeBuilder<W>) -> Result<Next, Error> {
    let (workflow, name) = (|| definition.name.clone(), || node.name.clone());
    if node.kind == NodeKind::Condition && !node.may_go_to {
        return Err(Error::ConditionWithoutGoto { workflow: workflow(), node: name() });
    }
    let Some(routes) = &node.routes else {
        return match node.may_go_to {
            true => Err(Error::GotoWithoutRoutes { workflow: workflow(), node: name() }),
            false => Ok(Next::Nodes(Vec::new())),
        };
    };
    if routes.targets.is_empty() && !routes.may_end {
        return Err(Error::NoRoutes { workflow: workflow(), node: name() });
    }
    let mut targets = Vec::with_capacity(routes.targets.len());
    for target in &routes.targets {
        let index = find(definition, "routes", &node.name, target)?;
        if targets.contains(&index) {
            return Err(Error::RouteTwice { workflow: workflow(), node: name(), target: target.clone() });
        }
        targets.push(index);
    }
    if !node.may_go_to {
        return Err(Error::RoutesWithoutGoto { workflow: workflow(), node: name() });
    }
    Ok(Next::Routes { targets, may_end: routes.may_end })
}

/// Draws the edges to a node from those that it runs after.
fn follow<W: Workflow>(
    definition: &WorkflowBuilder<W>,
    index: NodeIndex,
    node: &NodeBuilder<W>,
    next: &mut [Next],
) -> Result<(), Error> {
    let (workflow, name) = (|| definition.name.clone(), || node.name.clone());
    let mut seen = BTreeSet::new();
    for before in node.after.iter().flat_map(|after| &after.nodes) {
        let from = find(definition, "after", &node.name, before)?;
        if !seen.insert(from) {
            return Err(Error::AfterTwice { workflow: workflow(), node: name(), before: before.clone() });
        }
        match next.get_mut(from) {
            Some(Next::Nodes(nodes)) => nodes.push(index),
            Some(Next::Routes { targets, .. }) if !targets.contains(&index) => {
                let before = before.clone();
                return Err(Error::AfterNotRouted { workflow: workflow(), node: name(), before });
            }
            _ => {}
        }
    }
    if node.kind == NodeKind::Aggregator && !node.is_join() {
        return Err(Error::AggregatorWithoutJoin { workflow: workflow(), node: name() });
    }
    Ok(())
}

struct Shape<'a> {
    workflow: &'a str,
    names: &'a [NodeName],
    next: &'a [Next],
}

impl Shape<'_> {
    fn name(&self, node: NodeIndex) -> String {
        self.names.get(node).map(ToString::to_string).unwrap_or_default()
    }

    fn targets(&self, node: NodeIndex) -> &[NodeIndex] {
        self.next.get(node).map_or(&[], Next::targets)
    }

    fn check_reachable(&self, start: NodeIndex) -> Result<(), Error> {
        let mut reached = NodeSet::none(self.next.len());
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            if reached.insert(node) {
                open.extend(self.targets(node));
            }
        }
        match (0..self.next.len()).find(|node| !reached.contains(*node)) {
            Some(node) => Err(Error::Unreachable { workflow: self.workflow.into(), node: self.name(node) }),
            None => Ok(()),
        }
    }

    /// Refuses a circle in which no node may choose to leave it.
    fn check_circles(&self) -> Result<(), Error> {
        if self.comes_to_an_end() {
            return Ok(());
        }
        for first in 0..self.next.len() {
            if let Some(circle) = self.circle(first, |next| matches!(next, Next::Nodes(_))) {
                let circle = self.spell(&circle);
                return Err(Error::Endless { workflow: self.workflow.into(), circle });
            }
        }
        Ok(())
    }

    /// Whether the edges that nobody chooses form no circle: then one node after the other has all those before it behind
    /// it.
    fn comes_to_an_end(&self) -> bool {
        let certain = |node: NodeIndex| match self.next.get(node) {
            Some(Next::Nodes(nodes)) => nodes.as_slice(),
            _ => &[],
        };
        let mut before = vec![0_usize; self.next.len()];
        for to in (0..self.next.len()).flat_map(certain) {
            before.get_mut(*to).into_iter().for_each(|before| *before += 1);
        }
        let mut open: Vec<_> = (0..self.next.len()).filter(|node| before.get(*node) == Some(&0)).collect();
        let mut passed = 0;
        while let Some(node) = open.pop() {
            passed += 1;
            for to in certain(node) {
                let Some(before) = before.get_mut(*to) else { continue };
                *before -= 1;
                if *before == 0 {
                    open.push(*to);
                }
            }
        }
        passed == self.next.len()
    }

    /// Refuses nodes from which nothing leads to the end.
    fn check_ways_out(&self) -> Result<(), Error> {
        let ends: Vec<_> =
            (0..self.next.len()).filter(|n| self.next.get(*n).is_some_and(Next::ends)).collect();
        let ending = Edges::of(self.next).leading_to(&ends, None);
        let Some(lost) = (0..self.next.len()).find(|node| !ending.contains(*node)) else { return Ok(()) };
        // Whoever cannot end is in a circle, or leads to one.
        let circle = (0..self.next.len())
            .find_map(|node| if ending.contains(node) { None } else { self.circle(node, |_| true) });
        let circle = circle.map_or_else(|| self.name(lost), |circle| self.spell(&circle));
        Err(Error::Endless { workflow: self.workflow.into(), circle })
    }

    /// The shortest circle through `first` over nodes whose edges `take` admits.
    fn circle(&self, first: NodeIndex, take: impl Fn(&Next) -> bool) -> Option<Vec<NodeIndex>> {
        let mut before: Vec<Option<NodeIndex>> = vec![None; self.next.len()];
        let mut open = std::collections::VecDeque::from([first]);
        while let Some(node) = open.pop_front() {
            let Some(next) = self.next.get(node).filter(|next| take(next)) else { continue };
            for to in next.targets() {
                if *to == first {
                    let mut circle = vec![first, node];
                    let mut at = node;
                    while let Some(Some(earlier)) = before.get(at) {
                        circle.push(*earlier);
                        at = *earlier;
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if let Some(slot @ None) = before.get_mut(*to) {
                    *slot = Some(node);
                    open.push_back(*to);
                }
            }
        }
        None
    }

    fn spell(&self, circle: &[NodeIndex]) -> String {
        circle.iter().map(|node| self.name(*node)).collect::<Vec<_>>().join(" → ")
    }

    /// Refuses a node that two branches reach which run at once, and that does not say whether it waits for both.
    fn check_joins<W: Workflow>(&self, definition: &WorkflowBuilder<W>) -> Result<(), Error> {
        let joins = |node: NodeIndex| definition.nodes.get(node).is_some_and(NodeBuilder::is_join);
        for (fork, next) in self.next.iter().enumerate() {
            let Next::Nodes(branches) = next else { continue };
            if branches.len() < 2 {
                continue;
            }
            // Where nothing is wrong, one branch at most reaches a node that is no join.
            let mut reached_by: BTreeMap<NodeIndex, Vec<NodeIndex>> = BTreeMap::new();
            for branch in branches {
                for node in self.reach(*branch, |node| node == fork || joins(node)) {
                    reached_by.entry(node).or_default().push(*branch);
                }
            }
            let met = reached_by.into_iter().filter(|(node, _)| !joins(*node));
            let met = met.filter_map(|(node, by)| Some((*by.first()?, *by.get(1)?, node))).min();
            if let Some((first, second, node)) = met {
                return Err(Error::MissingJoin {
                    workflow: self.workflow.into(),
                    node: self.name(node),
                    fork: self.name(fork),
                    first: self.name(first),
                    second: self.name(second),
                });
            }
        }
        Ok(())
    }

    /// The nodes that `from` reaches, itself among them, not beyond those where `stop` holds.
    fn reach(&self, from: NodeIndex, stop: impl Fn(NodeIndex) -> bool) -> BTreeSet<NodeIndex> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            if reached.insert(node) && !stop(node) {
                open.extend(self.targets(node));
            }
        }
        reached
    }
}
