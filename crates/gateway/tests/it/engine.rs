//! An [`ExecutionControl`] by hand, over a memory log.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use streamnest_core::{
    BoxFuture, ControlError, Cost, Event, ExecutionControl, ExecutionId, ExecutionPage, ExecutionSummary,
    NodeName, OnDisconnect, Signal, Signalled, StartExecution, Started, Status, Timestamp, WorkflowName,
    WorkflowSummary,
    payload::{StatusUpdate, Token},
};
use streamnest_log::{Registry, Writer};
use tokio::sync::Notify;

/// Two workflows: `echo` says its input's `tokens` and completes; `held` runs until the test ends it. One whose input
/// is `{"slow": true}` begins only when `go` says so.
pub(crate) struct Engine {
    pub(crate) go: Notify,
    pub(crate) logs: Registry,
    runs: Mutex<Vec<Run>>,
    pub(crate) starts: AtomicUsize,
    /// Who gave the answers that were taken.
    pub(crate) answered_by: Mutex<Vec<Option<String>>>,
}

#[derive(Clone)]
struct Run {
    id: ExecutionId,
    workflow: String,
    input: Value,
    owner: Option<String>,
    on_disconnect: Option<OnDisconnect>,
}

impl Engine {
    pub(crate) fn new(logs: Registry) -> Self {
        let (runs, answered_by) = (Mutex::default(), Mutex::default());
        Self { logs, runs, starts: AtomicUsize::new(0), answered_by, go: Notify::new() }
    }

    fn run(&self, id: &ExecutionId) -> Option<Run> {
        self.runs.lock().unwrap().iter().find(|run| run.id == *id).cloned()
    }

    pub(crate) fn on_disconnect(&self, id: &ExecutionId) -> Option<OnDisconnect> {
        self.run(id).and_then(|run| run.on_disconnect)
    }

    fn summary(&self, run: &Run) -> Option<ExecutionSummary> {
        let log = self.logs.get(&run.id)?;
        let head = log.head();
        Some(ExecutionSummary {
            execution_id: run.id.clone(),
            workflow: WorkflowName::new(&run.workflow).unwrap(),
            status: head.status.unwrap_or(Status::Running),
            progress: BTreeMap::new(),
            started_at: Timestamp::from_micros(0),
            first: log.position(head.trimmed),
            last: log.position(head.last),
            subscribers: log.subscribers(),
            waiting: Vec::new(),
        })
    }
}

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::new(text).unwrap()
}

pub(crate) fn token(node: &str, content: &str) -> Event {
    let token = Token { content: content.into(), count: 1, visit: 1, attempt: 1, ..Token::default() };
    Event::token(NodeName::new(node).unwrap(), &token)
}

/// Appends tokens `from..to`, each its own number.
pub(crate) async fn say(writer: &Writer, from: usize, to: usize) {
    for n in from..to {
        writer.append([token("generate", &n.to_string())]).await.unwrap();
    }
}

impl ExecutionControl for Engine {
    fn workflows(&self) -> Vec<WorkflowSummary> {
        ["echo", "held"].into_iter().map(|name| self.workflow(name).unwrap()).collect()
    }

    fn workflow(&self, name: &str) -> Result<WorkflowSummary, ControlError> {
        if !["echo", "held"].contains(&name) {
            return Err(ControlError::UnknownWorkflow { name: name.into(), known: "echo, held".into() });
        }
        Ok(WorkflowSummary {
            name: WorkflowName::new(name).unwrap(),
            description: None,
            input_schema: json!({"type": "object"}),
            state_schema: json!({"type": "object"}),
            output_schema: json!({"type": "object"}),
            graph: json!({"nodes": [], "edges": []}),
            mermaid: "flowchart TD\n".into(),
        })
    }

