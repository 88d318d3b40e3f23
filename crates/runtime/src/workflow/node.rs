//! A node as its author writes it.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use streamnest_core::BoxFuture;

use super::{
    ConditionOutcome, NodeOutcome, RetryOptions, Step, Workflow,
    each::{Each, Gathering, OneByOne},
};
use crate::{
    EventOptions, NodeContext, NodeResult, ProgressOptions, State, TokenOptions, definition::SubgraphBuilder,
};

/// What a node is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum NodeKind {
    /// Anything.
    #[default]
    Standard,
    /// Calls a model: emits `llm_start` and `llm_complete`.
    Llm,
    /// Does a tool's work: emits `tool_start` and `tool_complete`.
    Tool,
    /// Does a piece of work.
    Task,
    /// Chooses where to go on: returns a [`Goto`](super::Goto).
    Condition,
    /// Brings branches together: runs after several nodes.
    Aggregator,
    /// Returns a stream of tokens.
    Stream,
    /// Runs another workflow: [`NodeContext::run_subgraph`].
    Subgraph,
}

impl NodeKind {
    /// The name in attributes and in the graph.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Llm => "llm",
            Self::Tool => "tool",
            Self::Task => "task",
            Self::Condition => "condition",
            Self::Aggregator => "aggregator",
            Self::Stream => "stream",
            Self::Subgraph => "subgraph",
        }
    }
}

/// What a node does: of the workflow, the state and its context, the next step.
pub(crate) type Handler<W> = Arc<
    dyn Fn(Arc<W>, Arc<<W as Workflow>::State>, NodeContext) -> StepFuture<<W as Workflow>::State>
        + Send
        + Sync,
>;
pub(crate) type StepFuture<S> = BoxFuture<'static, NodeResult<Step<S>>>;

/// What a node does, once for a visit or once for each item.
pub(crate) enum Body<W: Workflow> {
    Once(Handler<W>),
    Each(Arc<dyn Each<W>>),
}

/// How many items of a node are worked on at once unless it says otherwise.
const DEFAULT_CONCURRENCY: usize = 16;

/// Describes a node.
#[must_use]
pub struct NodeBuilder<W: Workflow> {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) kind: NodeKind,
    pub(crate) start: bool,
    pub(crate) after: Option<After>,
    pub(crate) routes: Option<Routes>,
    pub(crate) retry: Option<RetryOptions>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: usize,
    pub(crate) subgraph: Option<SubgraphBuilder>,
    pub(crate) token: Option<TokenOptions>,
    pub(crate) event: Option<EventOptions>,
    pub(crate) progress: Option<ProgressOptions>,
    pub(crate) body: Option<Body<W>>,
    pub(crate) may_go_to: bool,
}

/// The nodes that a node runs after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct After {
    pub(crate) nodes: Vec<String>,
    /// Whether the first of them is enough.
    pub(crate) any: bool,
}

/// Where a node's [`Goto`](super::Goto) may lead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Routes {
    pub(crate) targets: Vec<String>,
    pub(crate) may_end: bool,
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| String::from(*name)).collect()
}

