//! Executions that no workflow runs.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use streamnest_core::{ControlError, Event, ExecutionId, WorkflowName, payload::StatusUpdate};
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use super::{Beginning, Engine};
use crate::{EngineOptions, execution::Execution, fingerprint::Fingerprint};

/// An execution that was asked for by its id.
pub(crate) enum Opened {
    /// It was made for the caller, who has to end it.
    New(Arc<Execution>),
    /// It was there, and somebody else ends it.
    Found(Arc<Execution>),
}

impl Engine {
    /// Its bounds and defaults.
    pub fn options(&self) -> &EngineOptions {
        &self.0.options
    }

    /// Finds the execution of `id`, or makes one under the name `workflow` that runs no nodes. It is listed, cancelled and
    /// deleted like any other.
    pub(crate) async fn open(
        &self,
        id: &ExecutionId,
        workflow: WorkflowName,
    ) -> Result<Opened, ControlError> {
        if self.0.draining.load(Ordering::Acquire) {
            return Err(ControlError::Draining);
        }
        let starting = match self.begin_start(id).await {
            Beginning::Free(starting) => starting,
            Beginning::Taken(known) => return Ok(Opened::Found(self.restore(&known).await?)),
        };
        let input = Fingerprint::of("null");
        let execution = self.make(id, workflow, input, None).await?;
        drop(starting);
        // A new log has room. From here on nothing is awaited, so that whoever asked cannot leave it without an owner.
        let mut first = vec![Event::status(&StatusUpdate::running())];
        if let Err(error) = execution.writer().try_append(&mut first) {
            tracing::error!(execution = %id, %error, "log took no first entry");
        }
        tracing::info!(execution = %id, workflow = %execution.workflow, "execution opened");
        Ok(Opened::New(execution))
    }

    /// Runs work that belongs to an execution. A drain waits for it.
    pub(crate) fn spawn(
        &self,
        execution: &Execution,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let span = execution.span();
        // A span that nobody records is memory that each token would touch.
        match span.is_disabled() {
            true => self.0.tasks.spawn(work),
            false => self.0.tasks.spawn(work.instrument(span)),
        }
        .abort_handle()
    }
}
