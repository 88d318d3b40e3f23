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
        reachable(nodes, report);
        if report.len() == before {
            endless(nodes, report);
        }
    }
}

fn unique_names(nodes: &[Node], report: &mut Report) {
    for (index, node) in nodes.iter().enumerate() {
        let name = &node.name.text;
        if nodes.iter().take(index).any(|other| other.name.text == *name) {
            let message = format!("node `{name}` is there already; each node of a workflow has its own name");
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
        if let Some(after) = &node.options.after {
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

/// Whether at most one node comes after each; after one that chooses its own way, only what that one names.
fn followers(nodes: &[Node], report: &mut Report) -> bool {
    let before = report.len();
    for (index, node) in nodes.iter().enumerate() {
        let Some(after) = &node.options.after else { continue };
        let name = after.value();
        let before = nodes.iter().find(|other| other.name.text == name);
        if let Some(routes) = before.and_then(|before| before.options.routes.as_ref()) {
            if !routes.targets.iter().any(|target| target.value() == node.name.text) {
                let message = format!(
                    "`after = \"{name}\"` follows a node that chooses its way, and not to here; add \"{}\" to the \
                     `routes(…)` of `{name}`",
                    node.name.text
                );
                report.at(after, message);
            }
            continue;
        }
        let follows = |other: &&Node| other.options.after.as_ref().is_some_and(|after| after.value() == name);
        if let Some(other) = nodes.iter().take(index).find(follows) {
            let message = format!(
                "`{}` comes after `{name}`, and so does `{}`; branches that run at once are not supported, chain them \
                 or choose between them with `routes(…)`",
                node.name.text, other.name.text
            );
            report.at(after, message);
        }
    }
    report.len() == before
}

/// Where a node may lead.
fn successors<'a>(node: &'a Node, nodes: &'a [Node]) -> impl Iterator<Item = &'a Node> {
    nodes.iter().filter(|other| match &node.options.routes {
        Some(routes) => routes.targets.iter().any(|target| target.value() == other.name.text),
        None => other.options.after.as_ref().is_some_and(|after| after.value() == node.name.text),
    })
}

fn reachable(nodes: &[Node], report: &mut Report) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&Node> = nodes.iter().filter(|node| node.options.start.is_some()).collect();
    while let Some(node) = open.pop() {
        if seen.insert(&node.name.text) {
            open.extend(successors(node, nodes));
        }
    }
    for node in nodes.iter().filter(|node| !seen.contains(node.name.text.as_str())) {
        let name = &node.name.text;
        let fix = if node.options.after.is_some() {
            "nothing leads to the node it comes after either"
        } else {
            "add `after = \"…\"`, or name it in the `routes(…)` of another node"
        };
        report.span(node.name.span, format!("node `{name}` is never reached; {fix}"));
    }
}

/// A circle of `after` alone has no way out.
fn endless(nodes: &[Node], report: &mut Report) {
    for (index, node) in nodes.iter().enumerate() {
        let Some(after) = &node.options.after else { continue };
        let Some(circle) = circle(index, nodes) else { continue };
        // Each circle is told once, by the first of its nodes.
        if circle.iter().any(|other| *other < index) {
            continue;
        }
        let message = format!(
            "`after = \"{}\"` closes a circle that never ends; let a condition choose between `\"{}\"` and `end`",
            after.value(),
            node.name.text
        );
        report.at(after, message);
    }
}

/// The nodes of the circle that leads from a node back to it, if no node in it chooses its way.
fn circle(first: usize, nodes: &[Node]) -> Option<Vec<usize>> {
    let mut circle = vec![first];
    let mut node = nodes.get(first)?;
    for _ in nodes {
        let before = node.options.after.as_ref()?.value();
        let index = nodes.iter().position(|other| other.name.text == before)?;
        node = nodes.get(index).filter(|node| node.options.routes.is_none())?;
        if index == first {
            return Some(circle);
        }
        circle.push(index);
    }
    None
}
