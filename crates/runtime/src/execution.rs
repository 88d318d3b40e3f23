//! One execution while it runs: from its first entry to the terminal one.

use std::{
    any::Any,
    collections::{BTreeMap, HashSet},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
};

use serde_json::{Value, json};
use streamnest_core::{
    BoxFuture, Event, EventType, ExecutionId, MessageId, NodeName, NodePort, Scope, Timestamp, WorkflowName,
    payload::{Failure, Progress, StatusUpdate},
};
use streamnest_log::Writer;
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    EngineOptions, NodeContext, NodeError, NodeKind, NodeResult, State as _, Workflow,
    definition::Definition,
    output::{NodeOutput, Port, progress_tracker::Ending},
    scheduler::{Command, Scheduler},
    workflow::{Step, Target},
};

/// What is known of an execution, running or finished.
pub(crate) struct Execution {
    id: ExecutionId,
    pub(crate) workflow: WorkflowName,
    /// The input as JSON with sorted keys: the same id with the same input is the same execution.
    pub(crate) input: Box<str>,
    pub(crate) started_at: Timestamp,
    writer: Writer,
    options: Arc<EngineOptions>,
    /// The largest event that the log takes, in bytes.
    pub(crate) max_event_bytes: usize,
    cancel: CancellationToken,
    reason: Mutex<Option<String>>,
    ended: OnceLock<StatusUpdate>,
    end: Notify,
    messages: AtomicU32,
    keys: Mutex<HashSet<String>>,
    progress: Mutex<BTreeMap<String, Progress>>,
}

impl Execution {
    pub(crate) fn new(
        writer: Writer,
        workflow: WorkflowName,
        input: Box<str>,
        started_at: Timestamp,
        options: Arc<EngineOptions>,
        max_event_bytes: usize,
    ) -> Self {
        Self {
            max_event_bytes,
            id: writer.log().identity().execution.clone(),
            workflow,
            input,
            started_at,
            writer,
            options,
            cancel: CancellationToken::new(),
            reason: Mutex::default(),
            ended: OnceLock::new(),
            end: Notify::new(),
            messages: AtomicU32::new(0),
            keys: Mutex::default(),
            progress: Mutex::default(),
        }
    }

    pub(crate) const fn id(&self) -> &ExecutionId {
        &self.id
    }

    pub(crate) const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Asks it to stop. The first reason given stays.
    pub(crate) fn cancel(&self, reason: Option<String>) {
        if !self.cancel.is_cancelled() {
            *lock(&self.reason) = reason;
            self.cancel.cancel();
        }
    }

    pub(crate) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<&StatusUpdate> {
        self.ended.get()
    }

