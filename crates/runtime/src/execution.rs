//! One execution while it runs: from its first entry to the terminal one.

mod alarm;
mod attempt;
mod items;
pub(crate) mod live;
pub(crate) mod once;
mod steps;
mod stopping;
pub(crate) mod subgraph;
mod trace;
pub(crate) mod visit;
mod words;

use std::{
    any::Any,
    collections::{BTreeMap, HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use streamnest_core::{
    BoxFuture, Cost, Event, EventType, ExecutionId, MessageId, NodeName, Timestamp, Usage, WorkflowName,
    payload::{Failure, Progress, StatusUpdate},
};
use streamnest_log::{Error as LogError, Writer};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{steps::Steps, stopping::UntilStopping, trace::RunTrace};
use crate::{
    EngineOptions, NodeError, State, Workflow, asks::Asks, definition::Definition, fingerprint::Fingerprint,
    history::History, output::progress_tracker::Ending, price, source::Source, stopwatch::Stopwatch,
};

/// How often the terminal status is tried again while the store says that it may take it later, and the wait before the
/// first try, which doubles each time: a little over three seconds together.
const FINISH_RETRIES: u32 = 6;
const FINISH_RETRY_AFTER: Duration = Duration::from_millis(50);

/// What is known of an execution, running or finished. What each token needs stands first and together.
#[repr(C)]
pub(crate) struct Execution {
    writer: Writer,
    /// The largest event that the log takes, in bytes.
    pub(crate) max_event_bytes: usize,
    /// Set before `cancel` is.
    stopping: AtomicBool,
    messages: AtomicU32,
    id: ExecutionId,
    pub(crate) workflow: WorkflowName,
    /// Of the input as JSON with sorted keys: the same id with the same input is the same execution.
    pub(crate) input: Fingerprint,
    pub(crate) started_at: Timestamp,
    pub(crate) options: Arc<EngineOptions>,
    cancel: CancellationToken,
    reason: Mutex<Option<String>>,
    /// Most of the time there is none, and it is large.
    ended: OnceLock<Box<StatusUpdate>>,
    end: Notify,
    keys: Mutex<HashSet<String>>,
    progress: Mutex<BTreeMap<String, Progress>>,
    /// Of its model calls, once there is one.
    cost: Mutex<Option<Box<Cost>>>,
    pub(crate) asks: Asks,
    /// Stands while the run waits for an answer.
    pub(crate) watch: Stopwatch,
    /// How often each node within a subgraph was visited.
    visits: Mutex<HashMap<NodeName, u32>>,
    trace: RunTrace,
    /// How often a token stream was opened of each name that is no node of the workflow. What a name has said is never said
    /// again under the same number, also not by another service.
    streamed: Mutex<HashMap<NodeName, u32>>,
    /// Where the state is, while it runs.
    state: Mutex<Weak<dyn Snapshot>>,
}

/// A state that can be read while it changes.
trait Snapshot: Send + Sync {
    fn json(&self) -> Result<Value, serde_json::Error>;
}

impl<S: State> Snapshot for Mutex<History<S>> {
    fn json(&self) -> Result<Value, serde_json::Error> {
        // What changes a state, copies it and writes it is the user's code, and is not done under the lock.
        let changes = lock(self).snapshot();
        serde_json::to_value(&*changes.state())
    }
}

/// The state of an execution that has none yet.
struct Unborn;

impl Snapshot for Unborn {
    fn json(&self) -> Result<Value, serde_json::Error> {
        Ok(Value::Null)
    }
}

impl Execution {
    pub(crate) fn new(
        id: ExecutionId,
        writer: Writer,
        workflow: WorkflowName,
        input: Fingerprint,
        started_at: Timestamp,
        options: Arc<EngineOptions>,
        max_event_bytes: usize,
    ) -> Self {
        Self {
            max_event_bytes,
            id,
            workflow,
            input,
            started_at,
            writer,
            options,
            stopping: AtomicBool::new(false),
            cancel: CancellationToken::new(),
            reason: Mutex::default(),
            ended: OnceLock::new(),
            end: Notify::new(),
            messages: AtomicU32::new(0),
            keys: Mutex::default(),
            progress: Mutex::default(),
            cost: Mutex::default(),
            asks: Asks::new(),
            watch: Stopwatch::default(),
            visits: Mutex::default(),
            trace: RunTrace::new(None),
            streamed: Mutex::default(),
            state: Mutex::new(Weak::<Unborn>::new()),
        }
    }

    /// The same, as it stands when it has ended.
    pub(crate) fn that_ended(self, status: StatusUpdate) -> Self {
        lock(&self.cost).clone_from(&status.cost);
        let _ = self.ended.set(Box::new(status));
        self
    }

    pub(crate) const fn id(&self) -> &ExecutionId {
        &self.id
    }

    pub(crate) const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Asks it to stop. The first reason given stays.
    pub(crate) fn cancel(&self, reason: Option<String>) {
        let mut slot = lock(&self.reason);
        if !self.cancel.is_cancelled() {
            *slot = reason.map(|reason| self.cut(reason));
            self.asks.stop();
            self.stopping.store(true, Ordering::Release);
            self.cancel.cancel();
        }
    }

    /// Waits until it is asked to stop.
    pub(crate) async fn cancelled(&self) {
        UntilStopping::new(&self.stopping, &self.cancel).await;
    }

    /// Why it was cancelled, in the words of who did it.
    pub(crate) fn cancel_reason(&self) -> Option<String> {
        lock(&self.reason).clone()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<&StatusUpdate> {
        self.ended.get().map(|ended| &**ended)
    }

    /// Waits until it has ended.
    pub(crate) async fn end(&self) -> &StatusUpdate {
        loop {
            let ended = self.end.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(status) = self.ended() {
                return status;
            }
            ended.await;
        }
    }

    pub(crate) fn next_message(&self) -> MessageId {
        MessageId::new(self.messages.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn note_progress(&self, node: &NodeName, told: &[Progress]) {
        if let Some(last) = told.last() {
            lock(&self.progress).insert(node.to_string(), last.clone());
        }
    }

    pub(crate) fn progress(&self) -> BTreeMap<String, Progress> {
        lock(&self.progress).clone()
    }

    /// Counts a call of a model that has ended; without `usage` it did not tell what it used.
    pub(crate) fn count_call(&self, model: &str, usage: Option<&Usage>) {
        let mut cost = lock(&self.cost);
        price::add(cost.get_or_insert_default(), &self.options.prices, model, usage);
    }

    /// What its model calls came to so far.
    pub(crate) fn cost(&self) -> Cost {
        lock(&self.cost).as_deref().copied().unwrap_or_default()
    }

    /// Counts a visit of a node within a subgraph, from 1.
    fn next_visit(&self, node: &NodeName) -> u32 {
        let mut visits = lock(&self.visits);
        let visit = visits.entry(node.clone()).or_default();
        *visit += 1;
        *visit
    }

    /// Counts a token stream of a name, from 1; `None` if that would be one name more than `max_names`.
    pub(crate) fn next_streamed(&self, name: &NodeName, max_names: usize) -> Option<u32> {
        let mut streamed = lock(&self.streamed);
        if !streamed.contains_key(name) && streamed.len() >= max_names {
            return None;
        }
        let visit = streamed.entry(name.clone()).or_default();
        *visit += 1;
        Some(*visit)
    }

    /// The state now, with all changes of the visits that have completed; the result when it has ended with one.
    pub(crate) fn snapshot(&self) -> Result<Option<Value>, serde_json::Error> {
        if let Some(ended) = self.ended() {
            return Ok(ended.result.clone());
        }
        let state = lock(&self.state).upgrade();
        state.map(|state| state.json()).transpose()
    }

    /// Why a run failed, in words for everyone; the server's trace has it all.
    fn failure_of(&self, error: &NodeError, node: Option<&NodeName>) -> Failure {
        let origin = error.origin().or(node);
        let name = origin.map(ToString::to_string);
        let message = self.cut(error.public_message(name.as_deref().unwrap_or("")));
        Failure { code: error.code().into(), message, node_id: name }
    }

    /// A text for the terminal entry, cut if the log would not take it.
    fn cut(&self, mut text: String) -> String {
        // JSON may escape each byte into six.
        let limit = self.max_event_bytes / 16;
        if text.len() > limit {
            text.truncate(text.floor_char_boundary(limit));
            text.push('…');
        }
        text
    }

    /// Writes the terminal status, exactly once, and says that it has ended.
    pub(crate) async fn finish(&self, mut events: Vec<Event>, mut status: StatusUpdate) {
        let (mut tries, mut pause) = (0, FINISH_RETRY_AFTER);
        loop {
            // Nothing is called any more.
            status.cost.clone_from(&lock(&self.cost));
            match self.writer.finish_with(events.clone(), status.clone()).await {
                Ok(_) => break,
                Err(error @ LogError::EventTooLarge { .. }) if status.result.is_some() => {
                    let failure = failure("result_too_large", error.to_string());
                    if !events.is_empty() {
                        events = vec![workflow_error(&failure)];
                    }
                    status = StatusUpdate::failed(failure);
                }
                Err(error) if error.is_retryable() && tries < FINISH_RETRIES => {
                    tries += 1;
                    tracing::warn!(execution = %self.id, %error, "terminal status could not be written; trying again");
                    sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => {
                    tracing::error!(execution = %self.id, %error, "terminal status could not be written");
                    // Readers would wait for it for ever.
                    self.writer.abandon(error);
                    break;
                }
            }
        }
        tracing::info!(execution = %self.id, workflow = %self.workflow, status = status.status.as_str(), "execution ended");
        if self.ended.set(Box::new(status)).is_ok() {
            self.end.notify_waiters();
        }
    }
}

/// How a run came out.
enum Outcome {
    Completed(Value),
    Failed(Failure),
    Cancelled,
}

/// Runs `execution` from its first entry to its terminal one. Whatever happens in a node, the terminal one is written.
pub(crate) async fn run<W: Workflow>(
    execution: Arc<Execution>,
    definition: Arc<Definition<W>>,
    source: Source<W>,
    state: W::State,
) {
    let streaming = definition.streaming;
    let opened = tokio::select! {
        biased;
        () = execution.cancelled() => Err(Outcome::Cancelled),
        opened = source.open(&execution.id) => opened.map_err(|error| not_made(&execution, &error)),
    };
    let (opened, outcome) = match opened {
        Ok(opened) => {
            let steps = Steps::new(execution.clone(), definition, opened.value(), state);
            (Some(opened), run_steps(&execution, steps).await)
        }
        Err(outcome) => (None, outcome),
    };
    let event = |event_type, data: Value| Event::named(None, event_type, &data);
    let (events, status) = match outcome {
        Outcome::Completed(result) => {
            let end = event(EventType::WORKFLOW_END, json!({"workflow": execution.workflow}));
            (vec![end], StatusUpdate::completed(result))
        }
        Outcome::Failed(mut failure) => {
            failure.message = execution.cut(failure.message);
            (vec![workflow_error(&failure)], StatusUpdate::failed(failure))
        }
        Outcome::Cancelled => (Vec::new(), StatusUpdate::cancelled(execution.cancel_reason())),
    };
    let events = if streaming { events } else { Vec::new() };
    execution.asks.end(&execution).await;
    // It is done once, and would be part of the run all the time.
    Box::pin(execution.finish(events, status)).await;
    if let Some(opened) = opened {
        opened.close().await;
    }
}

/// Takes all steps of a run, and ends what is still under way after them.
async fn run_steps<W: Workflow>(execution: &Arc<Execution>, steps: Steps<W>) -> Outcome {
    // What a node does is caught where it happens. This is for what its values do when they are cloned, written as JSON
    // or dropped.
    let fails = |panic: Box<dyn Any + Send>| {
        let error = panicked("a value of the workflow", panic.as_ref());
        Outcome::Failed(failure(error.code(), error.to_string()))
    };
    let walked = AssertUnwindSafe(walk(execution, &steps)).catch_unwind().await;
    let (outcome, ending, reason) = walked.unwrap_or_else(|panic| (fails(panic), Ending::Failed, FAILED));
    steps.break_off(ending, reason).await;
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(steps)));
    dropped.map_or_else(fails, |()| outcome)
}

/// What the execution has of its own could not be made. Its client is not told why.
fn not_made(execution: &Execution, error: &streamnest_modules::Error) -> Outcome {
    tracing::error!(execution = %execution.id, code = error.code(), %error, "workflow could not be made");
    Outcome::Failed(failure(error.code(), "what this execution has of its own could not be made".into()))
}

/// Walks through the graph until there is an outcome: with it, how the visits end that are still under way, and why.
async fn walk<W: Workflow>(execution: &Arc<Execution>, steps: &Steps<W>) -> (Outcome, Ending, &'static str) {
    let Definition { timeout: limit, streaming, .. } = *steps.definition;
    let snapshot: Weak<Mutex<History<W::State>>> = Arc::downgrade(&steps.history);
    *lock(&execution.state) = snapshot;
    // A future that is handed from one to another is kept by each of them as a whole, so it is boxed before.
    let mut work: BoxFuture<'_, _> = Box::pin(async {
        begin(execution, streaming).await?;
        steps.proceed().await.map_err(|error| execution.failure_of(&error, None))
    });
    if let Some(limit) = limit {
        work = Box::pin(execution.watch.within(limit, work).map(move |ended| {
            ended.unwrap_or_else(|| {
                let message = format!("workflow `{}` ran longer than {limit:?}", execution.workflow);
                Err(failure("workflow_timeout", message))
            })
        }));
    }
    let cancelled = || (Outcome::Cancelled, Ending::Cancelled, "the execution was cancelled");
    tokio::select! {
        biased;
        () = execution.cancelled() => cancelled(),
        ended = work => match ended {
            // A cancel that came while it was polled: what it came to may be of the cancel's own making.
            _ if execution.stopping.load(Ordering::Acquire) => cancelled(),
            Ok(state) => (complete(execution, &*state), Ending::Cancelled, LOST),
            Err(failure) if failure.code == "workflow_timeout" => {
                (Outcome::Failed(failure), Ending::Failed, "the execution took too long")
            }
            Err(failure) => (Outcome::Failed(failure), Ending::Failed, FAILED),
        },
    }
}

/// Why a visit is stopped when its run has failed.
const FAILED: &str = "the execution has failed";

/// Why a visit is stopped when a join runs at the first arrival.
const LOST: &str = "another branch was first";

/// The first entries.
async fn begin(execution: &Execution, streaming: bool) -> Result<(), Failure> {
    let mut events = vec![Event::status(&StatusUpdate::running())];
    if streaming {
        let data = json!({"workflow": execution.workflow});
        events.push(Event::named(None, EventType::WORKFLOW_START, &data));
    }
    execution.writer.append(events).await.map(drop).map_err(|error| log_failure(&error))
}

fn complete<S: State>(execution: &Execution, state: &S) -> Outcome {
    match serde_json::to_value(state) {
        Ok(result) => Outcome::Completed(result),
        Err(error) => Outcome::Failed(unserializable(execution, &error)),
    }
}

fn failure(code: &str, message: String) -> Failure {
    Failure { code: code.into(), message, node_id: None }
}

fn workflow_error(failure: &Failure) -> Event {
    Event::named(None, EventType::WORKFLOW_ERROR, &json!(failure))
}

/// A state that its type refuses to write. Why is the user's text: the trace has it, and a client is not told.
fn unserializable(execution: &Execution, error: &serde_json::Error) -> Failure {
    tracing::error!(execution = %execution.id, %error, "state cannot be written as JSON");
    let message = "state cannot be written as JSON; the server's trace of this execution says why";
    failure("state_not_json", message.into())
}

fn log_failure(error: &LogError) -> Failure {
    failure(error.code(), "the execution's log takes no more entries".into())
}

fn panicked(what: &str, panic: &(dyn Any + Send)) -> NodeError {
    let text = panic.downcast_ref::<&str>().map(|text| String::from(*text));
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = text.as_deref().unwrap_or("of a value that is no text"), "{what} panicked");
    NodeError::coded("node_panicked", format!("{what} panicked"))
}

/// What is guarded is consistent between statements, so a panic elsewhere leaves nothing broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
