//! What is known of executions: of those of this process all, of those of earlier ones what their logs say.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use streamnest_core::{
    AttributeChange, Attributes, ControlError, Cost, ExecutionId, ExecutionSummary, Listed, LogName,
    Position, Status, Timestamp, WorkflowName,
    payload::{Failure, StatusUpdate},
};
use streamnest_log::{Error as LogError, EventLog, Read, ReadLimit, Removal, Start, durable};

use super::{Engine, control::summarize};
use crate::{execution::Execution, fingerprint::Fingerprint};

/// The attributes of an execution that an engine runs: the name of its workflow, the fingerprint of its input and of who
/// started it, and when it began, in microseconds since 1970.
const WORKFLOW: &str = "workflow";
const INPUT: &str = "input";
const STARTED: &str = "started";

/// Executions that are listed at once, and ended at once, when the engine looks for those of earlier processes.
const PAGE: usize = 1_024;
const ENDED_AT_ONCE: usize = 64;

/// An execution that the engine knows.
#[derive(Clone)]
pub(super) enum Known {
    /// It runs, or its log is in memory.
    Here(Arc<Execution>),
    /// A program outside speaks for it, and its log is in memory.
    Outside(Arc<Outside>),
    /// Only the store has its log. It has ended, if this engine ran it.
    Kept(Arc<Kept>),
}

/// An execution that a program outside made.
pub(super) struct Outside {
    id: ExecutionId,
    log: Arc<EventLog>,
    started_at: Timestamp,
}

impl Outside {
    /// The log of one; `None` if it is that of something else.
    pub(super) fn of(log: &Arc<EventLog>, attributes: &Attributes) -> Option<Self> {
        let id = log.identity().execution()?.clone();
        Some(Self { id, log: log.clone(), started_at: durable::made_at(attributes)? })
    }

    fn summary(&self) -> ExecutionSummary {
        let head = self.log.head();
        ExecutionSummary {
            execution_id: self.id.clone(),
            workflow: outside(),
            status: head.status.unwrap_or(Status::Running),
            progress: BTreeMap::new(),
            started_at: self.started_at,
            first: self.log.position(head.trimmed),
            last: self.log.position(head.last),
            subscribers: self.log.subscribers(),
            waiting: Vec::new(),
        }
    }
}

fn outside() -> WorkflowName {
    WorkflowName::new(ExecutionSummary::EXTERNAL).expect("it is a legal name")
}

/// What is known of an execution whose log is not in memory.
pub(super) struct Kept {
    pub(super) summary: ExecutionSummary,
    /// `None` if no engine ran it.
    pub(super) input: Option<Fingerprint>,
}

impl Known {
    pub(super) fn id(&self) -> &ExecutionId {
        match self {
            Self::Here(execution) => execution.id(),
            Self::Outside(outside) => &outside.id,
            Self::Kept(kept) => &kept.summary.execution_id,
        }
    }

    /// Whether it is the execution of this workflow with this input.
    pub(super) fn is_of(&self, workflow: &WorkflowName, input: Fingerprint) -> bool {
        match self {
            Self::Here(execution) => execution.workflow == *workflow && execution.input == input,
            Self::Kept(kept) => kept.summary.workflow == *workflow && kept.input == Some(input),
            Self::Outside(_) => false,
        }
    }

    /// Whether a program outside speaks for it.
    pub(super) fn is_outside(&self) -> bool {
        match self {
            Self::Here(_) => false,
            Self::Outside(_) => true,
            Self::Kept(kept) => kept.input.is_none(),
        }
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Here(execution) => execution.ended().is_some(),
            Self::Outside(outside) => outside.log.head().sealed,
            Self::Kept(kept) => kept.summary.status.is_terminal(),
        }
    }

    /// Whether it has ended as far as its readers know: its terminal entry is visible.
    pub(super) fn has_told_end(&self) -> bool {
        let log = match self {
            Self::Here(execution) => execution.writer().log(),
            Self::Outside(outside) => &outside.log,
            Self::Kept(_) => return self.has_ended(),
        };
        self.has_ended() || log.head().status.is_some_and(Status::is_terminal)
    }

    /// All but the open questions.
    pub(super) fn summary(&self) -> ExecutionSummary {
        match self {
            Self::Here(execution) => summarize(execution),
            Self::Outside(outside) => outside.summary(),
            Self::Kept(kept) => kept.summary.clone(),
        }
    }
}

