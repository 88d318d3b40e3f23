//! What a node's body can say and ask.

mod ask;

use std::{fmt, future::Future, sync::Arc};

use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use streamnest_core::{
    Delivery, Event, EventType, ExecutionId, MessageId, NodeName, Priority, Scope, ScopeExt as _, TokenDelta,
    TraceContext,
};
use tokio::task::AbortHandle;

use crate::{
    NodeError, NodeResult, ProgressMetadata, Workflow,
    execution::{self, Execution, once},
    output::{NodeOutput, port::Port},
};

/// One visit of a node, as its body sees it. A cheap handle.
///
/// What the node says goes into the execution's log as the node's attributes tell. Saying something waits only while too
/// much of the log is not durable yet, never for readers. What is said after the visit has ended is not said.
#[derive(Clone)]
pub struct NodeContext {
    output: Arc<NodeOutput>,
}

/// A count of units of work: any of Rust's numbers. Above 2^53 the last digits of a whole number are lost.
pub trait Quantity {
    /// The number.
    fn quantity(self) -> f64;
}

macro_rules! quantities {
    ($($number:ty),*) => {
        $(impl Quantity for $number {
            fn quantity(self) -> f64 {
                self as f64
            }
        })*
    };
}

quantities!(f32, f64, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

/// An event to be emitted.
#[derive(Clone, Debug)]
#[must_use]
pub struct Emit {
    event_type: String,
    data: serde_json::Value,
    priority: Option<Priority>,
}

impl Emit {
    /// An event of a type: a well-known one or a name of your own, 1 to 64 characters.
    pub fn new(event_type: impl Into<String>, data: serde_json::Value) -> Self {
        Self { event_type: event_type.into(), data, priority: None }
    }

    /// How much it matters. Default medium; for well-known types what [`EventType::default_priority`] says.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }
}

impl NodeContext {
    pub(crate) const fn new(output: Arc<NodeOutput>) -> Self {
        Self { output }
    }

    /// The execution that this visit belongs to.
    pub fn execution_id(&self) -> &ExecutionId {
        self.output.execution.id()
    }

    /// The node.
    pub fn node_id(&self) -> &NodeName {
        &self.output.plan.name
    }

    /// Which pass through the node this is, from 1.
    pub fn visit(&self) -> u32 {
        self.output.visit
    }

    /// Which try of that pass this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.output.attempt
    }

    /// Which of the items this is, from 0, in a node that runs once for each.
    pub fn item(&self) -> Option<usize> {
        self.output.item.and_then(|item| item.try_into().ok())
    }

    /// Where this attempt stands in the trace of its execution: that of whoever started it, by W3C Trace Context, or one of its
    /// own. What a node calls over HTTP belongs to it by the headers `traceparent` and, if there is one, `tracestate`.
    pub fn trace(&self) -> TraceContext {
        self.output.trace()
    }

    /// The header `traceparent` for what this attempt calls, as [`trace`](Self::trace) has it.
    ///
    /// ```
    /// # use streamnest_runtime::NodeContext;
    /// # fn example(ctx: &NodeContext) {
    /// let header = format!("traceparent: {}", ctx.traceparent());
    /// # let _ = header;
    /// # }
    /// ```
    pub fn traceparent(&self) -> String {
        self.trace().traceparent()
    }

    /// Runs another workflow within this visit, from `state` to its last state, which is returned. Its nodes say what they
    /// say into the log of this execution, named `this/inner`; a cancel and a timeout of this visit reach them.
    ///
    /// The node must declare it: `#[node(kind = "subgraph", workflow = Type)]`.
    ///
    /// # Errors
    /// The error of the inner node that failed, which keeps its code and names that node; `workflow_timeout` after the inner
    /// workflow's own timeout; `subgraph_not_declared`.
    pub async fn run_subgraph<V: Workflow>(
        &self,
        workflow: &Arc<V>,
        state: V::State,
    ) -> NodeResult<V::State> {
        execution::subgraph::run(self, workflow.clone(), state).await
    }

    /// The state of the execution now, as JSON: with the changes of all visits that have completed, also those of other
    /// branches, which this node's own `state` leaves out.
    ///
    /// # Errors
    /// If the state cannot be written as JSON.
    pub fn snapshot(&self) -> NodeResult<serde_json::Value> {
        Ok(self.output.execution.snapshot()?.unwrap_or_default())
    }

    /// Waits until the execution is cancelled.
    ///
    /// A node need not: its future is dropped at its next await. This is for what it has started elsewhere.
    pub async fn cancelled(&self) {
        self.output.execution.cancelled().await;
    }

    /// Streams a token. Without `#[stream_token]` on the node nothing happens.
    ///
    /// All tokens that are streamed so in one visit are one message. For several, see [`message`](Self::message).
    ///
    /// # Cancel safety
    /// The token is taken as a whole or not at all. A future that is dropped while the log has no room has not taken it
    /// unless it is the first one to find none.
    pub async fn token(&self, token: impl Into<TokenDelta>) {
        self.output.token(None, token.into()).await;
    }

    /// Streams bytes of UTF-8 text, as they come from a socket: a piece may end within a character, which then goes
    /// with the next one. What is no UTF-8 becomes U+FFFD.
    pub async fn token_bytes(&self, bytes: &[u8]) {
        self.output.token_bytes(None, bytes).await;
    }

    /// Begins a message of its own, whose text mixes with no other's. With more open at once than
    /// [`EngineOptions::max_open_messages`](crate::EngineOptions::max_open_messages) the visit fails.
    pub fn message(&self) -> Message {
        Message { output: self.output.clone(), id: self.output.open(None) }
    }

    /// Overrides `buffer_size` of `#[stream_token]` for messages of this visit that begin after this.
    pub fn set_buffer_size(&self, buffer_size: usize) {
        self.output.set_buffer_size(buffer_size);
    }

    /// Emits an event, if the node's `#[stream_event]` lets it. With `delivery = "exactly-once"` there, the event is durable
    /// when this returns.
    ///
    /// # Errors
    /// If `event_type` is no name or one that only the framework writes ([`EventType::FRAMEWORK`]), if `data` is no
    /// JSON, or if the event is larger than the log takes.
    pub async fn emit(&self, event_type: &str, data: impl Serialize) -> NodeResult<()> {
        let data = serde_json::to_value(data)?;
        self.emit_with(Emit::new(event_type, data)).await
    }

    /// Emits an event with a priority of its own.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_with(&self, emit: Emit) -> NodeResult<()> {
        let event = self.event(emit)?;
        self.output.emit(event, &mut false).await.map(drop)
    }

    /// Emits an event once per execution and `key`, however often this is called; whether it did so now. When this
    /// returns `true` the event is durable, and the key with it: they go into the log in one piece, and survive what the log
    /// survives.
    ///
    /// # Errors
    /// As [`emit`](Self::emit); if the key is longer than 1,019 bytes; if the execution has used as many keys as it may; if the
    /// log broke.
    ///
    /// # Cancel safety
    /// A future that is dropped before the event was taken leaves the key free; later, the event is emitted all the same.
    pub async fn emit_once(&self, key: &str, event_type: &str, data: impl Serialize) -> NodeResult<bool> {
        let data = serde_json::to_value(data)?;
        let event = self.event(Emit::new(event_type, data))?.with_delivery(Delivery::ExactlyOnce);
        let execution = &self.output.execution;
        let attribute = once::attribute(key)?;
        if !execution.claim_key(key)? {
            return Ok(false);
        }
        let mut claim = Claim { execution, key, held: false };
        self.output.emit_once(event, attribute, &mut claim.held).await
    }

    fn event(&self, emit: Emit) -> NodeResult<Event> {
        let event_type = EventType::new(&emit.event_type)?;
        if event_type.is_framework() {
            return Err(NodeError::public(format!(
                "event type `{event_type}` belongs to the framework; use `ctx.token`, `ctx.progress` or `ctx.ask`, or choose another name"
            ))
            .with_code("framework_event"));
        }
        let event = Event::named(Some(self.node_id().clone()), event_type, &emit.data);
        Ok(match emit.priority {
            Some(priority) => event.with_priority(priority),
            None => event,
        })
    }

    /// Tells how far the node has come: `current` of `total` units. Without `#[stream_progress]` nothing happens.
    pub async fn progress(&self, current: impl Quantity, total: impl Quantity) {
        self.progress_with(current, total, ProgressMetadata::new()).await;
    }

    /// Tells how far the node has come, with figures for its calculator and its readers.
    pub async fn progress_with(
        &self,
        current: impl Quantity,
        total: impl Quantity,
        figures: ProgressMetadata,
    ) {
        self.output.progress(current.quantity(), total.quantity(), figures).await;
    }

    /// The scope by which a model finds this node, to be carried where this visit's own poll does not reach.
    pub fn scope(&self) -> Scope {
        Scope::new(Arc::new(Port(self.output.clone())))
    }

    /// Runs `work` as a task of this visit, in its scope. The visit ends when all its tasks have; if it fails, times out
    /// or is cancelled, they are aborted. With more at once than
    /// [`EngineOptions::max_tasks`](crate::EngineOptions::max_tasks) the visit fails.
    pub fn spawn<F>(&self, work: F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.output.spawn(work.in_scope(self.scope()))
    }

    pub(crate) const fn output(&self) -> &Arc<NodeOutput> {
        &self.output
    }
}

