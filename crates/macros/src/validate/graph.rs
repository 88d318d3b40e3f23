//! The rules across nodes: names, the start, edges, and whether each node can be reached.

use std::collections::BTreeSet;

use syn::LitStr;

use crate::{
    model::{Node, Workflow},
    parse::args::text,
    report::Report,
    suggest,
};

pub(super) fn check(workflow: &Workflow, report: &mut Report) {
    let nodes = &workflow.nodes;
    if nodes.is_empty() {
        return;
    }
    unique_names(nodes, report);
    // Where an option was wrong, what does not fit it may follow from that, and one message is enough.
    let broken = |option: &str| nodes.iter().any(|node| node.options.broken && node.options.names(option));
    let known = broken("name") || targets_exist(workflow, report);
    if nodes.iter().any(|node| node.options.broken) {
        return;
    }
    let started = one_start(workflow, report);
    let follow = followers(nodes, report);
    if known && started && follow {
        let before = report.len();
        let edges = Edges::of(nodes);
        reachable(nodes, &edges, report);
        if report.len() == before {
            endless(nodes, &edges, report);
        }
        if report.len() == before {
            missing_joins(nodes, &edges, report);
        }
    }
}

fn unique_names(nodes: &[Node], report: &mut Report) {
    for (index, node) in nodes.iter().enumerate() {
        let name = &node.name.text;
        if nodes.iter().take(index).any(|other| other.name.text == *name) {
            let message = format!("node `{name}` is there already; give one of the two another name");
            report.span(node.name.span, message);
        }
    }
}

/// Whether every `after` and `routes` names a node.
fn targets_exist(workflow: &Workflow, report: &mut Report) -> bool {
    let nodes = &workflow.nodes;
    let mut all = true;
    let mut check = |target: &LitStr, spelt: String| {
        let wanted = target.value();
        if nodes.iter().any(|node| node.name.text == wanted) {
            return;
        }
        all = false;
        let names = || nodes.iter().map(|node| node.name.text.as_str());
        let ty = text(&workflow.self_type);
        let renamed = nodes.iter().find(|node| node.method == wanted.as_str());
        let hint = if let Some(renamed) = renamed {
            format!("; the node of method `{wanted}` is named `{}`;", renamed.name.text)
        } else if wanted == "end" {
            "; `end` without quotes ends the workflow;".into()
        } else {
            suggest::hint(&wanted, names())
        };
        report
            .at(target, format!("`{spelt}` names no node of `{ty}`{hint} nodes: {}", suggest::list(names())));
    };
    for node in nodes {
        for after in node.options.after.iter().flat_map(|after| &after.nodes) {
            check(after, format!("after = \"{}\"", after.value()));
        }
        for target in node.options.routes.iter().flat_map(|routes| &routes.targets) {
            check(target, format!("routes(\"{}\")", target.value()));
        }
    }
    all
}

/// Whether exactly one node starts.
fn one_start(workflow: &Workflow, report: &mut Report) -> bool {
    let mut starts = workflow.nodes.iter().filter(|node| node.options.start.is_some());
    let Some(first) = starts.next() else {
        let names = suggest::list(workflow.nodes.iter().map(|node| node.name.text.as_str()));
        let message = format!(
            "no node of `{}` starts; mark the first one with `#[node(start)]`, nodes: {names}",
            text(&workflow.self_type)
        );
        report.at(&workflow.self_type, message);
        return false;
    };
    let mut one = true;
    for second in starts {
        one = false;
        let message = format!(
            "node `{}` starts, and `{}` does already; a workflow starts at one node",
            second.name.text, first.name.text
        );
        report.span(second.options.start.unwrap_or(second.name.span), message);
    }
    one
}

/// Whether a node that chooses its own way names those that come after it.
fn followers(nodes: &[Node], report: &mut Report) -> bool {
    let before = report.len();
    for node in nodes {
        for after in node.options.after.iter().flat_map(|after| &after.nodes) {
            let name = after.value();
            let before = nodes.iter().find(|other| other.name.text == name);
            let Some(routes) = before.and_then(|before| before.options.routes.as_ref()) else { continue };
            if !routes.targets.iter().any(|target| target.value() == node.name.text) {
                let message = format!(
                    "`after = \"{name}\"` follows a node that chooses its way, and not to here; add \"{}\" to the \
                     `routes(…)` of `{name}`",
                    node.name.text
                );
                report.at(after, message);
            }
        }
    }
    report.len() == before
}

/// Where each node may lead, by number.
struct Edges(Vec<Edge>);

struct Edge {
    targets: Vec<usize>,
    /// Whether the node chooses among them.
    chosen: bool,
    /// Whether a branch may end at the node.
    ends: bool,
}

