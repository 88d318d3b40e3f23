//! Workflows as modules give them to an engine.

use std::{fmt, sync::Arc};

use streamnest_modules::{Key, Module, Provider, Scoped};

use crate::{EngineBuilder, Workflow};

/// What the workflows of one module have for themselves, in place of the engine's own: a module that imports a
/// provider of these gives them to its workflows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct FeatureOptions {
    /// `buffer_size` of nodes whose `#[stream_token]` does not say. Default that of
    /// [`EngineOptions`](crate::EngineOptions::default_buffer_size).
    pub default_buffer_size: Option<usize>,
}

impl FeatureOptions {
    /// Sets [`default_buffer_size`](Self::default_buffer_size).
    #[must_use]
    pub const fn with_default_buffer_size(mut self, default_buffer_size: usize) -> Self {
        self.default_buffer_size = Some(default_buffer_size);
        self
    }
}

/// A workflow that a module gives to the engine of its program.
pub struct WorkflowContribution(Box<dyn Fn(EngineBuilder) -> EngineBuilder + Send + Sync>);

impl WorkflowContribution {
    fn new<W: Workflow>(workflow: Scoped<W>, options: Option<Arc<FeatureOptions>>) -> Self {
        let options = options.map(|options| (*options).clone()).unwrap_or_default();
        Self(Box::new(move |engine| engine.scoped_workflow(workflow.clone(), options.clone())))
    }

    /// A workflow that serves all its executions.
    pub fn shared<W: Workflow>(workflow: Arc<W>) -> Self {
        Self(Box::new(move |engine| engine.shared_workflow(workflow.clone())))
    }

    /// Adds the workflow to an engine.
    pub fn add_to(&self, engine: EngineBuilder) -> EngineBuilder {
        self.0(engine)
    }
}

impl fmt::Debug for WorkflowContribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowContribution").finish_non_exhaustive()
    }
}

/// Workflows in modules.
pub trait WithWorkflows: Sized {
    /// Gives the workflow `W` to the program. The module must see a provider of it.
    ///
    /// If that is one for each execution, each execution runs on a workflow of its own, made when it starts and shut
    /// down when it has ended.
    #[must_use]
    fn workflow<W: Workflow>(self) -> Self;
}

impl WithWorkflows for Module {
    fn workflow<W: Workflow>(self) -> Self {
        let what = format!("workflow {}", Key::of::<W>());
        self.contribute(what, Provider::factory(WorkflowContribution::new::<W>))
    }
}
