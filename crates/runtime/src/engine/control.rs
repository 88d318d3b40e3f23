//! The engine as the gateway sees it.

use streamnest_core::{
    BoxFuture, ControlError, Cost, ExecutionControl, ExecutionId, ExecutionPage, ExecutionSummary, Position,
    Seq, Signal, Signalled, StartExecution, Started, Status, WorkflowSummary,
};

use super::{Engine, known::Known};
use crate::execution::Execution;

/// All but the open questions.
pub(super) fn summarize(execution: &Execution) -> ExecutionSummary {
    let log = execution.writer().log();
    let head = log.head();
    ExecutionSummary {
        execution_id: execution.id().clone(),
        workflow: execution.workflow.clone(),
        status: match execution.ended() {
            // A run whose end could not be written has ended all the same.
            Some(ended) => ended.status,
            None if execution.asks.is_waiting() => Status::Paused,
            None => head.status.filter(|status| status.is_terminal()).unwrap_or(Status::Running),
        },
        progress: execution.progress(),
        started_at: execution.started_at,
        first: log.position(head.trimmed),
        last: log.position(head.last),
        subscribers: log.subscribers(),
        waiting: Vec::new(),
    }
}

impl ExecutionControl for Engine {
    fn workflows(&self) -> Vec<WorkflowSummary> {
        self.workflows().map(|(_, workflow)| workflow.summary()).collect()
    }

    fn workflow(&self, name: &str) -> Result<WorkflowSummary, ControlError> {
        self.find_workflow(name).map(|workflow| workflow.summary())
    }

    fn start_as(
        &self,
        request: StartExecution,
        owner: Option<String>,
    ) -> BoxFuture<'_, Result<Started, ControlError>> {
        Box::pin(async move {
            let (execution, attached) = self.start_or_attach(request, owner).await?;
            let position: Position = execution.writer().log().position(Seq::BEFORE_FIRST);
            Ok(Started { execution_id: execution.id().clone(), position, attached })
        })
    }

    fn cancel<'a>(
        &'a self,
        id: &'a ExecutionId,
        reason: Option<String>,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            match self.find(id)? {
                known if known.has_ended() => Ok(()),
                Known::Here(execution) => {
                    execution.cancel(reason);
                    execution.end().await;
                    Ok(())
                }
                Known::Outside(_) | Known::Kept(_) => self.cancel_outside(id, reason).await,
            }
        })
    }

    fn signal<'a>(
        &'a self,
        id: &'a ExecutionId,
        signal: Signal,
    ) -> BoxFuture<'a, Result<Signalled, ControlError>> {
        Box::pin(async move {
            let known = self.find(id)?;
            if known.is_outside() {
                let open = "it waits for no answer".into();
                return Err(ControlError::UnknownAsk { id: id.clone(), ask: signal.ask, open });
            }
            let execution = self.restore(&known).await?;
            execution.asks.answer(&execution, signal).await
        })
    }

    fn delete<'a>(&'a self, id: &'a ExecutionId) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let known = self.find(id)?;
            if !known.has_told_end() {
                return Err(ControlError::StillRunning { id: id.clone() });
            }
            if let Known::Here(execution) = &known {
                // Whoever has read the terminal entry may be here before the run's own task hears that it is written.
                execution.end().await;
            }
            self.0.logs.remove(id).await.map_err(|error| {
                tracing::error!(execution = %id, %error, "log could not be removed");
                ControlError::Unavailable
            })
        })
    }

    fn execution(&self, id: &ExecutionId) -> Result<ExecutionSummary, ControlError> {
        let known = self.find(id)?;
        let waiting = match &known {
            Known::Here(execution) => execution.asks.waiting(),
            Known::Outside(_) | Known::Kept(_) => Vec::new(),
        };
        Ok(ExecutionSummary { waiting, ..known.summary() })
    }

    fn cost<'a>(&'a self, id: &'a ExecutionId) -> BoxFuture<'a, Result<Cost, ControlError>> {
        Box::pin(async move {
            let known = self.find(id)?;
            match known.is_outside() {
                true => Ok(Cost::default()),
                false => Ok(self.restore(&known).await?.cost()),
            }
        })
    }

    fn executions(&self, limit: usize, after: Option<&ExecutionId>) -> ExecutionPage {
        let executions = self.0.executions();
        let before = match after.map(|id| executions.by_id.get(id)) {
            None => u64::MAX,
            Some(Some((age, _))) => *age,
            // The last one that was listed is evicted, and with it what ended before it.
            Some(None) => return ExecutionPage { executions: Vec::new(), next: None },
        };
        let mut older = executions.by_age.range(..before).rev().map(|(_, id)| id);
        let page: Vec<_> = older.by_ref().take(limit).filter_map(|id| executions.get(id)).collect();
        let next = older.next().and_then(|_| page.last()).map(|known| known.id().clone());
        ExecutionPage { executions: page.into_iter().map(Known::summary).collect(), next }
    }
}
