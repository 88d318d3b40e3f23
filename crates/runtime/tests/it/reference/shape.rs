//! The edges of a graph, as `docs/execution.md` draws them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::spec::{NodeSpec, Spec};

/// A node, by its place in the order of the nodes.
pub(super) type Node = usize;

/// What is known of a graph before it runs.
pub(super) struct Shape {
    pub(super) next: Vec<Vec<Node>>,
    before: Vec<Vec<Node>>,
    ends: Vec<Node>,
    /// By input and join: from where a path leads to the input that does not pass the join. Worked out when it is asked.
    leads: RefCell<BTreeMap<(Node, Node), BTreeSet<Node>>>,
    /// By join: from where a path leads to the end that does not pass it.
    escapes: RefCell<BTreeMap<Node, BTreeSet<Node>>>,
}

impl Shape {
    pub(super) fn new(spec: &Spec) -> Self {
        let numbers: BTreeMap<&str, Node> =
            spec.nodes.iter().enumerate().map(|(node, of)| (of.name.as_str(), node)).collect();
        let mut next = vec![Vec::new(); spec.nodes.len()];
        for (node, of) in spec.nodes.iter().enumerate() {
            next[node]
                .extend(of.routes.iter().filter(|name| *name != "end").map(|name| numbers[name.as_str()]));
        }
        for (node, of) in spec.nodes.iter().enumerate() {
            for from in of.after.iter().map(|name| numbers[name.as_str()]) {
                if spec.nodes[from].routes.is_empty() {
                    next[from].push(node);
                }
            }
        }
        let mut before = vec![Vec::new(); next.len()];
        next.iter().enumerate().for_each(|(from, to)| to.iter().for_each(|to| before[*to].push(from)));
        let ends = |of: &NodeSpec, next: &[Node]| {
            if of.routes.is_empty() { next.is_empty() } else { of.routes.iter().any(|name| name == "end") }
        };
        let ends = (0..next.len()).filter(|node| ends(&spec.nodes[*node], &next[*node])).collect();
        Self { next, before, ends, leads: RefCell::default(), escapes: RefCell::default() }
    }

    /// The inputs of a join, in the order of the nodes.
    pub(super) fn inputs(&self, join: Node) -> &[Node] {
        &self.before[join]
    }

    /// Whether from `from` a path leads to `input` that does not pass `join`.
    pub(super) fn leads(&self, from: Node, input: Node, join: Node) -> bool {
        let mut leads = self.leads.borrow_mut();
        leads.entry((input, join)).or_insert_with(|| self.backwards(&[input], join)).contains(&from)
    }

    /// Whether from `from` a path leads to the end that does not pass `join`.
    pub(super) fn escapes(&self, from: Node, join: Node) -> bool {
        let mut escapes = self.escapes.borrow_mut();
        escapes.entry(join).or_insert_with(|| self.backwards(&self.ends, join)).contains(&from)
    }

    fn backwards(&self, goals: &[Node], without: Node) -> BTreeSet<Node> {
        let mut found = BTreeSet::new();
        let mut open = goals.to_vec();
        while let Some(node) = open.pop() {
            if node != without && found.insert(node) {
                open.extend(&self.before[node]);
            }
        }
        found
    }
}
