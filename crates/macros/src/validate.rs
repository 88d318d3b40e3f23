//! Every rule that spans more than one option: within a node, and across the nodes of a workflow.

mod graph;
mod module;
mod node;
mod ways;

pub(crate) use self::module::module;
use crate::{model::Workflow, report::Report};

/// Checks the whole workflow and reports all that is wrong.
pub(crate) fn workflow(workflow: &Workflow, report: &mut Report) {
    workflow.nodes.iter().for_each(|node| node::check(node, report));
    graph::check(workflow, report);
    // A body that takes a way of which there is no node is told of by the route.
    if report.is_empty() {
        workflow.nodes.iter().for_each(|node| ways::check(node, report));
    }
}
