//! Which node can lead where, worked out once, so that joins know at run time whom they still wait for.

use super::{Next, NodeIndex};

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

/// A node that waits for several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Join {
    pub(crate) node: NodeIndex,
    /// Whether it runs at the first arrival of a round.
    pub(crate) any: bool,
    /// Every node with an edge to it.
    pub(crate) inputs: Vec<NodeIndex>,
    /// For each input, the nodes from which a path leads to it, and so here, without passing here before.
    pub(crate) leads: Vec<NodeSet>,
    /// The nodes from which no path leads to the end but through here.
    pub(crate) only_here: NodeSet,
}

impl Join {
    pub(super) fn new(node: NodeIndex, any: bool, next: &[Next]) -> Self {
        let inputs: Vec<_> = (0..next.len()).filter(|from| leads_to(next, *from, node)).collect();
        let leads = inputs.iter().map(|input| leading_to(next, &[*input], Some(node))).collect();
        let ends: Vec<_> = (0..next.len()).filter(|node| next.get(*node).is_some_and(Next::ends)).collect();
        let ending = leading_to(next, &ends, Some(node));
        let mut only_here = NodeSet::none(next.len());
        for other in (0..next.len()).filter(|other| *other != node && !ending.contains(*other)) {
            only_here.insert(other);
        }
        Self { node, any, inputs, leads, only_here }
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

fn leads_to(next: &[Next], from: NodeIndex, to: NodeIndex) -> bool {
    next.get(from).is_some_and(|next| next.targets().contains(&to))
}

/// The nodes from which a path leads to one of `goals`, these among them, that does not pass `without`.
pub(super) fn leading_to(next: &[Next], goals: &[NodeIndex], without: Option<NodeIndex>) -> NodeSet {
    let mut found = NodeSet::none(next.len());
    let mut open: Vec<_> = goals.iter().copied().filter(|goal| Some(*goal) != without).collect();
    while let Some(node) = open.pop() {
        if found.insert(node) {
            open.extend((0..next.len()).filter(|from| Some(*from) != without && leads_to(next, *from, node)));
        }
    }
    found
}
