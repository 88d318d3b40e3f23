//! A workflow, checked and ready to run.

use std::{fmt, sync::Arc, time::Duration};

use streamnest_core::{OnDisconnect, WorkflowName};

use crate::{
    Error, NodeKind, Workflow, WorkflowBuilder,
    graph::Graph,
    plan::{Defaults, NodePlan},
    workflow::Handler,
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
    pub(crate) timeout: Option<Duration>,
    pub(crate) handler: Handler<W>,
}

impl<W: Workflow> Definition<W> {
    pub(crate) fn new(
        builder: WorkflowBuilder<W>,
        buffer_size: usize,
        max_event_bytes: usize,
    ) -> Result<Self, Error> {
        let graph = Graph::new(&builder)?;
        check_options(&builder)?;
        let WorkflowBuilder { name, description, streaming, timeout, on_disconnect, values, nodes, .. } =
            builder;
        let defaults = Defaults { streaming, values, buffer_size, max_event_bytes };
        let mut checked = Vec::with_capacity(nodes.len());
        for (node, shape) in nodes.into_iter().zip(&graph.nodes) {
            let plan = Arc::new(NodePlan::new(&name, shape.name.clone(), &node, defaults)?);
            let Some(handler) = node.handler else {
                return Err(Error::NoBody { workflow: name, node: node.name });
            };
            checked.push(Node { plan, kind: node.kind, timeout: node.timeout, handler });
        }
        Ok(Self {
            name: WorkflowName::new(&name).map_err(Error::Name)?,
            description,
            graph: Arc::new(graph),
            nodes: checked,
            streaming,
            timeout,
            on_disconnect,
        })
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
