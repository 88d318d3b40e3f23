//! The seam between the gateway, which hears requests, and the runtime, which runs workflows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Approval, AskId, BoxFuture, Cost, ExecutionId, Position, Signal, Signalled, Status, Timestamp,
    TraceContext, WorkflowName, payload,
};

/// Starts, stops and lists executions. The runtime implements it, the gateway calls it.
pub trait ExecutionControl: Send + Sync + 'static {
    /// Every workflow, sorted by name.
    fn workflows(&self) -> Vec<WorkflowSummary>;

    /// One workflow.
    ///
    /// # Errors
    /// [`ControlError::UnknownWorkflow`].
    fn workflow(&self, name: &str) -> Result<WorkflowSummary, ControlError>;

    /// Starts an execution, or attaches to it, for nobody in particular: [`start_as`](Self::start_as) without an owner.
    ///
    /// # Errors
    /// As [`start_as`](Self::start_as).
    fn start(&self, request: StartExecution) -> BoxFuture<'_, Result<Started, ControlError>> {
        self.start_as(request, None)
    }

    /// Starts an execution, or attaches to it: the same owner, id, workflow and input again is the same execution, also after a
    /// restart. `owner` tells who asks from everybody else; `None` where nobody is asked who they are.
    ///
    /// When this returns, the log exists and can be subscribed to.
    ///
    /// # Errors
    /// [`ControlError::UnknownWorkflow`], [`ControlError::InvalidInput`], [`ControlError::Conflict`],
    /// [`ControlError::TooManyExecutions`], [`ControlError::Draining`], [`ControlError::StoreFull`],
    /// [`ControlError::StoreIndexFull`], [`ControlError::StoreFailed`], [`ControlError::Unavailable`].
    fn start_as(
        &self,
        request: StartExecution,
        owner: Option<String>,
    ) -> BoxFuture<'_, Result<Started, ControlError>>;

    /// Stops an execution. Its log ends with `cancelled`; after this returns no token follows. Idempotent.
    ///
    /// # Errors
    /// [`ControlError::UnknownExecution`].
    fn cancel<'a>(
        &'a self,
        id: &'a ExecutionId,
        reason: Option<String>,
    ) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Answers a question of an execution. When this returns, the answer stands in the log, and the node that asked goes on
    /// with it. The same answer again changes nothing.
    ///
    /// # Errors
    /// [`ControlError::UnknownExecution`], [`ControlError::UnknownAsk`]; [`ControlError::AlreadyAnswered`],
    /// [`ControlError::AskClosed`]; [`ControlError::InvalidAnswer`] and [`ControlError::AnswerTooLarge`], upon which the
    /// question stays open; [`ControlError::Unavailable`].
    fn signal<'a>(
        &'a self,
        id: &'a ExecutionId,
        signal: Signal,
    ) -> BoxFuture<'a, Result<Signalled, ControlError>>;

    /// Forgets a finished execution and its log.
    ///
    /// # Errors
    /// [`ControlError::UnknownExecution`]; [`ControlError::StillRunning`].
    fn delete<'a>(&'a self, id: &'a ExecutionId) -> BoxFuture<'a, Result<(), ControlError>>;

    /// One execution.
    ///
    /// # Errors
    /// [`ControlError::UnknownExecution`].
    fn execution(&self, id: &ExecutionId) -> Result<ExecutionSummary, ControlError>;

    /// What the model calls of an execution came to so far; nothing for one that a program outside speaks for.
    ///
    /// # Errors
    /// [`ControlError::UnknownExecution`]; [`ControlError::Unavailable`] if its log cannot be read.
    fn cost<'a>(&'a self, id: &'a ExecutionId) -> BoxFuture<'a, Result<Cost, ControlError>>;

    /// Executions, newest first: at most `limit` of them, after `after` if that is given.
    fn executions(&self, limit: usize, after: Option<&ExecutionId>) -> ExecutionPage;
}

