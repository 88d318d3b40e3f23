//! Runs the executions of a program's workflows.

mod control;
mod known;
pub(crate) mod standalone;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use streamnest_core::{
    BoxFuture, ControlError, ExecutionId, OnDisconnect, StartExecution, StoreError, TraceContext,
    WorkflowName, WorkflowSummary, duration,
};
use streamnest_log::{Error as LogError, Registry};
use streamnest_modules::Scoped;
use tokio::{sync::Notify, time::timeout};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use self::known::{Executions, Known, Outside};
use crate::{
    Error, FeatureOptions, ModelPrice, State, Workflow, WorkflowContribution,
    definition::{Bounds, Definition, Place},
    execution::{self, Execution},
    fingerprint::Fingerprint,
    graph::Graph,
    run::Run,
    source::Source,
};

/// The bounds and defaults of an [`Engine`].
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EngineOptions {
    /// `buffer_size` of nodes whose `#[stream_token]` does not say: flush as soon as this many tokens wait. Default 50.
    pub default_buffer_size: usize,
    /// How long the last subscriber must be gone before an execution with `on_disconnect = "cancel"` is cancelled.
    /// Default 10 s, in which a page reloads.
    #[serde(deserialize_with = "duration::deserialize")]
    pub disconnect_grace: Duration,
    /// What models ask, by which the cost of an execution is reckoned: `large-1=2.50/10` is USD for a million tokens of prompts and
    /// of answers. A model that is not among them is told as unpriced, not as free. Default none.
    pub prices: Vec<ModelPrice>,
    /// Keys that one execution may use with `emit_once`. Default 10,000.
    pub max_once_keys: usize,
    /// Messages of one visit that may be open at once: model calls, and what `ctx.message()` began. Default 1,024. A visit that
    /// begins another fails with `too_many_open_messages`.
    pub max_open_messages: usize,
    /// Tasks of one visit that may run at once by `ctx.spawn`. Default 10,000. A visit that spawns another fails with
    /// `too_many_tasks`.
    pub max_tasks: usize,
    /// Questions of one execution that may wait for an answer at once. Default 64.
    pub max_open_asks: usize,
    /// The largest answer to a question, in bytes of JSON. Default 64 KiB, what one message over a WebSocket holds.
    pub max_answer_bytes: usize,
    /// Ends of questions that one execution remembers, so that the same answer again is known for the same; some forty
    /// bytes each. An answer to one that came to its end before is refused as late. Default 1,024.
    pub max_answers_kept: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            default_buffer_size: 50,
            disconnect_grace: Duration::from_secs(10),
            prices: Vec::new(),
            max_once_keys: 10_000,
            max_open_messages: 1_024,
            max_tasks: 10_000,
            max_open_asks: 64,
            max_answer_bytes: 64 << 10,
            max_answers_kept: 1_024,
        }
    }
}

crate::options::setters! {
    EngineOptions {
        with_default_buffer_size default_buffer_size: usize,
        with_disconnect_grace disconnect_grace: Duration,
        with_prices prices: Vec<ModelPrice>,
        with_max_once_keys max_once_keys: usize,
        with_max_open_messages max_open_messages: usize,
        with_max_tasks max_tasks: usize,
        with_max_open_asks max_open_asks: usize,
        with_max_answer_bytes max_answer_bytes: usize,
        with_max_answers_kept max_answers_kept: usize,
    }
}

/// The least that the log must take in one event, in bytes: room for the frame of a token with every small field.
const MIN_EVENT_BYTES: usize = 1_024;

/// Checks a workflow once the bounds are known.
type MakeWorkflow = Box<dyn FnOnce(&Registry, &EngineOptions) -> Result<Arc<dyn Runnable>, Error> + Send>;

/// Why a drain cancels what still runs.
const SHUTTING_DOWN: &str = "server is shutting down";

/// Collects the workflows of an [`Engine`].
#[must_use]
pub struct EngineBuilder {
    logs: Registry,
    options: EngineOptions,
    workflows: Vec<MakeWorkflow>,
}