    /// Waits until it has ended.
    pub(crate) async fn end(&self) -> &StatusUpdate {
        loop {
            let ended = self.end.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(status) = self.ended.get() {
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

    /// Takes `key` for `emit_once`; `false` if it is taken.
    pub(crate) fn claim_key(&self, key: &str) -> NodeResult<bool> {
        let mut keys = lock(&self.keys);
        if keys.contains(key) {
            return Ok(false);
        }
        let limit = self.options.max_once_keys;
        if keys.len() >= limit {
            return Err(NodeError::public(format!(
                "execution has used {limit} `emit_once` keys, the limit of `EngineOptions::max_once_keys`"
            )));
        }
        keys.insert(key.into());
        Ok(true)
    }

    pub(crate) fn release_key(&self, key: &str) {
        lock(&self.keys).remove(key);
    }

    /// Writes the terminal status, exactly once, and says that it has ended.
    async fn finish(&self, events: Vec<Event>, status: StatusUpdate) {
        let written = self.writer.finish_with(events, status.clone()).await;
        let status = match written {
            Ok(_) => status,
            Err(error @ streamnest_log::Error::EventTooLarge { .. }) => {
                let status = StatusUpdate::failed(Failure {
                    code: "result_too_large".into(),
                    message: error.to_string(),
                    node_id: None,
                });
                if let Err(error) = self.writer.finish(status.clone()).await {
                    tracing::error!(execution = %self.id, %error, "terminal status could not be written");
                }
                status
            }
            Err(error) => {
                tracing::error!(execution = %self.id, %error, "terminal status could not be written");
                status
            }
        };
        tracing::info!(execution = %self.id, workflow = %self.workflow, status = status.status.as_str(), "execution ended");
        if self.ended.set(status).is_ok() {
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
    workflow: Arc<W>,
    state: W::State,
) {
    let name = definition.name.clone();
    let mut run =
        Run { execution: execution.clone(), definition: definition.clone(), workflow, visiting: None };
    let work = async {
        let Some(limit) = definition.timeout else { return run.proceed(state).await };
        timeout(limit, run.proceed(state)).await.unwrap_or_else(|_| {
            Outcome::Failed(Failure {
                code: "workflow_timeout".into(),
                message: format!("workflow `{name}` ran longer than {limit:?}"),
                node_id: None,
            })
        })
    };
    let outcome = tokio::select! {
        biased;
        () = execution.cancelled() => Outcome::Cancelled,
        outcome = work => outcome,
    };
    let ending = if matches!(outcome, Outcome::Cancelled) { Ending::Cancelled } else { Ending::Failed };
    run.break_off(ending).await;
    let event = |event_type, data: Value| Event::named(None, event_type, &data);
    let (events, status) = match outcome {
        Outcome::Completed(result) => {
            let end = event(EventType::WORKFLOW_END, json!({"workflow": name}));
            (vec![end], StatusUpdate::completed(result))
        }
        Outcome::Failed(failure) => {
            (vec![event(EventType::WORKFLOW_ERROR, json!(failure))], StatusUpdate::failed(failure))
        }
        Outcome::Cancelled => (Vec::new(), StatusUpdate::cancelled(lock(&execution.reason).clone())),
    };
    let events = if definition.streaming { events } else { Vec::new() };
    execution.finish(events, status).await;
}

/// The moving part of an execution.
struct Run<W: Workflow> {
    execution: Arc<Execution>,
    definition: Arc<Definition<W>>,
    workflow: Arc<W>,
    /// The visit that is under way.
    visiting: Option<(NodeContext, Arc<NodeOutput>)>,
}

impl<W: Workflow> Run<W> {
    async fn proceed(&mut self, state: W::State) -> Outcome {
        if let Err(failure) = self.begin().await {
            return Outcome::Failed(failure);
        }
        let mut state = Arc::new(state);
        let mut scheduler = Scheduler::new(self.definition.graph.clone());
        let mut command = scheduler.begin();
        loop {
            match command {
                Command::Run { node, visit } => match self.visit(node, visit, &mut state).await {
                    Ok(target) => command = scheduler.completed(node, target.as_ref()),
                    Err(failure) => return Outcome::Failed(failure),
                },
                Command::Complete => {
                    return match serde_json::to_value(&*state) {
                        Ok(result) => Outcome::Completed(result),
                        Err(error) => Outcome::Failed(unserializable(&error)),
                    };
                }
                Command::Fail(error) => {
                    let (code, message) = (error.code().into(), error.to_string());
                    return Outcome::Failed(Failure { code, message, node_id: None });
                }
            }
        }
    }

    async fn begin(&self) -> Result<(), Failure> {
        let mut events = vec![Event::status(&StatusUpdate::running())];
        if self.definition.streaming {
            let data = json!({"workflow": self.definition.name});
            events.push(Event::named(None, EventType::WORKFLOW_START, &data));
        }
        self.execution.writer.append(events).await.map(drop).map_err(|error| log_failure(&error))
    }

    /// Runs one visit of a node; where its `Goto` leads, if it returned one.
    async fn visit(
        &mut self,
        index: usize,
        visit: u32,
        state: &mut Arc<W::State>,
    ) -> Result<Option<Target>, Failure> {
        let definition = self.definition.clone();
        let node = definition.nodes.get(index).expect("the scheduler names nodes of this graph only");
        let output = NodeOutput::new(self.execution.clone(), node.plan.clone(), visit);
        let ctx = NodeContext::new(output.clone());
        self.visiting = Some((ctx.clone(), output.clone()));
        let name = &node.plan.name;
        output.emit_own(EventType::NODE_START, json!({"kind": node.kind.as_str(), "visit": visit})).await;
        let around = around(node.kind);
        if let Some((start, _)) = &around {
            output.emit_own(start.clone(), json!({"visit": visit})).await;
        }
        output.flush().await;
        output.begin_progress().await;

        let began = Instant::now();
        let body = (node.handler)(self.workflow.clone(), state.clone(), ctx.clone());
        let tasks = ctx.clone();
        let body = Box::pin(async move {
            let step = body.await?;
            tasks.join_tasks().await?;
            Ok(step)
        });
        let visiting = Visit::new(body, output.clone());
        let ended = match node.timeout {
            None => visiting.await,
            Some(limit) => timeout(limit, visiting).await.unwrap_or_else(|_| {
                Err(NodeError::coded("node_timeout", format!("node `{name}` ran longer than {limit:?}")))
            }),
        };
        let ended = ended.and_then(|step| self.apply(step, state));
        let (update, target) = match ended {
            Ok(applied) => applied,
            Err(error) => {
                tracing::warn!(execution = %self.execution.id, node = %name, code = error.code(), %error, "node failed");
                let (code, message) = (error.code().to_owned(), error.public_message(name));
                ctx.abort_tasks().await;
                output.close(Ending::Failed).await;
                let failure = Failure { code, message, node_id: Some(name.to_string()) };
                output
                    .emit_own(
                        EventType::NODE_ERROR,
                        json!({"code": failure.code, "message": failure.message, "visit": visit}),
                    )
                    .await;
                output.seal().await;
                self.visiting = None;
                return Err(failure);
            }
        };
        output.close(Ending::Succeeded).await;
        if let Some((_, complete)) = around {
            let usage = output.usage().map_or(Value::Null, |usage| json!(usage));
            let mut data = json!({"visit": visit});
            if let (Value::Object(fields), false) = (&mut data, usage.is_null()) {
                fields.insert("usage".into(), usage);
            }
            output.emit_own(complete, data).await;
        }
        if let Some(update) = update {
            output.emit_own(EventType::UPDATES, update).await;
        }
        if output.emits(&EventType::VALUES) {
            let values = serde_json::to_value(&**state).map_err(|error| unserializable(&error))?;
            output.emit_own(EventType::VALUES, values).await;
        }
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        output.emit_own(EventType::NODE_COMPLETE, json!({"visit": visit, "durationMs": milliseconds})).await;
        output.seal().await;
        self.visiting = None;
        match output.broken() {
            Some(error) => Err(log_failure(&error)),
            None => Ok(target),
        }
    }

    /// Changes the state as a node said; its update as JSON.
    fn apply(
        &self,
        step: Step<W::State>,
        state: &mut Arc<W::State>,
    ) -> NodeResult<(Option<Value>, Option<Target>)> {
        let Some(update) = step.update else { return Ok((None, step.target)) };
        let json = serde_json::to_value(&update)?;
        // A reducer is the user's code.
        let applied = catch_unwind(AssertUnwindSafe(|| Arc::make_mut(state).apply(update)));
        applied.map_err(|panic| panicked("a reducer of its state", panic.as_ref()))?;
        Ok((Some(json), step.target))
    }

    /// Ends the visit that was under way when the run was stopped. Its body is dropped already.
    async fn break_off(&mut self, ending: Ending) {
        if let Some((ctx, output)) = self.visiting.take() {
            ctx.abort_tasks().await;
            output.close(ending).await;
            output.seal().await;
        }
    }
}

/// The events around a body of this kind.
const fn around(kind: NodeKind) -> Option<(EventType, EventType)> {
    match kind {
        NodeKind::Llm => Some((EventType::LLM_START, EventType::LLM_COMPLETE)),
        NodeKind::Tool => Some((EventType::TOOL_START, EventType::TOOL_COMPLETE)),
        _ => None,
    }
}

fn unserializable(error: &serde_json::Error) -> Failure {
    Failure {
        code: "state_not_json".into(),
        message: format!("state cannot be written as JSON: {error}"),
        node_id: None,
    }
}

fn log_failure(error: &streamnest_log::Error) -> Failure {
    Failure {
        code: error.code().into(),
        message: "the execution's log takes no more entries".into(),
        node_id: None,
    }
}

fn panicked(what: &str, panic: &(dyn Any + Send)) -> NodeError {
    let text = panic.downcast_ref::<&str>().map(|text| String::from(*text));
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = text.as_deref().unwrap_or("of a value that is no text"), "{what} panicked");
    NodeError::coded("node_panicked", format!("{what} panicked"))
}

/// A body while it runs: polled in its node's scope, its panics caught, its output's time kept.
struct Visit<T> {
    body: BoxFuture<'static, NodeResult<T>>,
    output: Arc<NodeOutput>,
    port: Arc<dyn NodePort>,
    alarm: Option<Pin<Box<Sleep>>>,
    settling: Option<BoxFuture<'static, ()>>,
}

impl<T> Visit<T> {
    fn new(body: BoxFuture<'static, NodeResult<T>>, output: Arc<NodeOutput>) -> Self {
        let port: Arc<dyn NodePort> = Arc::new(Port(output.clone()));
        if output.plan.token.is_some() {
            Scope::announce(&port);
        }
        Self { body, output, port, alarm: None, settling: None }
    }

    /// Waits for the next time that something is due. An alarm that is set too early just rings once for nothing, which
    /// is cheaper than to set it anew with each token.
    fn poll_alarm(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if alarm.deadline() > due || alarm.is_elapsed() {
            alarm.as_mut().reset(due);
        }
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(())
    }
}

impl<T> Future for Visit<T> {
    type Output = NodeResult<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.output.looks(cx.waker());
        let scope = Scope::new(this.port.clone());
        let polled = catch_unwind(AssertUnwindSafe(|| scope.enter(|| this.body.as_mut().poll(cx))));
        let (mut due, mut shipped) = this.output.paused();
        match polled {
            Ok(Poll::Ready(ended)) => return Poll::Ready(ended),
            Ok(Poll::Pending) => {}
            Err(panic) => {
                let what = format!("node `{}`", this.output.plan.name);
                return Poll::Ready(Err(panicked(&what, panic.as_ref())));
            }
        }
        loop {
            if let Some(error) = this.output.broken() {
                return Poll::Ready(Err(error.into()));
            }
            if !shipped && this.settling.is_none() {
                let output = this.output.clone();
                this.settling = Some(Box::pin(async move { output.settle().await }));
            }
            if let Some(settling) = &mut this.settling
                && settling.as_mut().poll(cx).is_ready()
            {
                this.settling = None;
            }
            let Some(at) = due else { return Poll::Pending };
            ready!(this.poll_alarm(cx, at));
            this.output.tick(Instant::now());
            (due, shipped) = this.output.paused();
        }
    }
}

/// What is guarded is consistent between statements, so a panic elsewhere leaves nothing broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