/// What there is to know of a workflow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowSummary {
    /// Its name.
    pub name: WorkflowName,
    /// What it does, in its author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema (2020-12) of the input.
    pub input_schema: Value,
    /// JSON Schema of the state, as a `values` event has it; each property's `x-reducer` says how updates join it.
    #[serde(default)]
    pub state_schema: Value,
    /// JSON Schema of the result of a completed run.
    #[serde(default)]
    pub output_schema: Value,
    /// Nodes and edges: `{start, nodes: [{name, kind, streams: […], …}], edges: [{from, to, conditional}]}`; an edge to the
    /// end has no `to`, and a node that runs another workflow has that one's graph as `subgraph`.
    pub graph: Value,
    /// The graph as a Mermaid flowchart.
    #[serde(default)]
    pub mermaid: String,
}

/// A request to start an execution.
#[derive(Clone, Debug)]
pub struct StartExecution {
    /// The workflow's name as the client gave it.
    pub workflow: String,
    /// Its input.
    pub input: Value,
    /// The id that the client chose; a new UUIDv7 otherwise.
    pub execution_id: Option<ExecutionId>,
    /// What happens when the last subscriber is gone; the workflow's own choice otherwise.
    pub on_disconnect: Option<OnDisconnect>,
    /// Where it belongs in the trace of whoever starts it; a trace of its own otherwise. Who attaches to an execution that was
    /// started before changes nothing about it.
    pub trace: Option<TraceContext>,
}

/// What happens to an execution when its last subscriber has been gone for the grace time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    /// It goes on.
    #[default]
    Continue,
    /// It is cancelled.
    Cancel,
}

/// An execution that was started, or found running.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Started {
    /// Its id.
    pub execution_id: ExecutionId,
    /// The position before its first entry.
    pub position: Position,
    /// Whether it was there already.
    pub attached: bool,
}

/// What there is to know of an execution.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionSummary {
    /// Its id.
    pub execution_id: ExecutionId,
    /// The workflow it runs.
    pub workflow: WorkflowName,
    /// Where it stands.
    pub status: Status,
    /// The newest progress of each node that reports one.
    pub progress: std::collections::BTreeMap<String, payload::Progress>,
    /// When it began, in microseconds since 1970.
    pub started_at: Timestamp,
    /// The position before the first entry that is kept.
    pub first: Position,
    /// The position after the last entry.
    pub last: Position,
    /// How many readers follow it now.
    pub subscribers: usize,
    /// The questions that wait for an answer, oldest first. Empty in a page of executions, whatever waits: the status
    /// tells that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Approval>,
}

impl ExecutionSummary {
    /// What stands in place of a workflow's name where a program outside the server speaks for the execution.
    pub const EXTERNAL: &'static str = "external";

    /// Whether a program outside the server speaks for it. It goes on when the server stops.
    pub fn is_external(&self) -> bool {
        self.workflow.as_str() == Self::EXTERNAL
    }
}

/// A page of executions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionPage {
    /// The executions, newest first.
    pub executions: Vec<ExecutionSummary>,
    /// Where the next page starts; left out on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<ExecutionId>,
}

