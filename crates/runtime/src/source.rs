//! Where an execution gets the value whose methods are its nodes.

use std::sync::Arc;

use streamnest_core::ExecutionId;
use streamnest_modules::{Error, Lease, Scoped};

/// Where an execution gets the value whose methods are its nodes: one for all, or one of its own.
pub(crate) enum Source<W> {
    Shared(Arc<W>),
    Scoped(Scoped<W>),
}

/// The value that one execution got.
pub(crate) enum Opened<W> {
    Shared(Arc<W>),
    Leased(Lease<W>),
}

impl<W: Send + Sync + 'static> Source<W> {
    /// The value for one execution.
    pub(crate) async fn open(&self, execution: &ExecutionId) -> Result<Opened<W>, Error> {
        match self {
            Self::Shared(workflow) => Ok(Opened::Shared(workflow.clone())),
            // It would be part of every run.
            Self::Scoped(scoped) => Box::pin(scoped.open(execution)).await.map(Opened::Leased),
        }
    }
}

impl<W: Send + Sync + 'static> Opened<W> {
    pub(crate) fn value(&self) -> Arc<W> {
        match self {
            Self::Shared(workflow) => workflow.clone(),
            Self::Leased(lease) => lease.value(),
        }
    }

    /// Runs the shutdown hooks of what was made for the execution.
    pub(crate) async fn close(self) {
        if let Self::Leased(lease) = self {
            Box::pin(lease.close()).await;
        }
    }
}

impl<W> Clone for Source<W> {
    fn clone(&self) -> Self {
        match self {
            Self::Shared(workflow) => Self::Shared(workflow.clone()),
            Self::Scoped(scoped) => Self::Scoped(scoped.clone()),
        }
    }
}
