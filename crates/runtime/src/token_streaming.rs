//! Token streams that no workflow's node needs to say.

mod error;
mod host;
mod options;
mod statistics;
mod stream;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use streamnest_core::{Class, ExecutionId, NodeName, TokenDelta, WorkflowName};
use streamnest_log::{Registry, Start};
use tokio::sync::OnceCell;

use self::host::Host;
pub use self::{
    error::TokenStreamingError,
    options::TokenStreamingOptions,
    statistics::TokenStatistics,
    stream::{ActiveTokenStream, TokenStream},
};
use crate::{
    Engine, FilterCriteria, Observable, StreamUpdate, TokenOptions, ViewError,
    definition::Bounds,
    engine::standalone::Opened,
    execution::Execution,
    output::{At, NodeOutput},
    plan::NodePlan,
};

/// Streams tokens into executions from anywhere in a program, and views them. A cheap handle.
///
/// It needs no workflow. For an execution id that nobody runs it opens an execution: listed under the workflow name
/// [`WORKFLOW`](Self::WORKFLOW), followed, cancelled and deleted like any other. Such an execution ends
///
/// - as `completed`, by [`close_execution_token_streams`](Self::close_execution_token_streams), or when it has had no open
///   stream for [`stale_after`](TokenStreamingOptions::stale_after);
/// - as `failed`, when its last open stream was closed because it was silent for that long (`token_stream_stale`) or
///   because its processor panicked (`processor_panicked`);
/// - as `cancelled`, when it is cancelled, also by a shutdown.
///
/// For an execution that a workflow runs, its streams write beside the workflow's own nodes, under other names, and end with it
/// at the latest. Each stream of a name is a visit of its own, from 1.
///
/// ```
/// # use std::sync::Arc;
/// # use streamnest_core::ExecutionId;
/// # use streamnest_log::{LogOptions, MemoryStore, Registry, SystemClock};
/// # use streamnest_runtime::{Engine, TokenOptions, TokenStreamingOptions, TokenStreamingService};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let clock = Arc::new(SystemClock);
/// # let logs = Registry::new(Arc::new(MemoryStore::new(clock.clone())), clock, LogOptions::default());
/// # let engine = Engine::builder(logs).build()?;
/// let tokens = TokenStreamingService::new(engine, TokenStreamingOptions::default())?;
/// let chat = ExecutionId::new("chat-1")?;
/// let answer = tokens.initialize_token_stream(&chat, "answer", TokenOptions::default()).await?;
/// answer.token("Hello").await?;
/// tokens.stream_token(&chat, "answer", " there").await?;
/// tokens.close_execution_token_streams(&chat).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenStreamingService(Arc<Inner>);

struct Inner {
    engine: Engine,
    options: TokenStreamingOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The executions that have streams, or that this service opened and that go on. A cell is empty while its execution is
    /// being opened.
    hosts: HashMap<ExecutionId, Arc<OnceCell<Arc<Host>>>>,
    /// How many streams are open, or being opened.
    open: usize,
}

/// A place for one more stream, given back when the stream has closed.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
    }
}

/// An execution that is being opened here. If that comes to nothing, nothing is kept of it.
struct Opening<'a> {
    service: &'a Inner,
    id: &'a ExecutionId,
    cell: Arc<OnceCell<Arc<Host>>>,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut state = self.service.lock();
        // One is the map's and one is this: nobody else is at it.
        if !self.cell.initialized() && Arc::strong_count(&self.cell) == 2 {
            state.hosts.remove(self.id);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(self: &Arc<Self>) -> Result<Place, TokenStreamingError> {
        let limit = self.options.max_streams;
        let mut state = self.lock();
        if state.open >= limit {
            return Err(TokenStreamingError::TooManyStreams { limit });
        }
        state.open += 1;
        Ok(Place(self.clone()))
    }

    /// What is known of an execution here, if anything is.
    fn host(&self, execution: &ExecutionId) -> Option<Arc<Host>> {
        self.lock().hosts.get(execution).and_then(|cell| cell.get().cloned())
    }

    /// Forgets what is known of an execution, unless somebody has begun it anew.
    fn forget(&self, host: &Arc<Host>) {
        let mut state = self.lock();
        let id = host.execution().id();
        if state.hosts.get(id).and_then(|cell| cell.get()).is_some_and(|known| Arc::ptr_eq(known, host)) {
            state.hosts.remove(id);
        }
    }
}

impl TokenStreamingService {
    /// What executions that this service opened are listed under, in place of a workflow's name.
    pub const WORKFLOW: &str = "token-streaming";