/// The executions whose logs are kept, by id and in the order in which they began.
#[derive(Default)]
pub(super) struct Executions {
    pub(super) by_id: HashMap<ExecutionId, (u64, Known)>,
    pub(super) by_age: BTreeMap<u64, ExecutionId>,
    next: u64,
    /// Ids whose start is under way.
    pub(super) starting: HashSet<ExecutionId>,
}

impl Executions {
    /// Adds an execution that began after all others, or puts more of one in the place of less.
    pub(super) fn insert(&mut self, known: Known) {
        let id = known.id().clone();
        if let Some((_, place)) = self.by_id.get_mut(&id) {
            *place = known;
            return;
        }
        self.next += 1;
        self.by_age.insert(self.next, id.clone());
        self.by_id.insert(id, (self.next, known));
    }

    pub(super) fn get(&self, id: &ExecutionId) -> Option<&Known> {
        self.by_id.get(id).map(|(_, known)| known)
    }

    /// The log of an execution has left memory.
    pub(super) fn removed(&mut self, id: &ExecutionId, removal: Removal) {
        let kept = match (removal, self.get(id)) {
            (Removal::Evicted, Some(Known::Here(execution))) => Some(Kept {
                summary: ExecutionSummary { subscribers: 0, ..summarize(execution) },
                input: Some(execution.input),
            }),
            (Removal::Evicted, Some(Known::Outside(outside))) => {
                Some(Kept { summary: ExecutionSummary { subscribers: 0, ..outside.summary() }, input: None })
            }
            (Removal::Evicted, _) => return,
            _ => None,
        };
        match kept {
            Some(kept) => self.insert(Known::Kept(Arc::new(kept))),
            None => {
                if let Some((age, _)) = self.by_id.remove(id) {
                    self.by_age.remove(&age);
                }
                // A table that once held many gives back the room that is left over.
                if self.by_id.len() < self.by_id.capacity() / 4 {
                    self.by_id.shrink_to(self.by_id.len() * 2);
                }
            }
        }
    }
}

/// The attributes with which the log of an execution is made.
pub(super) fn attributes(
    workflow: &WorkflowName,
    input: Fingerprint,
    started: Timestamp,
) -> Vec<AttributeChange> {
    let set = |key, value: String| AttributeChange::set(key, value).expect("the keys are short");
    vec![
        set(WORKFLOW, workflow.to_string()),
        set(INPUT, input.to_string()),
        set(STARTED, started.as_micros().to_string()),
    ]
}

/// What a log says of its execution; `None` if it is none.
fn read(Listed { name, head }: &Listed) -> Option<Kept> {
    let text = |key: &str| std::str::from_utf8(head.attributes.get(key)?).ok();
    let at = |seq| Position::new(head.epoch, seq);
    let (workflow, started_at, input) = match durable::made_at(&head.attributes) {
        Some(made) => (outside(), made, None),
        None => {
            let started = Timestamp::from_micros(text(STARTED)?.parse().ok()?);
            (WorkflowName::new(text(WORKFLOW)?).ok()?, started, Some(Fingerprint::parse(text(INPUT)?)?))
        }
    };
    // What an engine ran and did not end was interrupted; what a program outside speaks for goes on.
    let open = if input.is_some() { Status::Failed } else { Status::Running };
    let summary = ExecutionSummary {
        execution_id: name.execution()?,
        workflow,
        status: head.status.filter(|status| status.is_terminal()).unwrap_or(open),
        progress: BTreeMap::new(),
        started_at,
        first: at(head.trimmed),
        last: at(head.last),
        subscribers: 0,
        waiting: Vec::new(),
    };
    Some(Kept { summary, input })
}

