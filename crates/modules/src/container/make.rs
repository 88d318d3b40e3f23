//! One value, from what it needs to its end.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures_util::FutureExt as _;
use streamnest_core::ExecutionId;
use tokio::time::timeout;

use super::Inner;
use crate::{
    BoxError, Error, Given,
    dependency::Found,
    graph::{Edge, ProviderNode},
    provider::{Instance, ProviderScope},
    scoped::RawScoped,
};

/// What was made for one execution, in the order in which it was made.
#[derive(Default)]
pub(crate) struct Made {
    /// The id of the execution, as a value.
    id: Option<Instance>,
    values: Vec<(usize, Instance)>,
}

impl Made {
    pub(super) fn new(execution: &ExecutionId) -> Self {
        Self { id: Some(Arc::new(Arc::new(execution.clone()))), values: Vec::new() }
    }

    pub(super) fn get(&self, provider: usize) -> Option<&Instance> {
        self.values.iter().find(|(index, _)| *index == provider).map(|(_, instance)| instance)
    }

    pub(super) fn push(&mut self, provider: usize, instance: Instance) {
        self.values.push((provider, instance));
    }

    pub(super) fn into_reverse(self) -> impl Iterator<Item = (usize, Instance)> {
        self.values.into_iter().rev()
    }
}

impl Inner {
    /// Makes every value that lives as long as the application.
    pub(super) async fn make(self: &Arc<Self>) -> Result<(), Error> {
        for index in &self.graph.order {
            let instance = self.make_one(*index, None).await?;
            if let Some(slot) = self.slots.get(*index) {
                // Each is made once: the order names it once.
                let _ = slot.set(instance);
            }
        }
        Ok(())
    }

    /// Makes the value of one provider, of what is made already.
    pub(super) async fn make_one(
        self: &Arc<Self>,
        index: usize,
        made: Option<&Made>,
    ) -> Result<Instance, Error> {
        let node = self.node(index);
        let needs = node.raw.needs.iter().zip(&node.edges);
        let found = needs.map(|(need, edge)| (need.clone(), self.found(*edge, made))).collect();
        let given = Given::new(node.what.clone(), found);
        let making = catch_unwind(AssertUnwindSafe(|| node.raw.make(given)));
        let result = match making {
            Ok(making) => AssertUnwindSafe(making).catch_unwind().await,
            Err(panic) => Err(panic),
        };
        match result {
            Ok(Ok(instance)) => {
                let (provider, module) = (&node.what, self.graph.module_name(node));
                tracing::debug!(%provider, %module, scope = node.raw.scope.as_str(), "provider made");
                Ok(instance)
            }
            Ok(Err(source)) => {
                let (provider, module) = self.names(node);
                Err(Error::ProviderFailed { provider, module, source })
            }
            Err(panic) => Err(self.panicked(node, "was made", panic.as_ref())),
        }
    }

    fn found(self: &Arc<Self>, edge: Edge, made: Option<&Made>) -> Found {
        let found = match edge {
            Edge::Value(source) => self.value(source, made).map(Found::Instance),
            Edge::Handle(source) => {
                let scope = self.node(source.provider).raw.scope;
                Some(Found::Handle(RawScoped { container: Arc::downgrade(self), source, scope }))
            }
            Edge::ExecutionId => made.and_then(|made| made.id.clone()).map(Found::Instance),
            Edge::Nothing => None,
        };
        found.unwrap_or(Found::Nothing)
    }

    /// Runs the init hook of a value, if it has one.
    pub(super) async fn begin(&self, index: usize, instance: &Instance) -> Result<(), Error> {
        let node = self.node(index);
        let Some(hook) = &node.raw.init else { return Ok(()) };
        self.hook(node, "began", || hook(instance)).await?;
        tracing::info!(provider = %node.what, module = self.graph.module_name(node), "provider began");
        Ok(())
    }

    /// Runs the shutdown hook of a value, if it has one. What fails is logged.
    pub(super) async fn end(&self, index: usize, instance: &Instance) {
        let node = self.node(index);
        let Some(hook) = &node.raw.shutdown else { return };
        match self.hook(node, "ended", || hook(instance)).await {
            // One for each execution is no news.
            Ok(()) if node.raw.scope == ProviderScope::Execution => {
                tracing::debug!(provider = %node.what, module = self.graph.module_name(node), "provider ended");
            }
            Ok(()) => {
                tracing::info!(provider = %node.what, module = self.graph.module_name(node), "provider ended")
            }
            Err(error) => tracing::error!(code = error.code(), "{error}"),
        }
    }

    async fn hook<Fut>(
        &self,
        node: &ProviderNode,
        when: &'static str,
        hook: impl FnOnce() -> Fut,
    ) -> Result<(), Error>
    where
        Fut: Future<Output = Result<(), BoxError>>,
    {
        let limit = self.options.hook_timeout;
        let running = match catch_unwind(AssertUnwindSafe(hook)) {
            Ok(running) => timeout(limit, AssertUnwindSafe(running).catch_unwind()).await,
            Err(panic) => Ok(Err(panic)),
        };
        let (provider, module) = self.names(node);
        match running {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(source))) => Err(Error::HookFailed { provider, module, when, source }),
            Ok(Err(panic)) => Err(self.panicked(node, when, panic.as_ref())),
            Err(_) => Err(Error::HookTimeout { provider, module, when, limit }),
        }
    }

    fn node(&self, index: usize) -> &ProviderNode {
        self.graph.providers.get(index).expect("the graph names its own providers only")
    }

    fn names(&self, node: &ProviderNode) -> (String, String) {
        (node.what.clone(), self.graph.module_name(node).to_owned())
    }

    fn panicked(&self, node: &ProviderNode, when: &'static str, panic: &(dyn Any + Send)) -> Error {
        let text = panic.downcast_ref::<&str>().map(|text| String::from(*text));
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let (provider, module) = self.names(node);
        let panic = text.unwrap_or_else(|| "something that is no text".into());
        Error::ProviderPanicked { provider, module, when, panic }
    }
}