impl<W: Workflow> NodeBuilder<W> {
    /// A node named `name`: 1 to 64 characters of `a–z A–Z 0–9 - _`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            description: None,
            tags: Vec::new(),
            kind: NodeKind::Standard,
            start: false,
            after: None,
            routes: None,
            retry: None,
            timeout: None,
            concurrency: DEFAULT_CONCURRENCY,
            subgraph: None,
            token: None,
            event: None,
            progress: None,
            body: None,
            may_go_to: false,
        }
    }

    /// Says what it does.
    pub fn description(mut self, description: &str) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Words by which the graph's readers may find it.
    pub fn tags(mut self, tags: &[&str]) -> Self {
        self.tags = owned(tags);
        self
    }

    /// What it is for. Default standard.
    pub fn kind(mut self, kind: NodeKind) -> Self {
        self.kind = kind;
        self
    }

    /// The execution begins here. Exactly one node is the start.
    pub fn start(mut self) -> Self {
        self.start = true;
        self
    }

    /// Runs after `node`, whose update leads here. Several nodes after one run at the same time.
    pub fn after(self, node: &str) -> Self {
        self.after_all(&[node])
    }

    /// Runs once for a round, when all of `nodes` have come that still can: it waits for no branch that ended elsewhere.
    pub fn after_all(mut self, nodes: &[&str]) -> Self {
        self.after = Some(After { nodes: owned(nodes), any: false });
        self
    }

    /// Runs once for a round, when the first of `nodes` has come. What could only come later and in vain is stopped, and
    /// leaves no trace in the state.
    pub fn after_any(mut self, nodes: &[&str]) -> Self {
        self.after = Some(After { nodes: owned(nodes), any: true });
        self
    }

    /// Where its [`Goto`](super::Goto) may lead: to `targets`, and to the end if `may_end`.
    pub fn routes(mut self, targets: &[&str], may_end: bool) -> Self {
        self.routes = Some(Routes { targets: owned(targets), may_end });
        self
    }

    /// Tries a visit, or an item, again when it fails. Default once.
    pub fn retry(mut self, retry: RetryOptions) -> Self {
        self.retry = Some(retry);
        self
    }

    /// The longest one attempt of a visit, or of an item, runs, not counting the time in which it waits for an answer.
    /// Default forever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The most items of [`run_each`](Self::run_each) that are worked on at once. Default 16.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Its body may run the workflow `V` by [`NodeContext::run_subgraph`]; the nodes of `V` are named `this/inner`. For a
    /// node of [`NodeKind::Subgraph`].
    pub fn subgraph<V: Workflow>(mut self) -> Self {
        self.subgraph = Some(SubgraphBuilder::new::<V>());
        self
    }

    /// Streams its tokens.
    pub fn stream_token(mut self, options: TokenOptions) -> Self {
        self.token = Some(options);
        self
    }

    /// Chooses the events that it emits.
    pub fn stream_event(mut self, options: EventOptions) -> Self {
        self.event = Some(options);
        self
    }

    /// Streams its progress.
    pub fn stream_progress(mut self, options: ProgressOptions) -> Self {
        self.progress = Some(options);
        self
    }

    /// What it does: of the workflow, the state and the context, an update or a [`Goto`](super::Goto).
    pub fn run<F, Fut, T>(mut self, body: F) -> Self
    where
        F: Fn(Arc<W>, Arc<W::State>, NodeContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<T>> + Send + 'static,
        T: NodeOutcome<W::State>,
    {
        self.may_go_to = T::MAY_GO_TO;
        self.body = Some(Body::Once(Arc::new(move |workflow, state, ctx| {
            body(workflow, state, ctx).map(|outcome| outcome.map(NodeOutcome::into_step)).boxed()
        })));
        self
    }

    /// As [`run`](Self::run), for a body that must return a [`Goto`](super::Goto).
    pub fn run_condition<F, Fut, T>(self, body: F) -> Self
    where
        F: Fn(Arc<W>, Arc<W::State>, NodeContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<T>> + Send + 'static,
        T: ConditionOutcome<W::State>,
    {
        self.run(body)
    }

    /// What it does for each of the `items` that it finds in the state, [`concurrency`](Self::concurrency) of them at
    /// once. Their updates are applied in the order of the items when all are done; the node fails with the first that
    /// fails, and the others are stopped.
    pub fn run_each<I, G, F, Fut, T>(mut self, items: G, body: F) -> Self
    where
        I: Clone + Send + Sync + 'static,
        G: Fn(&W::State) -> Vec<I> + Send + Sync + 'static,
        F: Fn(Arc<W>, Arc<W::State>, I, NodeContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<T>> + Send + 'static,
        T: NodeOutcome<W::State> + 'static,
    {
        self.may_go_to = T::MAY_GO_TO;
        self.body = Some(Body::Each(Arc::new(OneByOne::new(items, body))));
        self
    }

    /// As [`run_each`](Self::run_each), for a body that returns any value: `gather` makes one update of all values, which
    /// come in the order of the items.
    pub fn gather_each<I, G, F, Fut, T, H>(mut self, items: G, body: F, gather: H) -> Self
    where
        I: Clone + Send + Sync + 'static,
        G: Fn(&W::State) -> Vec<I> + Send + Sync + 'static,
        F: Fn(Arc<W>, Arc<W::State>, I, NodeContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<T>> + Send + 'static,
        T: Send + 'static,
        H: Fn(Vec<T>) -> <W::State as State>::Update + Send + Sync + 'static,
    {
        self.may_go_to = false;
        self.body = Some(Body::Each(Arc::new(Gathering::new(items, body, gather))));
        self
    }

    pub(crate) const fn has_body(&self) -> bool {
        self.body.is_some()
    }

    pub(crate) const fn is_each(&self) -> bool {
        matches!(self.body, Some(Body::Each(_)))
    }

    /// Whether it waits for several nodes, or for the first of several.
    pub(crate) fn is_join(&self) -> bool {
        self.after.as_ref().is_some_and(|after| after.any || after.nodes.len() > 1)
    }
}

impl<W: Workflow> fmt::Debug for NodeBuilder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .field("description", &self.description)
            .field("tags", &self.tags)
            .field("kind", &self.kind)
            .field("start", &self.start)
            .field("after", &self.after)
            .field("routes", &self.routes)
            .field("retry", &self.retry)
            .field("timeout", &self.timeout)
            .field("each", &self.is_each())
            .field("concurrency", &self.concurrency)
            .field("subgraph", &self.subgraph)
            .field("token", &self.token)
            .field("event", &self.event)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
