//! A workflow as its author writes it: nodes, edges and what they stream.

mod outcome;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use streamnest_core::{BoxFuture, OnDisconnect};

pub(crate) use self::outcome::Target;
pub use self::outcome::{ConditionOutcome, Goto, NodeOutcome, Step};
use crate::{EventOptions, NodeContext, NodeResult, ProgressOptions, State, TokenOptions};

/// A workflow: a value whose methods are the nodes, and the graph that ties them.
///
/// `#[workflow]` writes this. By hand:
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use streamnest_runtime::{NodeBuilder, NodeContext, NodeResult, TokenOptions, Workflow, WorkflowBuilder};
/// # use serde::{Deserialize, Serialize};
/// # use serde_json::Value;
/// # use streamnest_runtime::{InputError, InputReader, SchemaBuilder, State, StateUpdate};
/// #
/// # #[derive(Clone, Debug, Serialize, Deserialize)]
/// # pub struct Greeting {
/// #     pub name: String,
/// #     pub text: Option<String>,
/// # }
/// #
/// # #[derive(Clone, Debug, Default, Serialize)]
/// # pub struct GreetingUpdate {
/// #     #[serde(skip_serializing_if = "Option::is_none")]
/// #     pub text: Option<String>,
/// # }
/// #
/// # impl State for Greeting {
/// #     type Update = GreetingUpdate;
/// #
/// #     fn from_input(input: Value) -> Result<Self, InputError> {
/// #         let mut input = InputReader::new(input)?;
/// #         let state = Self { name: input.required("name")?, text: input.optional("text")? };
/// #         input.finish(&["name", "text"])?;
/// #         Ok(state)
/// #     }
/// #
/// #     fn apply(&mut self, update: GreetingUpdate) {
/// #         if let Some(text) = update.text {
/// #             self.text = Some(text);
/// #         }
/// #     }
/// #
/// #     fn input_schema() -> Value {
/// #         SchemaBuilder::new("Greeting")
/// #             .field::<String>("name", true, Some("Who is greeted."))
/// #             .field::<Option<String>>("text", false, Some("How."))
/// #             .finish()
/// #     }
/// # }
/// #
/// # impl StateUpdate for GreetingUpdate {
/// #     type State = Greeting;
/// # }
///
/// struct Greeter;
///
/// impl Greeter {
///     async fn greet(&self, state: &Greeting, ctx: &NodeContext) -> NodeResult<GreetingUpdate> {
///         ctx.token(format!("Hello, {}!", state.name)).await;
///         Ok(GreetingUpdate::default())
///     }
/// }
///
/// impl Workflow for Greeter {
///     type State = Greeting;
///
///     fn definition() -> WorkflowBuilder<Self> {
///         WorkflowBuilder::new("greeter").timeout(Duration::from_secs(5)).node(
///             NodeBuilder::new("greet").start().stream_token(TokenOptions::default()).run(
///                 |greeter: Arc<Self>, state: Arc<Greeting>, ctx: NodeContext| async move {
///                     greeter.greet(&state, &ctx).await
///                 },
///             ),
///         )
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no workflow",
    label = "is no workflow",
    note = "put `#[workflow(state = …)]` on the `impl` block that holds its `#[node]` methods"
)]
pub trait Workflow: Send + Sync + Sized + 'static {
    /// What its nodes read and change.
    type State: State;

    /// Its nodes and edges.
    fn definition() -> WorkflowBuilder<Self>;
}

/// The most nodes that one execution visits unless its workflow says otherwise.
pub(crate) const DEFAULT_MAX_STEPS: u32 = 100;

/// Describes a workflow.
#[must_use]
pub struct WorkflowBuilder<W: Workflow> {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) streaming: bool,
    pub(crate) max_steps: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) values: bool,
    pub(crate) nodes: Vec<NodeBuilder<W>>,
}

