//! A node that runs once for each item that it finds in the state.

use std::{
    future::Future,
    marker::PhantomData,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt as _;
use streamnest_core::BoxFuture;

use super::{NodeOutcome, Step, Workflow};
use crate::{NodeContext, NodeResult, State};

/// What a node does for each item.
pub(crate) trait Each<W: Workflow>: Send + Sync {
    /// Finds the items in the state.
    fn begin(&self, workflow: Arc<W>, state: Arc<W::State>) -> Arc<dyn Items<W::State>>;
}

/// The items of one visit, and what has come of them.
pub(crate) trait Items<S: State>: Send + Sync {
    fn count(&self) -> usize;

    /// Runs the body for one item, once, and keeps its value.
    fn run(&self, item: usize, ctx: NodeContext) -> BoxFuture<'static, NodeResult<()>>;

    /// What all items come to, in their order: a step for each, or one of them all. All have run.
    fn finish(&self) -> Vec<Step<S>>;
}

/// Each item has a step of its own.
pub(super) struct OneByOne<G, F, M>(Arc<(G, F)>, PhantomData<fn() -> M>);

/// One update is made of the values of all items.
pub(super) struct Gathering<G, F, H, M>(Arc<(G, F)>, Arc<H>, PhantomData<fn() -> M>);

impl<G, F, M> OneByOne<G, F, M> {
    pub(super) fn new(items: G, body: F) -> Self {
        Self(Arc::new((items, body)), PhantomData)
    }
}

impl<G, F, H, M> Gathering<G, F, H, M> {
    pub(super) fn new(items: G, body: F, gather: H) -> Self {
        Self(Arc::new((items, body)), Arc::new(gather), PhantomData)
    }
}

impl<W, I, G, F, Fut, T> Each<W> for OneByOne<G, F, (I, Fut, T)>
where
    W: Workflow,
    I: Clone + Send + Sync + 'static,
    G: Fn(&W::State) -> Vec<I> + Send + Sync + 'static,
    F: Fn(Arc<W>, Arc<W::State>, I, NodeContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<T>> + Send + 'static,
    T: NodeOutcome<W::State> + 'static,
{
    fn begin(&self, workflow: Arc<W>, state: Arc<W::State>) -> Arc<dyn Items<W::State>> {
        let items = self.0.0(&state);
        let finish = |values: Vec<T>| values.into_iter().map(NodeOutcome::into_step).collect();
        Arc::new(Visit::new(self.0.clone(), workflow, state, items, finish))
    }
}

impl<W, I, G, F, Fut, T, H> Each<W> for Gathering<G, F, H, (I, Fut, T)>
where
    W: Workflow,
    I: Clone + Send + Sync + 'static,
    G: Fn(&W::State) -> Vec<I> + Send + Sync + 'static,
    F: Fn(Arc<W>, Arc<W::State>, I, NodeContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<T>> + Send + 'static,
    T: Send + 'static,
    H: Fn(Vec<T>) -> <W::State as State>::Update + Send + Sync + 'static,
{
    fn begin(&self, workflow: Arc<W>, state: Arc<W::State>) -> Arc<dyn Items<W::State>> {
        let items = self.0.0(&state);
        let gather = self.1.clone();
        let finish = move |values: Vec<T>| vec![Step { update: Some(gather(values)), target: None }];
        Arc::new(Visit::new(self.0.clone(), workflow, state, items, finish))
    }
}

/// The items of one visit.
struct Visit<W: Workflow, I, G, F, T, H> {
    node: Arc<(G, F)>,
    workflow: Arc<W>,
    state: Arc<W::State>,
    items: Vec<I>,
    values: Arc<Mutex<Vec<Option<T>>>>,
    finish: H,
}

impl<W: Workflow, I, G, F, T, H> Visit<W, I, G, F, T, H> {
    fn new(node: Arc<(G, F)>, workflow: Arc<W>, state: Arc<W::State>, items: Vec<I>, finish: H) -> Self {
        let values = items.iter().map(|_| None).collect();
        Self { node, workflow, state, items, values: Arc::new(Mutex::new(values)), finish }
    }
}

impl<W, I, G, F, Fut, T, H> Items<W::State> for Visit<W, I, G, F, T, H>
where
    W: Workflow,
    I: Clone + Send + Sync + 'static,
    G: Send + Sync + 'static,
    F: Fn(Arc<W>, Arc<W::State>, I, NodeContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<T>> + Send + 'static,
    T: Send + 'static,
    H: Fn(Vec<T>) -> Vec<Step<W::State>> + Send + Sync + 'static,
{
    fn count(&self) -> usize {
        self.items.len()
    }

    fn run(&self, item: usize, ctx: NodeContext) -> BoxFuture<'static, NodeResult<()>> {
        let Some(value) = self.items.get(item).cloned() else { return async { Ok(()) }.boxed() };
        let (node, values) = (self.node.clone(), self.values.clone());
        let (workflow, state) = (self.workflow.clone(), self.state.clone());
        async move {
            let value = (node.1)(workflow, state, value, ctx).await?;
            let mut values = values.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = values.get_mut(item) {
                *slot = Some(value);
            }
            Ok(())
        }
        .boxed()
    }

    fn finish(&self) -> Vec<Step<W::State>> {
        let values = mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner));
        (self.finish)(values.into_iter().flatten().collect())
    }
}