impl EngineBuilder {
    /// Takes other bounds and defaults.
    pub fn options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds a workflow. One value serves all its executions.
    pub fn workflow<W: Workflow>(self, workflow: W) -> Self {
        self.shared_workflow(Arc::new(workflow))
    }

    /// Adds a workflow that is shared with others.
    pub fn shared_workflow<W: Workflow>(self, workflow: Arc<W>) -> Self {
        self.workflow_of(Source::Shared(workflow), FeatureOptions::default())
    }

    /// Adds a workflow of which each execution may have its own.
    pub fn scoped_workflow<W: Workflow>(self, workflow: Scoped<W>, options: FeatureOptions) -> Self {
        self.workflow_of(Source::Scoped(workflow), options)
    }

    fn workflow_of<W: Workflow>(mut self, source: Source<W>, feature: FeatureOptions) -> Self {
        self.workflows.push(Box::new(move |logs, options| {
            let max_event_bytes = logs.options().max_event_bytes;
            let buffer_size = feature.default_buffer_size.unwrap_or(options.default_buffer_size);
            if buffer_size == 0 {
                let option = "FeatureOptions::default_buffer_size";
                return Err(Error::TooSmall { option, value: 0, least: 1 });
            }
            let bounds = Bounds { buffer_size, max_event_bytes };
            let definition = Definition::new(W::definition(), &Place::top(bounds))?;
            Ok(Arc::new(Runner { definition: Arc::new(definition), source }))
        }));
        self
    }

    /// Checks all workflows.
    ///
    /// # Errors
    /// The first thing that is wrong with one of them.
    pub fn build(mut self) -> Result<Engine, Error> {
        let workflows = std::mem::take(&mut self.workflows);
        let engine = self.open()?;
        engine.take(workflows)?;
        Ok(engine)
    }

    /// An engine that gets its workflows later, by [`Engine::adopt`]: what they are made of may then need the engine.
    /// Those that were added here are dropped.
    ///
    /// # Errors
    /// [`Error::TooSmall`].
    pub fn open(self) -> Result<Engine, Error> {
        let at_least = |option, value, least| {
            if value < least { Err(Error::TooSmall { option, value, least }) } else { Ok(()) }
        };
        at_least("EngineOptions::default_buffer_size", self.options.default_buffer_size, 1)?;
        at_least("EngineOptions::max_open_messages", self.options.max_open_messages, 1)?;
        at_least("EngineOptions::max_tasks", self.options.max_tasks, 1)?;
        at_least("EngineOptions::max_open_asks", self.options.max_open_asks, 1)?;
        at_least("EngineOptions::max_answer_bytes", self.options.max_answer_bytes, 1)?;
        at_least("EngineOptions::max_answers_kept", self.options.max_answers_kept, 1)?;
        if let Some(price) = twice(&self.options.prices) {
            return Err(Error::PricedTwice { model: price.model().into() });
        }
        at_least("LogOptions::max_event_bytes", self.logs.options().max_event_bytes, MIN_EVENT_BYTES)?;
        let engine = Engine(Arc::new(Inner {
            logs: self.logs,
            options: Arc::new(self.options),
            workflows: OnceLock::new(),
            executions: Mutex::default(),
            started: Notify::new(),
            tasks: TaskTracker::new(),
            draining: AtomicBool::new(false),
        }));
        // Executions that programs outside make are listed beside those that run here.
        let inner = Arc::downgrade(&engine.0);
        engine.0.logs.on_opened(move |log, attributes| {
            if let (Some(inner), Some(outside)) = (inner.upgrade(), Outside::of(log, attributes)) {
                inner.executions().insert(Known::Outside(Arc::new(outside)));
            }
        });
        // What is known of an execution goes with its log.
        let inner = Arc::downgrade(&engine.0);
        engine.0.logs.on_removed(move |name, removal| {
            if let (Some(inner), Some(id)) = (inner.upgrade(), name.execution()) {
                inner.executions().removed(&id, removal);
            }
        });
        Ok(engine)
    }
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A price of a model that has another one.
fn twice(prices: &[ModelPrice]) -> Option<&ModelPrice> {
    prices.iter().enumerate().find_map(|(index, price)| {
        let before = prices.iter().take(index).any(|other| other.model() == price.model());
        before.then_some(price)
    })
}

/// A workflow of any type.
trait Runnable: Send + Sync {
    fn name(&self) -> &WorkflowName;
    fn on_disconnect(&self) -> OnDisconnect;
    fn summary(&self) -> WorkflowSummary;
    fn graph(&self) -> &Graph;
    /// Checks the input; what is returned runs an execution with it.
    fn prepare(&self, input: Value) -> Result<Start, ControlError>;
}

/// Runs an execution that was made for it.
type Start = Box<dyn FnOnce(Arc<Execution>) -> BoxFuture<'static, ()> + Send>;

struct Runner<W: Workflow> {
    definition: Arc<Definition<W>>,
    source: Source<W>,
}

impl<W: Workflow> Runnable for Runner<W> {
    fn name(&self) -> &WorkflowName {
        &self.definition.name
    }