impl<W: Workflow> WorkflowBuilder<W> {
    /// A workflow without nodes, named `name`: 1 to 64 characters of `a–z A–Z 0–9 - _`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            description: None,
            streaming: true,
            max_steps: DEFAULT_MAX_STEPS,
            timeout: None,
            on_disconnect: OnDisconnect::Continue,
            values: false,
            nodes: Vec::new(),
        }
    }

    /// Says what it does.
    pub fn description(mut self, description: &str) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Whether its nodes stream; if not, its executions have a status and nothing else. Default true.
    pub fn streaming(mut self, streaming: bool) -> Self {
        self.streaming = streaming;
        self
    }

    /// The most nodes that one execution visits; the next one fails it. Default 100.
    pub fn max_steps(mut self, max_steps: u32) -> Self {
        self.max_steps = max_steps;
        self
    }

    /// The longest an execution runs. Default forever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// What happens when the last subscriber has been gone for the grace time. Default it goes on.
    pub fn on_disconnect(mut self, on_disconnect: OnDisconnect) -> Self {
        self.on_disconnect = on_disconnect;
        self
    }

    /// Whether every node that emits events also emits the whole state after its step. Default false.
    pub fn values(mut self, values: bool) -> Self {
        self.values = values;
        self
    }

    /// Adds a node.
    pub fn node(mut self, node: NodeBuilder<W>) -> Self {
        self.nodes.push(node);
        self
    }
}

impl<W: Workflow> fmt::Debug for WorkflowBuilder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowBuilder")
            .field("name", &self.name)
            .field("description", &self.description)
            .field("streaming", &self.streaming)
            .field("max_steps", &self.max_steps)
            .field("timeout", &self.timeout)
            .field("on_disconnect", &self.on_disconnect)
            .field("values", &self.values)
            .field("nodes", &self.nodes)
            .finish()
    }
}

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
    /// Chooses where to go on: returns a [`Goto`].
    Condition,
    /// Returns a stream of tokens.
    Stream,
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
            Self::Stream => "stream",
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

/// Describes a node.
#[must_use]
pub struct NodeBuilder<W: Workflow> {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) kind: NodeKind,
    pub(crate) start: bool,
    pub(crate) after: Option<String>,
    pub(crate) routes: Option<Routes>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) token: Option<TokenOptions>,
    pub(crate) event: Option<EventOptions>,
    pub(crate) progress: Option<ProgressOptions>,
    pub(crate) handler: Option<Handler<W>>,
    pub(crate) may_go_to: bool,
}

/// Where a node's [`Goto`] may lead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Routes {
    pub(crate) targets: Vec<String>,
    pub(crate) may_end: bool,
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
            timeout: None,
            token: None,
            event: None,
            progress: None,
            handler: None,
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
        self.tags = tags.iter().map(|tag| String::from(*tag)).collect();
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

    /// Runs after `node`, whose update leads here.
    pub fn after(mut self, node: &str) -> Self {
        self.after = Some(node.into());
        self
    }

    /// Where its [`Goto`] may lead: to `targets`, and to the end if `may_end`.
    pub fn routes(mut self, targets: &[&str], may_end: bool) -> Self {
        let targets = targets.iter().map(|target| String::from(*target)).collect();
        self.routes = Some(Routes { targets, may_end });
        self
    }

    /// The longest one visit runs. Default forever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
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

    /// What it does: of the workflow, the state and the context, an update or a [`Goto`].
    pub fn run<F, Fut, T>(mut self, body: F) -> Self
    where
        F: Fn(Arc<W>, Arc<W::State>, NodeContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<T>> + Send + 'static,
        T: NodeOutcome<W::State>,
    {
        self.may_go_to = T::MAY_GO_TO;
        self.handler = Some(Arc::new(move |workflow, state, ctx| {
            body(workflow, state, ctx).map(|outcome| outcome.map(NodeOutcome::into_step)).boxed()
        }));
        self
    }

    /// As [`run`](Self::run), for a body that must return a [`Goto`].
    pub fn run_condition<F, Fut, T>(self, body: F) -> Self
    where
        F: Fn(Arc<W>, Arc<W::State>, NodeContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<T>> + Send + 'static,
        T: ConditionOutcome<W::State>,
    {
        self.run(body)
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
            .field("timeout", &self.timeout)
            .field("token", &self.token)
            .field("event", &self.event)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
