//! A workflow, checked and ready to run.

mod subgraph;

use std::{fmt, sync::Arc, time::Duration};

use streamnest_core::{NodeName, OnDisconnect, WorkflowName};

pub(crate) use self::subgraph::{Subgraph, SubgraphBuilder};
use crate::{
    Error, NodeBuilder, NodeKind, RetryOptions, Workflow, WorkflowBuilder,
    graph::Graph,
    plan::{Defaults, NodePlan},
    workflow::Body,
};

/// A workflow, checked and ready to run.
pub(crate) struct Definition<W: Workflow> {
    pub(crate) name: WorkflowName,
    pub(crate) description: Option<String>,
    pub(crate) graph: Arc<Graph>,
    /// By the number that the graph gives them.
    pub(crate) nodes: Vec<Node<W>>,
    pub(crate) streaming: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_disconnect: OnDisconnect,
}

pub(crate) struct Node<W: Workflow> {
    pub(crate) plan: Arc<NodePlan>,
    pub(crate) kind: NodeKind,
    pub(crate) retry: Option<RetryOptions>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: usize,
    pub(crate) body: Body<W>,
}

/// What the program says for all its workflows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) buffer_size: usize,
    /// The largest event that the log takes, in bytes.
    pub(crate) max_event_bytes: usize,
}

/// Where a workflow runs: by itself, or within nodes of others.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    bounds: Bounds,
    /// Whether the workflows around it stream.
    streaming: bool,
    /// The workflows around it, and the node of each within which it runs.
    around: Vec<(String, String)>,
}

impl Place {
    pub(crate) const fn top(bounds: Bounds) -> Self {
        Self { bounds, streaming: true, around: Vec::new() }
    }

    /// The name in the log of a node of the workflow that runs here.
    fn name(&self, node: &NodeName) -> Result<NodeName, Error> {
        let mut name = String::new();
        for (_, outer) in &self.around {
            name.push_str(outer);
            name.push('/');
        }
        name.push_str(node);
        let outermost = self.around.first().map_or("", |(workflow, _)| workflow);
        NodeName::new(&name).map_err(|error| Error::node_name(outermost, &name, error))
    }

    /// The place within `node` of `workflow`, which runs here.
    fn within<W: Workflow>(&self, workflow: &WorkflowBuilder<W>, node: &NodeBuilder<W>) -> Self {
        let mut within = self.clone();
        within.streaming &= workflow.streaming;
        within.around.push((workflow.name.clone(), node.name.clone()));
        within
    }

    /// Refuses a workflow that runs within itself, for it would never end to be built.
    fn check_recursion(&self, workflow: &str) -> Result<(), Error> {
        let Some(outer) = self.around.iter().position(|(outer, _)| outer == workflow) else { return Ok(()) };
        let nodes =
            self.around.iter().skip(outer).map(|(workflow, node)| format!("`{node}` of `{workflow}`"));
        let path = nodes.chain([format!("`{workflow}`")]).collect::<Vec<_>>().join(" → ");
        Err(Error::Recursive { workflow: workflow.into(), path })
    }
}

impl<W: Workflow> Definition<W> {
    pub(crate) fn new(mut builder: WorkflowBuilder<W>, place: &Place) -> Result<Self, Error> {
        place.check_recursion(&builder.name)?;
        check_options(&builder)?;
        let mut subgraphs = Vec::with_capacity(builder.nodes.len());
        for node in &builder.nodes {
            subgraphs.push(subgraph(&builder, node, place)?);
        }
        let graphs = subgraphs.iter().map(|one| one.as_ref().map(|one| Graph::clone(&one.graph))).collect();
        let graph = Graph::new(&builder, graphs)?;
        let defaults = Defaults {
            streaming: builder.streaming && place.streaming,
            values: builder.values,
            bounds: place.bounds,
        };
        let mut nodes = Vec::with_capacity(builder.nodes.len());
        let described = std::mem::take(&mut builder.nodes);
        for ((node, shape), subgraph) in described.into_iter().zip(&graph.nodes).zip(subgraphs) {
            let name = place.name(&shape.name)?;
            let plan = Arc::new(NodePlan::new(&builder.name, name, &node, subgraph, defaults)?);
            let NodeBuilder { kind, retry, timeout, concurrency, body, name, .. } = node;
            let Some(body) = body else {
                return Err(Error::NoBody { workflow: builder.name, node: name });
            };
            nodes.push(Node { plan, kind, retry, timeout, concurrency, body });
        }
        Ok(Self {
            name: graph.workflow.clone(),
            description: builder.description,
            graph: Arc::new(graph),
            nodes,
            streaming: defaults.streaming,
            timeout: builder.timeout,
            on_disconnect: builder.on_disconnect,
        })
    }
}

/// The workflow that `node` may run, checked within it.
fn subgraph<W: Workflow>(
    workflow: &WorkflowBuilder<W>,
    node: &NodeBuilder<W>,
    place: &Place,
) -> Result<Option<Subgraph>, Error> {
    match (&node.subgraph, node.kind) {
        (Some(inner), NodeKind::Subgraph) => inner.build(&place.within(workflow, node)).map(Some),
        (None, NodeKind::Subgraph) | (Some(_), _) => Err(Error::Subgraph {
            workflow: workflow.name.clone(),
            node: node.name.clone(),
            kind: node.kind.as_str(),
            names: if node.subgraph.is_some() { "names a workflow to run" } else { "names none to run" },
        }),
        (None, _) => Ok(None),
    }
}

fn check_options<W: Workflow>(builder: &WorkflowBuilder<W>) -> Result<(), Error> {
    let refuse = |option, value: &str, legal| {
        let (workflow, value) = (builder.name.clone(), value.into());
        Err(Error::WorkflowOption { workflow, option, value, legal })
    };
    if builder.max_steps == 0 {
        return refuse("max_steps", "0", "at least 1");
    }
    if builder.timeout.is_some_and(|timeout| timeout.is_zero()) {
        return refuse("timeout", "0s", "longer");
    }
    if let Some(node) = builder.nodes.iter().find(|node| node.is_each() && node.may_go_to) {
        return Err(Error::ItemsChoose { workflow: builder.name.clone(), node: node.name.clone() });
    }
    Ok(())
}

impl<W: Workflow> fmt::Debug for Definition<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition")
            .field("name", &self.name)
            .field("graph", &self.graph)
            .finish_non_exhaustive()
    }
}