impl Engine {
    /// Finds the executions of earlier processes in the store: those that have ended are listed again, and those that were
    /// running are ended with the status `failed`, code `interrupted`. To be called once, before anything is started. How many
    /// were interrupted.
    ///
    /// # Errors
    /// [`LogError::Store`].
    pub async fn recover(&self) -> Result<usize, LogError> {
        let (mut found, mut running, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = self.0.logs.list(LogName::EXECUTIONS, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            for listed in &page {
                let Some(kept) = read(listed) else { continue };
                if !listed.head.sealed && kept.input.is_some() {
                    running.push(listed.name.clone());
                }
                found.push(kept);
            }
        }
        let interrupted = running.len();
        let mut ending =
            stream::iter(running).map(|name| self.interrupt(name)).buffer_unordered(ENDED_AT_ONCE);
        let mut ends = HashMap::new();
        while let Some(ended) = ending.next().await {
            let (id, last) = ended?;
            ends.insert(id, last);
        }
        drop(ending);
        found.sort_by_key(|kept| kept.summary.started_at);
        let mut executions = self.0.executions();
        for mut kept in found {
            if let Some((status, last)) = ends.remove(&kept.summary.execution_id) {
                (kept.summary.status, kept.summary.last) = (status, last);
            }
            executions.insert(Known::Kept(Arc::new(kept)));
        }
        Ok(interrupted)
    }

    /// Ends an execution that an earlier process ran and did not end. How it ended, and where.
    async fn interrupt(&self, name: LogName) -> Result<(ExecutionId, (Status, Position)), LogError> {
        let gone = || LogError::Removed;
        let id = name.execution().ok_or_else(gone)?;
        let writer = self.0.logs.open(&name).await?.ok_or_else(gone)?;
        let status = writer.log().head().status.filter(|status| status.is_terminal());
        let (status, last) = match status {
            // It had said how it ended, and was stopped before its log was sealed.
            Some(status) => (status, writer.seal().await?),
            None => {
                tracing::warn!(execution = %id, "execution was interrupted by the end of its server");
                let failure = Failure {
                    code: "interrupted".into(),
                    message: "server stopped while the execution was running; start it again".into(),
                    node_id: None,
                };
                // What its models were called for was known to the process that is gone: not told is not free.
                let cost = Some(Box::new(Cost { incomplete: true, ..Cost::default() }));
                let failed = StatusUpdate { cost, ..StatusUpdate::failed(failure) };
                (Status::Failed, writer.finish(failed).await?)
            }
        };
        Ok((id, (status, writer.log().position(last))))
    }

    /// Ends an execution that a program outside speaks for.
    pub(super) async fn cancel_outside(
        &self,
        id: &ExecutionId,
        reason: Option<String>,
    ) -> Result<(), ControlError> {
        let unavailable = |error| {
            tracing::error!(execution = %id, %error, "execution could not be cancelled");
            ControlError::Unavailable
        };
        let writer = self.0.logs.open(id).await.map_err(unavailable)?;
        let writer = writer.ok_or_else(|| ControlError::UnknownExecution { id: id.clone() })?;
        let cancelled = StatusUpdate::cancelled(reason);
        match writer.finish(cancelled).await {
            // Its producer closed it, or somebody else was first.
            Ok(_) | Err(LogError::Sealed { .. }) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The execution with its log in memory.
    pub(super) async fn restore(&self, known: &Known) -> Result<Arc<Execution>, ControlError> {
        let id = known.id();
        // Only who made it speaks for it.
        let outside = || ControlError::Conflict { id: id.clone() };
        let kept = match known {
            Known::Here(execution) => return Ok(execution.clone()),
            Known::Kept(kept) => kept,
            Known::Outside(_) => return Err(outside()),
        };
        let input = kept.input.ok_or_else(outside)?;
        let opened = self.open_ended(id).await.map_err(|error| {
            tracing::error!(execution = %id, %error, "log could not be opened");
            ControlError::Unavailable
        })?;
        let (writer, ended) = opened.ok_or_else(|| ControlError::UnknownExecution { id: id.clone() })?;
        let execution = Execution::new(
            id.clone(),
            writer,
            kept.summary.workflow.clone(),
            input,
            kept.summary.started_at,
            self.0.options.clone(),
            self.0.logs.options().max_event_bytes,
        );
        let execution = Arc::new(execution.that_ended(ended));
        self.0.executions().insert(Known::Here(execution.clone()));
        Ok(execution)
    }

    /// Opens the log of an execution that has ended, and reads how.
    async fn open_ended(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<(streamnest_log::Writer, StatusUpdate)>, LogError> {
        let Some(writer) = self.0.logs.open(id).await? else { return Ok(None) };
        let log = writer.log();
        let before = log.head().last.get().saturating_sub(1);
        let before = log.position(streamnest_core::Seq::try_from(before).unwrap_or_default());
        let mut cursor = log.observer(Start::After(before));
        let mut ended = None;
        while let Some(read) = cursor.next_batch(ReadLimit::default()).await? {
            if let Read::Batch(batch) = read {
                ended =
                    batch.iter().rev().find_map(|entry| entry.event().as_status().ok().flatten()).or(ended);
            }
        }
        let damaged = || {
            let failure = Failure {
                code: "damaged".into(),
                message: "how the execution ended can no longer be read".into(),
                node_id: None,
            };
            StatusUpdate::failed(failure)
        };
        Ok(Some((writer, ended.unwrap_or_else(damaged))))
    }
}