    /// Streams into the executions of `engine`.
    ///
    /// # Errors
    /// [`TokenStreamingError::Option`].
    pub fn new(engine: Engine, options: TokenStreamingOptions) -> Result<Self, TokenStreamingError> {
        options.validate()?;
        Ok(Self(Arc::new(Inner { engine, options, state: Mutex::default() })))
    }

    /// Its bounds.
    pub fn options(&self) -> &TokenStreamingOptions {
        &self.0.options
    }

    fn logs(&self) -> &Registry {
        self.0.engine.logs()
    }

    /// Opens a token stream of `node` in the log of `execution`, which is opened too if there is none of that id.
    ///
    /// # Errors
    /// [`TokenStreamingError::Name`]; [`TokenStreamingError::TokenOptions`]; [`TokenStreamingError::AlreadyOpen`];
    /// [`TokenStreamingError::NodeOfWorkflow`]; [`TokenStreamingError::TooManyNodes`];
    /// [`TokenStreamingError::TooManyStreams`]; [`TokenStreamingError::Log`] if the execution has ended;
    /// [`TokenStreamingError::Execution`] if it cannot be opened.
    ///
    /// # Cancel safety
    /// Safe: an execution that was opened ends by itself.
    pub async fn initialize_token_stream(
        &self,
        execution: &ExecutionId,
        node: &str,
        config: TokenOptions,
    ) -> Result<TokenStream, TokenStreamingError> {
        let name = NodeName::new(node)?;
        let bounds = Bounds {
            buffer_size: self.0.engine.options().default_buffer_size,
            max_event_bytes: self.logs().options().max_event_bytes,
        };
        let plan = NodePlan::of_tokens(Self::WORKFLOW, name, config.clone(), bounds)
            .map_err(|error| TokenStreamingError::TokenOptions(Arc::new(error)))?;
        let plan = Arc::new(plan);
        let mut place = Some(self.0.place()?);
        loop {
            let host = self.open_host(execution).await?;
            let opened = self.check_name(host.execution(), &plan.name).and_then(|()| {
                host.open(&plan, self.0.options.max_nodes, |visit| {
                    let output =
                        NodeOutput::new(host.execution().clone(), plan.clone(), At::first(visit), None);
                    TokenStream::new(output, config.clone(), self.logs().now())
                })
            });
            let opened = opened.inspect_err(|_| {
                if host.give_up_unused() {
                    self.0.forget(&host);
                }
            })?;
            // It was given up between the look and now: look again.
            let Some(stream) = opened else {
                host.given_up().await;
                self.0.forget(&host);
                continue;
            };
            let (serving, service, place) = (stream.clone(), self.0.clone(), place.take());
            let execution = host.execution().clone();
            self.0.engine.spawn(&execution, async move {
                let broken = serving.serve(service.options.stale_after).await;
                if host.close(&serving, broken) {
                    service.forget(&host);
                }
                drop(place);
                serving.has_closed();
            });
            return Ok(stream);
        }
    }

    /// Refuses the names of the workflow's own nodes and of what is within them. Their text is numbered by their visits, and
    /// voided when they are tried again.
    fn check_name(&self, execution: &Execution, name: &NodeName) -> Result<(), TokenStreamingError> {
        // One that no workflow runs has no nodes.
        let Ok(graph) = self.0.engine.graph(&execution.workflow) else { return Ok(()) };
        let outermost = name.split('/').next().unwrap_or_default();
        if graph.nodes.iter().any(|node| *node.name == *outermost) {
            let (execution, workflow) = (execution.id().clone(), execution.workflow.clone());
            return Err(TokenStreamingError::NodeOfWorkflow { execution, workflow, node: name.clone() });
        }
        Ok(())
    }

    /// Finds what is known of an execution, or begins to know it.
    async fn open_host(&self, id: &ExecutionId) -> Result<Arc<Host>, TokenStreamingError> {
        let cell = self.0.lock().hosts.entry(id.clone()).or_default().clone();
        let opening = Opening { service: &self.0, id, cell };
        let opened = opening.cell.get_or_try_init(|| async {
            let workflow = WorkflowName::new(Self::WORKFLOW)?;
            let opened = self.0.engine.open(id, workflow).await?;
            Ok::<_, TokenStreamingError>(match opened {
                Opened::New(execution) => {
                    let host = Arc::new(Host::new(execution, true));
                    let (service, owned) = (self.0.clone(), host.clone());
                    self.0.engine.spawn(host.execution(), async move {
                        owned.run(service.options.stale_after).await;
                        service.forget(&owned);
                    });
                    host
                }
                Opened::Found(execution) => Arc::new(Host::new(execution, false)),
            })
        });
        let host = opened.await.cloned()?;
        if host.execution().ended().is_some() {
            self.0.forget(&host);
            let last = host.execution().writer().log().head().last;
            return Err(streamnest_log::Error::Sealed { last }.into());
        }
        Ok(host)
    }

