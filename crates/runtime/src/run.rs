//! An execution as the program that started it sees it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use serde_json::Value;
use streamnest_core::{
    Approval, ControlError, Entry, ExecutionId, Signal, Signalled, Status, payload::Failure,
};
use streamnest_log::{Cursor, EventLog, Gap, Read, ReadLimit, Start};

use crate::execution::Execution;

/// A handle of an execution. Dropping it changes nothing: a run goes on without viewers.
#[derive(Clone)]
pub struct Run(Arc<Execution>);

/// Why a run has no result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It failed.
    #[error("execution failed ({}): {}", failure.code, failure.message)]
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It was cancelled.
    #[error("execution was cancelled{}", reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Cancelled {
        /// Why, in the words of who did it.
        reason: Option<String>,
    },
}

impl RunError {
    /// A stable identifier: the failure's own, or `cancelled`.
    pub fn code(&self) -> &str {
        match self {
            Self::Failed { failure } => &failure.code,
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

impl Run {
    pub(crate) const fn new(execution: Arc<Execution>) -> Self {
        Self(execution)
    }

    /// Its id.
    pub fn execution_id(&self) -> &ExecutionId {
        self.0.id()
    }

    /// Its log.
    pub fn log(&self) -> &Arc<EventLog> {
        self.0.writer().log()
    }

    /// Everything that it says, from the start to the terminal status, live or late.
    pub fn events(&self) -> Events {
        self.events_from(Start::Beginning)
    }

    /// Everything that it says from a point on.
    pub fn events_from(&self, from: Start) -> Events {
        Events { cursor: self.log().cursor(from), batch: Vec::new().into_iter() }
    }

    /// Its state now, as JSON: with the changes of all visits that have completed, and of no other. When it has ended, its
    /// result; `None` if it has none.
    ///
    /// # Errors
    /// If the state cannot be written as JSON.
    pub fn snapshot(&self) -> Result<Option<Value>, serde_json::Error> {
        self.0.snapshot()
    }

    /// Waits for its end and returns the final state as JSON.
    ///
    /// # Errors
    /// [`RunError::Failed`], [`RunError::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn result(&self) -> Result<Value, RunError> {
        let status = self.0.end().await.clone();
        match (status.status, status.error) {
            (Status::Cancelled, _) => Err(RunError::Cancelled { reason: status.reason }),
            (_, Some(failure)) => Err(RunError::Failed { failure }),
            _ => Ok(status.result.unwrap_or_default()),
        }
    }

    /// The questions that wait for an answer, oldest first.
    pub fn waiting(&self) -> Vec<Approval> {
        self.0.asks.waiting()
    }

    /// Answers a question. When this returns, the answer stands in the log, and the node that asked goes on with it.
    ///
    /// # Errors
    /// As [`ExecutionControl::signal`](streamnest_core::ExecutionControl::signal).
    pub async fn signal(&self, signal: Signal) -> Result<Signalled, ControlError> {
        self.0.asks.answer(&self.0, signal).await
    }

    /// Stops it, and waits until it has. Its log ends with `cancelled`, unless it ended before.
    pub async fn cancel(&self, reason: &str) {
        self.0.cancel(Some(reason.into()));
        self.0.end().await;
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("execution", self.execution_id()).finish_non_exhaustive()
    }
}

/// Everything that an execution says, entry by entry. It ends after the terminal status.
#[derive(Debug)]
pub struct Events {
    cursor: Cursor,
    batch: std::vec::IntoIter<Arc<Entry>>,
}

/// Why an execution's events cannot be told without a hole.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventsError {
    /// Entries are no longer kept; the stream goes on after them.
    #[error("entries {} to {} are no longer kept", .0.from, .0.to)]
    Missed(Gap),
    /// The log cannot be read; the stream ends.
    #[error(transparent)]
    Log(#[from] streamnest_log::Error),
}

impl Stream for Events {
    type Item = Result<Arc<Entry>, EventsError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(entry) = self.batch.next() {
                return Poll::Ready(Some(Ok(entry)));
            }
            match ready!(self.cursor.poll_next_batch(cx, ReadLimit::default())) {
                Ok(None) => return Poll::Ready(None),
                Ok(Some(Read::Batch(batch))) => self.batch = batch.into_iter(),
                Ok(Some(Read::Gap(gap))) => return Poll::Ready(Some(Err(EventsError::Missed(gap)))),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}