/// Why a request was refused. Every message may reach a client.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no workflow of that name.
    #[error("there is no workflow `{name}`; workflows: {known}")]
    UnknownWorkflow {
        /// The name that was asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// The input does not fit the workflow's state.
    #[error("input does not fit workflow `{workflow}`: {reason}")]
    InvalidInput {
        /// The workflow.
        workflow: WorkflowName,
        /// What does not fit, and what would.
        reason: String,
    },
    /// There is no execution of that id, or not for whom asks.
    #[error("there is no execution `{id}`")]
    UnknownExecution {
        /// The id.
        id: ExecutionId,
    },
    /// Whoever asks may see the execution, or name it, but not do that.
    #[error("token does not allow to {action} execution `{id}`")]
    Forbidden {
        /// The verb: `start`, `cancel`.
        action: &'static str,
        /// The execution.
        id: ExecutionId,
    },
    /// The id is taken by an execution of another workflow or input, or that somebody else has started.
    #[error(
        "execution id `{id}` is taken by another workflow, input or user; choose another or leave it out"
    )]
    Conflict {
        /// The id.
        id: ExecutionId,
    },
    /// A running execution cannot be deleted.
    #[error("execution `{id}` is still running; cancel it first")]
    StillRunning {
        /// The id.
        id: ExecutionId,
    },
    /// An execution never asked that.
    #[error("execution `{id}` never asked `{ask}`; {open}")]
    UnknownAsk {
        /// The execution.
        id: ExecutionId,
        /// What was answered.
        ask: AskId,
        /// What is open: `open questions: ask1, ask2`, or `it waits for no answer`.
        open: String,
    },
    /// A question was answered already, otherwise.
    #[error("`{ask}` was answered already, with another answer; the first one counts")]
    AlreadyAnswered {
        /// The question.
        ask: AskId,
    },
    /// A question takes no answer any more.
    #[error("`{ask}` takes no answer any more: {how}")]
    AskClosed {
        /// The question.
        ask: AskId,
        /// Why, for example `its deadline passed`.
        how: &'static str,
    },
    /// An answer does not fit its question's schema. The question stays open.
    #[error("answer to `{ask}` does not fit its schema: {reason}")]
    InvalidAnswer {
        /// The question.
        ask: AskId,
        /// Which field does not fit, and what would; several separated by semicolons.
        reason: String,
    },
    /// An answer is too large. The question stays open.
    #[error("answer has {size} bytes, over the limit of {limit}; shorten it, or raise `{option}`")]
    AnswerTooLarge {
        /// Its size as JSON, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
        /// The option that sets it.
        option: &'static str,
    },
    /// As many executions are kept as may be, and none of them has ended.
    #[error("{limit} executions run already, the limit of `{option}`; try again when some have ended")]
    TooManyExecutions {
        /// The limit.
        limit: usize,
        /// The option that sets it.
        option: &'static str,
    },
    /// The server is shutting down.
    #[error("server is shutting down and starts nothing new; try again on the next one")]
    Draining,
    /// The log store has no room.
    #[error("log store is full; free some room on the server, and starts go on by themselves")]
    StoreFull,
    /// The log store knows as many logs and attributes as it may.
    #[error(
        "log store knows as many executions as it may; delete some, or raise `DiskOptions::max_index_bytes`"
    )]
    StoreIndexFull,
    /// The log store has failed, and takes nothing until the server is started anew.
    #[error(
        "log store failed and takes nothing more; the server has to be started anew when the cause is gone"
    )]
    StoreFailed,
    /// The log store is not available.
    #[error("log store is unavailable; try again later")]
    Unavailable,
}

impl ControlError {
    /// A stable identifier, sent to clients and listed in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownWorkflow { .. } => "unknown_workflow",
            Self::InvalidInput { .. } => "invalid_input",
            Self::UnknownExecution { .. } => "unknown_execution",
            Self::Forbidden { .. } => "forbidden",
            Self::Conflict { .. } => "conflict",
            Self::StillRunning { .. } => "still_running",
            Self::UnknownAsk { .. } => "unknown_ask",
            Self::AlreadyAnswered { .. } => "already_answered",
            Self::AskClosed { .. } => "ask_closed",
            Self::InvalidAnswer { .. } => "invalid_answer",
            Self::AnswerTooLarge { .. } => "answer_too_large",
            Self::TooManyExecutions { .. } => "too_many_executions",
            Self::Draining => "draining",
            Self::StoreFull => "store_full",
            Self::StoreIndexFull => "store_index_full",
            Self::StoreFailed => "store_failed",
            Self::Unavailable => "store_unavailable",
        }
    }

    /// Whether the same request may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::TooManyExecutions { .. }
                | Self::Draining
                | Self::StoreFull
                | Self::StoreIndexFull
                | Self::Unavailable
        )
    }
}