impl Edges {
    fn of(nodes: &[Node]) -> Self {
        let number = |name: &LitStr| nodes.iter().position(|node| node.name.text == name.value());
        let edges = nodes.iter().map(|node| match &node.options.routes {
            Some(routes) => {
                let targets = routes.targets.iter().filter_map(number).collect();
                Edge { targets, chosen: true, ends: routes.end }
            }
            None => {
                let follows = |other: &Node| {
                    let mut before = other.options.after.iter().flat_map(|after| &after.nodes);
                    before.any(|before| before.value() == node.name.text)
                };
                let targets: Vec<_> =
                    nodes.iter().enumerate().filter(|(_, other)| follows(other)).map(|(n, _)| n).collect();
                let ends = targets.is_empty();
                Edge { targets, chosen: false, ends }
            }
        });
        Self(edges.collect())
    }

    fn targets(&self, node: usize) -> &[usize] {
        self.0.get(node).map_or(&[], |edge| &edge.targets)
    }

    /// The nodes that `from` reaches, itself among them, not beyond those where `stop` holds.
    fn reach(&self, from: usize, stop: impl Fn(usize) -> bool) -> BTreeSet<usize> {
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

fn reachable(nodes: &[Node], edges: &Edges, report: &mut Report) {
    let start = nodes.iter().position(|node| node.options.start.is_some());
    let seen = start.map(|start| edges.reach(start, |_| false)).unwrap_or_default();
    for (_, node) in nodes.iter().enumerate().filter(|(index, _)| !seen.contains(index)) {
        let name = &node.name.text;
        let fix = if node.options.after.is_some() {
            "nothing leads to the node it comes after either; name one of the two in the `routes(…)` of a node that is reached"
        } else {
            "add `after = \"…\"`, or name it in the `routes(…)` of another node"
        };
        report.span(node.name.span, format!("node `{name}` is never reached; {fix}"));
    }
}

/// A circle in which nobody chooses to leave it has no way out, and neither has one that leads nowhere else.
fn endless(nodes: &[Node], edges: &Edges, report: &mut Report) {
    let before = report.len();
    for (index, node) in nodes.iter().enumerate() {
        for after in node.options.after.iter().flat_map(|after| &after.nodes) {
            let name = after.value();
            let Some(last) = nodes.iter().position(|other| other.name.text == name) else { continue };
            let chooses = |node: usize| edges.0.get(node).is_none_or(|edge| edge.chosen);
            if chooses(last) {
                continue;
            }
            let circle = edges.reach(index, chooses);
            // Each circle is told once, by the first of its nodes.
            let first = circle
                .iter()
                .copied()
                .find(|node| !chooses(*node) && edges.reach(*node, chooses).contains(&index));
            if circle.contains(&last) && first == Some(index) {
                let message = format!(
                    "`after = \"{name}\"` closes a circle that never ends; let a condition choose between `\"{}\"` and `end`",
                    node.name.text
                );
                report.at(after, message);
            }
        }
    }
    if report.len() > before {
        return;
    }
    for (index, node) in nodes.iter().enumerate() {
        let ends = |node: &usize| edges.0.get(*node).is_some_and(|edge| edge.ends);
        if edges.reach(index, |_| false).iter().any(ends) {
            continue;
        }
        let Some(routes) = &node.options.routes else { continue };
        let message = format!(
            "from node `{}` nothing leads to the end; add `end`, or a node from which it is reached, to the `routes(…)` of one \
             of the nodes in the circle",
            node.name.text
        );
        // The others of the circle would say the same.
        return report.span(routes.span, message);
    }
}

/// Two branches that run at once meet only where a node says how.
fn missing_joins(nodes: &[Node], edges: &Edges, report: &mut Report) {
    let mut told = BTreeSet::new();
    let name = |node: usize| nodes.get(node).map_or("", |node| node.name.text.as_str());
    let joins = |node: usize| nodes.get(node).is_some_and(Node::is_join);
    for (fork, edge) in edges.0.iter().enumerate().filter(|(_, edge)| !edge.chosen) {
        let reach = |branch: &usize| (*branch, edges.reach(*branch, |node| node == fork || joins(node)));
        let reach: Vec<_> = edge.targets.iter().map(reach).collect();
        for (index, (first, reached)) in reach.iter().enumerate() {
            for (second, others) in reach.iter().skip(index + 1) {
                let Some(node) = reached.intersection(others).copied().find(|node| !joins(*node)) else {
                    continue;
                };
                if told.insert(node)
                    && let Some(here) = nodes.get(node)
                {
                    let message = format!(
                        "node `{}` is reached from `{}` and from `{}`, which run at once after `{}`, and would run once for \
                         each; list the nodes before it, `after(\"a\", \"b\")` to wait for all or `after(any(\"a\", \"b\"))` for \
                         the first",
                        name(node),
                        name(*first),
                        name(*second),
                        name(fork)
                    );
                    let span = here.options.after.as_ref().map_or(here.name.span, |after| after.span);
                    report.span(span, message);
                }
            }
        }
    }
}