    fn on_disconnect(&self) -> OnDisconnect {
        self.definition.on_disconnect
    }

    fn summary(&self) -> WorkflowSummary {
        WorkflowSummary {
            name: self.definition.name.clone(),
            description: self.definition.description.clone(),
            input_schema: W::State::input_schema(),
            state_schema: state_schema::<W::State>(),
            output_schema: W::State::schema(),
            graph: self.definition.graph.to_json(),
            mermaid: self.definition.graph.to_mermaid(),
        }
    }

    fn graph(&self) -> &Graph {
        &self.definition.graph
    }

    fn prepare(&self, input: Value) -> Result<Start, ControlError> {
        let state = W::State::from_input(input).map_err(|error| ControlError::InvalidInput {
            workflow: self.definition.name.clone(),
            reason: error.to_string(),
        })?;
        let (definition, source) = (self.definition.clone(), self.source.clone());
        Ok(Box::new(move |execution| Box::pin(execution::run(execution, definition, source, state))))
    }
}

/// The schema of a state, each property with its reducer.
fn state_schema<S: State>() -> Value {
    let mut schema = S::schema();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (field, property) in properties.into_iter().flatten() {
        if let Value::Object(property) = property {
            property.insert("x-reducer".into(), S::reducer(field).as_str().into());
        }
    }
    schema
}

/// Starts, runs and stops executions. A cheap handle; all clones are the same engine.
///
/// Must be used within a tokio runtime.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    logs: Registry,
    options: Arc<EngineOptions>,
    /// Set once, when they are known.
    workflows: OnceLock<BTreeMap<String, Arc<dyn Runnable>>>,
    executions: Mutex<Executions>,
    /// Told when a start is no longer under way.
    started: Notify,
    tasks: TaskTracker,
    draining: AtomicBool,
}

impl Inner {
    fn executions(&self) -> MutexGuard<'_, Executions> {
        self.executions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Begins an engine whose executions write to `logs`.
    pub fn builder(logs: Registry) -> EngineBuilder {
        EngineBuilder { logs, options: EngineOptions::default(), workflows: Vec::new() }
    }

    /// The logs that the executions write to.
    pub fn logs(&self) -> &Registry {
        &self.0.logs
    }

    /// The graph of a workflow.
    ///
    /// # Errors
    /// [`ControlError::UnknownWorkflow`].
    pub fn graph(&self, workflow: &str) -> Result<&Graph, ControlError> {
        self.find_workflow(workflow).map(|workflow| workflow.graph())
    }

