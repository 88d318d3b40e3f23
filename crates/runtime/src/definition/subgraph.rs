//! The workflow that a node runs.

use std::{any::Any, fmt, sync::Arc};

use streamnest_core::WorkflowName;

use super::{Definition, Place};
use crate::{Error, Workflow, graph::Graph};

/// Which workflow a node runs; its definition is asked for when the outer one is built.
#[derive(Clone, Copy)]
pub(crate) struct SubgraphBuilder {
    type_name: &'static str,
    build: fn(&Place) -> Result<Subgraph, Error>,
}

impl SubgraphBuilder {
    pub(crate) fn new<V: Workflow>() -> Self {
        Self {
            type_name: std::any::type_name::<V>(),
            build: |place| {
                let definition = Definition::<V>::new(V::definition(), place)?;
                Ok(Subgraph {
                    workflow: definition.name.clone(),
                    graph: definition.graph.clone(),
                    definition: Arc::new(definition),
                })
            },
        }
    }

    pub(crate) fn build(&self, place: &Place) -> Result<Subgraph, Error> {
        (self.build)(place)
    }
}

impl fmt::Debug for SubgraphBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name)
    }
}

/// The workflow that a node runs, checked.
#[derive(Clone)]
pub(crate) struct Subgraph {
    pub(crate) workflow: WorkflowName,
    pub(crate) graph: Arc<Graph>,
    /// A `Definition` of the workflow's type.
    definition: Arc<dyn Any + Send + Sync>,
}

impl Subgraph {
    /// The definition, if it is one of `V`.
    pub(crate) fn definition<V: Workflow>(&self) -> Option<Arc<Definition<V>>> {
        self.definition.clone().downcast().ok()
    }
}

impl fmt::Debug for Subgraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subgraph({})", self.workflow)
    }
}
