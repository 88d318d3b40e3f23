//! A workflow as its author writes it: nodes, edges and what they stream.

mod each;
mod item_list;
mod node;
mod outcome;
mod retry;

use std::{fmt, time::Duration};

use streamnest_core::OnDisconnect;

pub(crate) use self::{
    each::{Each, Items},
    node::{Body, Handler},
    outcome::Target,
    retry::random,
};
pub use self::{
    item_list::{ItemList, Pick, items},
    node::{NodeBuilder, NodeKind},
    outcome::{ConditionOutcome, Goto, NodeOutcome, Step},
    retry::{RetryOn, RetryOptions},
};
use crate::State;

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

    /// The longest an execution runs, not counting the time in which it waits for an answer. Default forever.
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