    fn start_as(
        &self,
        request: StartExecution,
        owner: Option<String>,
    ) -> BoxFuture<'_, Result<Started, ControlError>> {
        Box::pin(async move {
            let workflow = self.workflow(&request.workflow)?.name;
            if !request.input.is_object() {
                let reason = "is no object".into();
                return Err(ControlError::InvalidInput { workflow, reason });
            }
            if request.input["slow"] == true {
                self.go.notified().await;
            }
            let count = self.starts.fetch_add(1, Ordering::SeqCst);
            let id = request.execution_id.unwrap_or_else(|| id(&format!("run-{count}")));
            if let Some(run) = self.run(&id) {
                self.starts.fetch_sub(1, Ordering::SeqCst);
                if run.owner != owner || run.workflow != request.workflow || run.input != request.input {
                    return Err(ControlError::Conflict { id });
                }
                let position = self.logs.get(&id).unwrap().position(streamnest_core::Seq::BEFORE_FIRST);
                return Ok(Started { execution_id: id, position, attached: true });
            }
            let writer = self.logs.create(&id).await.map_err(|_| ControlError::Unavailable)?;
            self.runs.lock().unwrap().push(Run {
                id: id.clone(),
                workflow: request.workflow.clone(),
                input: request.input.clone(),
                owner,
                on_disconnect: request.on_disconnect,
            });
            writer.append([Event::status(&StatusUpdate::running())]).await.unwrap();
            if request.workflow == "echo" {
                let tokens = request.input["tokens"].as_u64().unwrap_or(3);
                say(&writer, 0, usize::try_from(tokens).unwrap()).await;
                writer.finish(StatusUpdate::completed(json!({"tokens": tokens}))).await.unwrap();
            }
            let position = writer.log().position(streamnest_core::Seq::BEFORE_FIRST);
            Ok(Started { execution_id: id, position, attached: false })
        })
    }

    fn cancel<'a>(
        &'a self,
        id: &'a ExecutionId,
        reason: Option<String>,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let unknown = || ControlError::UnknownExecution { id: id.clone() };
            let writer = self.logs.writer(id).ok_or_else(unknown)?;
            // One that has ended stays as it ended.
            let _ = writer.finish(StatusUpdate::cancelled(reason)).await;
            Ok(())
        })
    }

    /// `ask1` takes `{"publish": true}`; the others refuse each in a way of its own.
    fn signal<'a>(
        &'a self,
        id: &'a ExecutionId,
        signal: Signal,
    ) -> BoxFuture<'a, Result<Signalled, ControlError>> {
        let Signal { ask, answer, by } = signal;
        Box::pin(async move {
            self.run(id).ok_or_else(|| ControlError::UnknownExecution { id: id.clone() })?;
            match ask.number() {
                1 if answer["publish"] == true => {
                    self.answered_by.lock().unwrap().push(by);
                    Ok(Signalled { ask, repeated: false })
                }
                1 => Err(ControlError::InvalidAnswer { ask, reason: "`publish` is missing".into() }),
                2 => Err(ControlError::AlreadyAnswered { ask }),
                3 => Err(ControlError::AskClosed { ask, how: "its deadline passed" }),
                4 => Err(ControlError::AnswerTooLarge { size: 2, limit: 1, option: "limit" }),
                5 => Err(ControlError::Unavailable),
                _ => Err(ControlError::UnknownAsk {
                    id: id.clone(),
                    ask,
                    open: "it waits for no answer".into(),
                }),
            }
        })
    }

    fn delete<'a>(&'a self, id: &'a ExecutionId) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let log = self.logs.get(id).ok_or_else(|| ControlError::UnknownExecution { id: id.clone() })?;
            if !log.head().sealed {
                return Err(ControlError::StillRunning { id: id.clone() });
            }
            self.runs.lock().unwrap().retain(|run| run.id != *id);
            self.logs.remove(id).await.map_err(|_| ControlError::Unavailable)
        })
    }

    fn execution(&self, id: &ExecutionId) -> Result<ExecutionSummary, ControlError> {
        let run = self.run(id).and_then(|run| self.summary(&run));
        run.ok_or_else(|| ControlError::UnknownExecution { id: id.clone() })
    }

    fn cost<'a>(&'a self, id: &'a ExecutionId) -> BoxFuture<'a, Result<Cost, ControlError>> {
        Box::pin(async move { self.execution(id).map(|_| Cost::default()) })
    }

    fn executions(&self, limit: usize, after: Option<&ExecutionId>) -> ExecutionPage {
        let runs = self.runs.lock().unwrap().clone();
        let mut newest: Vec<_> = runs.iter().rev().collect();
        if let Some(after) = after {
            let at = newest.iter().position(|run| run.id == *after).map_or(newest.len(), |at| at + 1);
            newest.drain(..at);
        }
        let more = newest.len() > limit;
        newest.truncate(limit);
        let next = more.then(|| newest.last().unwrap().id.clone());
        ExecutionPage { executions: newest.into_iter().filter_map(|run| self.summary(run)).collect(), next }
    }
}