    /// Takes the workflows of an engine that was made by [`EngineBuilder::open`].
    ///
    /// # Errors
    /// The first thing that is wrong with one of them; [`Error::HasWorkflows`] if it has its workflows already.
    pub fn adopt<'a>(
        &self,
        workflows: impl IntoIterator<Item = &'a WorkflowContribution>,
    ) -> Result<(), Error> {
        let builder = Self::builder(self.logs().clone());
        let builder = workflows.into_iter().fold(builder, |builder, workflow| workflow.add_to(builder));
        self.take(builder.workflows)
    }

    fn take(&self, all: Vec<MakeWorkflow>) -> Result<(), Error> {
        let mut workflows = BTreeMap::new();
        for make in all {
            let workflow = make(self.logs(), &self.0.options)?;
            let name = workflow.name().to_string();
            if workflows.insert(name.clone(), workflow).is_some() {
                return Err(Error::DuplicateWorkflow { workflow: name });
            }
        }
        self.0.workflows.set(workflows).map_err(|_| Error::HasWorkflows)
    }

    /// The workflows by name; none before they are taken.
    fn workflows(&self) -> impl Iterator<Item = (&String, &Arc<dyn Runnable>)> {
        self.0.workflows.get().into_iter().flatten()
    }

    /// Starts an execution, or attaches to it, and returns a handle of it.
    ///
    /// # Errors
    /// As [`ExecutionControl::start`](streamnest_core::ExecutionControl::start).
    pub async fn run(&self, request: StartExecution) -> Result<Run, ControlError> {
        self.start_or_attach(request, None).await.map(|(execution, _)| Run::new(execution))
    }

    /// A handle of an execution that was started before, be it under way or at its end, also one of an earlier process.
    ///
    /// # Errors
    /// [`ControlError::UnknownExecution`]; [`ControlError::Unavailable`] if its log cannot be read.
    pub async fn attach(&self, id: &ExecutionId) -> Result<Run, ControlError> {
        let known = self.find(id)?;
        self.restore(&known).await.map(Run::new)
    }

    /// Starts nothing new, waits for what runs at most `grace`, and cancels the rest.
    pub async fn drain(&self, grace: Duration) {
        self.0.draining.store(true, Ordering::Release);
        self.0.tasks.close();
        if timeout(grace, self.0.tasks.wait()).await.is_err() {
            let known: Vec<_> = self.0.executions().by_id.values().map(|(_, known)| known.clone()).collect();
            for known in known.iter().filter(|known| !known.has_ended()) {
                if let Known::Here(execution) = known {
                    execution.cancel(Some(SHUTTING_DOWN.into()));
                }
            }
            self.0.tasks.wait().await;
        }
    }

    fn find(&self, id: &ExecutionId) -> Result<Known, ControlError> {
        let found = self.0.executions().get(id).cloned();
        found.ok_or_else(|| ControlError::UnknownExecution { id: id.clone() })
    }

    fn find_workflow(&self, name: &str) -> Result<&Arc<dyn Runnable>, ControlError> {
        self.0.workflows.get().and_then(|workflows| workflows.get(name)).ok_or_else(|| {
            ControlError::UnknownWorkflow {
                name: name.chars().take(64).collect(),
                known: self.workflows().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// Starts an execution, or finds the one that the same request started; whether it was there.
    ///
    /// It is done by a task of its own, so that a log that was made has its run though whoever asked is gone.
    async fn start_or_attach(
        &self,
        request: StartExecution,
        owner: Option<String>,
    ) -> Result<(Arc<Execution>, bool), ControlError> {
        let engine = self.clone();
        let begun = self.0.tasks.spawn(async move { engine.begin(request, owner).await }.in_current_span());
        begun.await.unwrap_or_else(|error| {
            tracing::error!(%error, "an execution could not be started");
            Err(ControlError::Unavailable)
        })
    }

    async fn begin(
        &self,
        request: StartExecution,
        owner: Option<String>,
    ) -> Result<(Arc<Execution>, bool), ControlError> {
        if self.0.draining.load(Ordering::Acquire) {
            return Err(ControlError::Draining);
        }
        let workflow = self.find_workflow(&request.workflow)?;
        let input = Fingerprint::of_request(&request.input, owner.as_deref());
        let id = match request.execution_id {
            Some(id) => id,
            None => {
                ExecutionId::new(&uuid::Uuid::now_v7().to_string()).expect("a UUID is a legal execution id")
            }
        };
        let start = workflow.prepare(request.input)?;
        let starting = match self.begin_start(&id).await {
            Beginning::Free(starting) => starting,
            Beginning::Taken(known) if known.is_of(workflow.name(), input) => {
                return Ok((self.restore(&known).await?, true));
            }
            Beginning::Taken(_) => return Err(ControlError::Conflict { id: id.clone() }),
        };
        let execution = self.make(&id, workflow.name().clone(), input, request.trace).await?;
        drop(starting);
        let trace = execution.trace().trace_id();
        tracing::info!(execution = %id, workflow = %workflow.name(), %trace, "execution started");
        self.spawn(&execution, start(execution.clone()));
        if request.on_disconnect.unwrap_or(workflow.on_disconnect()) == OnDisconnect::Cancel {
            self.0.tasks.spawn(cancel_when_left(execution.clone(), self.0.options.disconnect_grace));
        }
        Ok((execution, false))
    }

    /// Makes the log of a new execution, for which `id` was kept, and lists it.
    async fn make(
        &self,
        id: &ExecutionId,
        workflow: WorkflowName,
        input: Fingerprint,
        caller: Option<TraceContext>,
    ) -> Result<Arc<Execution>, ControlError> {
        let started = self.0.logs.now();
        let attributes = known::attributes(&workflow, input, started);
        let writer = self.0.logs.create_with(id, &attributes).await.map_err(|error| match error {
            // Somebody else made a log of that name: it is no execution of this engine.
            LogError::AlreadyExists { .. } => ControlError::Conflict { id: id.clone() },
            LogError::TooManyLogs { limit } => {
                ControlError::TooManyExecutions { limit, option: "LogOptions::max_logs" }
            }
            // As many as run now are as many as that many bytes allow.
            LogError::TooMuchKept { .. } => ControlError::TooManyExecutions {
                limit: self.0.logs.len(),
                option: "LogOptions::max_total_bytes",
            },
            LogError::Store(StoreError::Full { .. }) => ControlError::StoreFull,
            LogError::Store(StoreError::IndexFull { .. }) => ControlError::StoreIndexFull,
            LogError::Store(StoreError::Failed { .. }) => ControlError::StoreFailed,
            error => {
                tracing::error!(execution = %id, %error, "log could not be made");
                ControlError::Unavailable
            }
        })?;
        let (options, max_event_bytes) = (self.0.options.clone(), self.0.logs.options().max_event_bytes);
        let execution =
            Execution::new(id.clone(), writer, workflow, input, started, options, max_event_bytes);
        let execution = Arc::new(execution.in_trace(caller));
        self.0.executions().insert(Known::Here(execution.clone()));
        // A drain that began meanwhile did not see it.
        if self.0.draining.load(Ordering::Acquire) {
            execution.cancel(Some(SHUTTING_DOWN.into()));
        }
        Ok(execution)
    }

    /// Keeps `id` for one start. While another start of it is under way, waits for how that comes out.
    async fn begin_start<'a>(&'a self, id: &'a ExecutionId) -> Beginning<'a> {
        loop {
            let changed = self.0.started.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut executions = self.0.executions();
                if let Some(known) = executions.get(id) {
                    return Beginning::Taken(known.clone());
                }
                if executions.starting.insert(id.clone()) {
                    return Beginning::Free(Starting { engine: self, id });
                }
            }
            changed.await;
        }
    }
}

/// Whether an id is free for a new execution.
enum Beginning<'a> {
    Free(Starting<'a>),
    Taken(Known),
}

/// A start that is under way.
struct Starting<'a> {
    engine: &'a Engine,
    id: &'a ExecutionId,
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.engine.0.executions().starting.remove(self.id);
        self.engine.0.started.notify_waiters();
    }
}

/// Cancels `execution` when its last subscriber has been gone for `grace`. Before the first one comes nobody has gone;
/// whoever comes begins the grace anew by going, however short the stay.
async fn cancel_when_left(execution: Arc<Execution>, grace: Duration) {
    let log = execution.writer().log().clone();
    let watch = async {
        loop {
            let ever = log.subscribers_left().await;
            let came = timeout(grace, log.subscribed_since(ever)).await.is_ok();
            if !came && log.subscribers() == 0 {
                execution.cancel(Some("last subscriber is gone".into()));
                return;
            }
        }
    };
    tokio::select! {
        () = watch => {}
        _ = execution.end() => {}
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("workflows", &self.workflows().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