    /// The open stream of a node.
    ///
    /// # Errors
    /// [`TokenStreamingError::NotOpen`]; [`TokenStreamingError::Name`].
    pub fn token_stream(
        &self,
        execution: &ExecutionId,
        node: &str,
    ) -> Result<TokenStream, TokenStreamingError> {
        let found = self.0.host(execution).and_then(|host| host.stream(node));
        match found {
            Some(stream) => Ok(stream),
            None => {
                Err(TokenStreamingError::NotOpen { execution: execution.clone(), node: NodeName::new(node)? })
            }
        }
    }

    /// Streams a token by the open stream of a node, as [`TokenStream::token`] does.
    ///
    /// # Errors
    /// [`TokenStreamingError::NotOpen`], and as [`TokenStream::token`].
    pub async fn stream_token(
        &self,
        execution: &ExecutionId,
        node: &str,
        token: impl Into<TokenDelta>,
    ) -> Result<(), TokenStreamingError> {
        self.token_stream(execution, node)?.token(token).await
    }

    /// Lets everything that waits in the open stream of a node go into the log.
    ///
    /// # Errors
    /// As [`stream_token`](Self::stream_token).
    pub async fn flush_tokens(&self, execution: &ExecutionId, node: &str) -> Result<(), TokenStreamingError> {
        self.token_stream(execution, node)?.flush().await
    }

    /// Ends the open stream of a node. Everything that waits in it goes into the log first. The execution goes on.
    ///
    /// # Errors
    /// [`TokenStreamingError::NotOpen`]; [`TokenStreamingError::Name`].
    pub async fn close_token_stream(
        &self,
        execution: &ExecutionId,
        node: &str,
    ) -> Result<(), TokenStreamingError> {
        self.token_stream(execution, node)?.close().await;
        Ok(())
    }

    /// Ends all open streams of an execution. Everything that waits in them goes into the log first. If this service opened
    /// the execution, it ends too, with the number of tokens and streams as its result; this returns when it has. Does
    /// nothing if that has happened already.
    ///
    /// # Errors
    /// [`TokenStreamingError::Execution`] if there is no execution of that id; [`TokenStreamingError::Log`] if the store cannot
    /// tell.
    pub async fn close_execution_token_streams(
        &self,
        execution: &ExecutionId,
    ) -> Result<(), TokenStreamingError> {
        match self.0.host(execution) {
            Some(host) => host.finish().await,
            None if self.logs().open(execution).await?.is_some() => {}
            None => {
                let id = execution.clone();
                return Err(streamnest_core::ControlError::UnknownExecution { id }.into());
            }
        }
        Ok(())
    }

    /// The tokens of an execution from its start on, live or late; those of `node` only, if one is given. Those that its
    /// workflow's nodes stream are among them. It ends with the execution.
    ///
    /// # Errors
    /// [`ViewError::UnknownExecution`]; [`ViewError::Name`] if `node` is no name.
    pub fn get_token_stream(
        &self,
        execution: &ExecutionId,
        node: Option<&str>,
    ) -> Result<Observable<StreamUpdate>, ViewError> {
        let mut criteria = FilterCriteria::all().with_classes([Class::Token]);
        if let Some(node) = node {
            criteria = criteria.with_nodes([NodeName::new(node)?]);
        }
        Observable::of_execution(self.logs(), execution, Start::Beginning, criteria)
    }

    /// The tokens of all executions, from now on. It never ends.
    pub fn get_global_token_stream(&self) -> Observable<StreamUpdate> {
        Observable::of_all(self.logs(), FilterCriteria::all().with_classes([Class::Token]))
    }

    /// Figures of the tokens of all executions: at once, and then while they change, at most every
    /// [`statistics_interval`](TokenStreamingOptions::statistics_interval). Each subscription counts from its own beginning.
    /// It never ends.
    pub fn get_token_stats(&self) -> Observable<TokenStatistics> {
        let service = self.clone();
        Observable::from_stream(move || {
            let counted = service.0.clone();
            let active = move || counted.lock().open;
            statistics::statistics(service.logs().clone(), service.0.options.statistics_interval, active)
        })
    }

    /// The open streams, in no order.
    pub fn get_active_token_streams(&self) -> Vec<ActiveTokenStream> {
        let hosts: Vec<_> = self.0.lock().hosts.values().filter_map(|cell| cell.get().cloned()).collect();
        hosts.iter().flat_map(|host| host.streams()).map(|stream| stream.describe()).collect()
    }
}

impl fmt::Debug for TokenStreamingService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStreamingService").field("open", &self.0.lock().open).finish_non_exhaustive()
    }
}
