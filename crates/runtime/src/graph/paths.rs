//! Which node can lead where, worked out once, so that joins know at run time whom they still wait for.

use std::collections::{BTreeMap, HashMap};

use super::{JoinIndex, Next, NodeIndex};

/// Nodes, by number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NodeSet(Vec<bool>);

impl NodeSet {
    pub(crate) fn none(nodes: usize) -> Self {
        Self(vec![false; nodes])
    }

    pub(crate) fn contains(&self, node: NodeIndex) -> bool {
        self.0.get(node).copied().unwrap_or(false)
    }

    /// Puts `node` in; whether it is new.
    pub(crate) fn insert(&mut self, node: NodeIndex) -> bool {
        self.0.get_mut(node).is_some_and(|slot| !std::mem::replace(slot, true))
    }
}

/// The edges of a graph, backwards: for each node, those that may lead to it, in the order of the nodes.
pub(super) struct Edges(Vec<Vec<NodeIndex>>);

impl Edges {
    pub(super) fn of(next: &[Next]) -> Self {
        let mut before = vec![Vec::new(); next.len()];
        for (from, next) in next.iter().enumerate() {
            for to in next.targets() {
                if let Some(nodes) = before.get_mut(*to) {
                    nodes.push(from);
                }
            }
        }
        Self(before)
    }

    fn to(&self, node: NodeIndex) -> &[NodeIndex] {
        self.0.get(node).map_or(&[], Vec::as_slice)
    }

    /// The nodes from which a path leads to one of `goals`, these among them, that does not pass `without`.
    pub(super) fn leading_to(&self, goals: &[NodeIndex], without: Option<NodeIndex>) -> NodeSet {
        let mut found = NodeSet::none(self.0.len());
        self.walk_back(goals, without, |node| found.insert(node));
        found
    }

    /// Walks from `goals` against the edges, past every node that `visit` says is new to it.
    fn walk_back(
        &self,
        goals: &[NodeIndex],
        without: Option<NodeIndex>,
        mut visit: impl FnMut(NodeIndex) -> bool,
    ) {
        let mut open = goals.to_vec();
        while let Some(node) = open.pop() {
            if Some(node) != without && visit(node) {
                open.extend(self.to(node));
            }
        }
    }
}

/// A node that waits for several.
///
/// Nodes from which paths lead to the same inputs of it, and so here, without passing here before, are one *origin*.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Join {
    pub(crate) node: NodeIndex,
    /// Whether it runs at the first arrival of a round. Then it has no origins, for it waits for nobody.
    pub(crate) any: bool,
    /// Every node with an edge to it, in the order of the nodes.
    pub(crate) inputs: Vec<NodeIndex>,
    /// For each origin, the inputs to which it leads, by number.
    pub(crate) origins: Vec<Vec<usize>>,
    /// For each input, the origins that lead to it.
    pub(crate) origins_of: Vec<Vec<usize>>,
    /// The nodes from which no path leads to the end but through here, if it runs at the first arrival.
    pub(crate) only_here: NodeSet,
}

/// That a node leads to a join: it is one of its origins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lead {
    pub(crate) join: JoinIndex,
    pub(crate) origin: usize,
}

impl Join {
    /// The join of the first at `node`.
    pub(super) fn of_first(node: NodeIndex, next: &[Next], edges: &Edges) -> Self {
        let ends: Vec<_> = (0..next.len()).filter(|node| next.get(*node).is_some_and(Next::ends)).collect();
        let ending = edges.leading_to(&ends, Some(node));
        let mut only_here = NodeSet::none(next.len());
        for other in (0..next.len()).filter(|other| *other != node && !ending.contains(*other)) {
            only_here.insert(other);
        }
        let inputs = edges.to(node).to_vec();
        Self { node, any: true, inputs, origins: Vec::new(), origins_of: Vec::new(), only_here }
    }

    /// The join of all at `node`, with the number `join`; tells each node that leads to it that it does.
    pub(super) fn of_all(join: JoinIndex, node: NodeIndex, edges: &Edges, leads: &mut [Vec<Lead>]) -> Self {
        let inputs = edges.to(node).to_vec();
        let mut inputs_from: BTreeMap<NodeIndex, Vec<usize>> = BTreeMap::new();
        for (number, input) in inputs.iter().enumerate() {
            edges.walk_back(&[*input], Some(node), |from| {
                let list = inputs_from.entry(from).or_default();
                let is_new = list.last() != Some(&number);
                if is_new {
                    list.push(number);
                }
                is_new
            });
        }
        let mut numbers = HashMap::new();
        let mut origins = Vec::new();
        for (from, inputs) in inputs_from {
            let origin = *numbers.entry(inputs).or_insert_with_key(|inputs| {
                origins.push(inputs.clone());
                origins.len() - 1
            });
            leads.get_mut(from).into_iter().for_each(|leads| leads.push(Lead { join, origin }));
        }
        let mut origins_of = vec![Vec::new(); inputs.len()];
        for (origin, inputs) in origins.iter().enumerate() {
            for input in inputs {
                origins_of.get_mut(*input).into_iter().for_each(|origins: &mut Vec<_>| origins.push(origin));
            }
        }
        Self { node, any: false, inputs, origins, origins_of, only_here: NodeSet::none(0) }
    }
}

impl Next {
    /// Every node that it may lead to.
    pub(crate) fn targets(&self) -> &[NodeIndex] {
        match self {
            Self::Nodes(nodes) => nodes,
            Self::Routes { targets, .. } => targets,
        }
    }

    /// Whether a branch may end here.
    pub(crate) fn ends(&self) -> bool {
        match self {
            Self::Nodes(nodes) => nodes.is_empty(),
            Self::Routes { may_end, .. } => *may_end,
        }
    }
}