impl fmt::Debug for NodeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeContext")
            .field("execution", self.execution_id())
            .field("node", self.node_id())
            .field("visit", &self.visit())
            .finish_non_exhaustive()
    }
}

/// A key of `emit_once`, given back unless its event was taken.
struct Claim<'a> {
    execution: &'a Execution,
    key: &'a str,
    held: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.held {
            self.execution.release_key(self.key);
        }
    }
}

/// One message of a node, streamed by hand. It ends when it is finished or dropped.
#[must_use = "a message that is dropped ends at once"]
pub struct Message {
    output: Arc<NodeOutput>,
    id: MessageId,
}

impl Message {
    /// Its id.
    pub const fn id(&self) -> MessageId {
        self.id
    }

    /// Streams a token of this message.
    pub async fn token(&self, token: impl Into<TokenDelta>) {
        self.output.token(Some(self.id), token.into()).await;
    }

    /// Streams bytes of UTF-8 text of this message, as [`NodeContext::token_bytes`] does.
    pub async fn token_bytes(&self, bytes: &[u8]) {
        self.output.token_bytes(Some(self.id), bytes).await;
    }

    /// Ends the message.
    pub async fn finish(self) {
        self.output.finish_message(self.id).await;
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.output.end_message(self.id);
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a node's stream may yield: tokens, or results of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no token",
    note = "a node's stream yields `String`, `&'static str` or `TokenDelta`, or a `Result` of one of them"
)]
pub trait TokenItem: Send {
    /// The token.
    ///
    /// # Errors
    /// What the stream yielded instead of one; the node fails with it.
    fn into_token(self) -> NodeResult<TokenDelta>;
}

impl TokenItem for String {
    fn into_token(self) -> NodeResult<TokenDelta> {
        Ok(self.into())
    }
}

impl TokenItem for &'static str {
    fn into_token(self) -> NodeResult<TokenDelta> {
        Ok(self.into())
    }
}

impl TokenItem for TokenDelta {
    fn into_token(self) -> NodeResult<TokenDelta> {
        Ok(self)
    }
}

impl<T: TokenItem, E: Into<NodeError> + Send> TokenItem for Result<T, E> {
    fn into_token(self) -> NodeResult<TokenDelta> {
        self.map_err(Into::into)?.into_token()
    }
}

/// Streams each token that `stream` yields as one message, and returns the whole text.
///
/// # Errors
/// The first error that the stream yields; what came before it was streamed.
pub async fn stream_tokens<S>(stream: S, ctx: &NodeContext) -> NodeResult<String>
where
    S: Stream<Item: TokenItem> + Send,
{
    let message = ctx.message();
    let mut whole = String::new();
    futures_util::pin_mut!(stream);
    while let Some(item) = stream.next().await {
        let token = item.into_token()?;
        whole.push_str(&token.content);
        message.token(token).await;
    }
    message.finish().await;
    Ok(whole)
}
