//! An execution that has token streams.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::json;
use streamnest_core::{
    NodeName,
    payload::{Failure, StatusUpdate},
};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{TokenStream, TokenStreamingError};
use crate::{execution::Execution, plan::NodePlan};

/// An execution that has token streams.
pub(super) struct Host {
    execution: Arc<Execution>,
    /// Whether this service opened it, and so has to end it.
    owned: bool,
    state: Mutex<State>,
    /// Told when a stream was opened or has closed.
    changed: Notify,
    /// Asked to end.
    ending: CancellationToken,
}

#[derive(Default)]
struct State {
    streams: HashMap<NodeName, TokenStream>,
    /// Streams that have closed, and the tokens that they were given.
    closed: u64,
    tokens: u64,
    /// Why it ends as failed once no stream is open.
    failure: Option<Failure>,
    /// It takes no more streams.
    over: bool,
}

impl Host {
    pub(super) fn new(execution: Arc<Execution>, owned: bool) -> Self {
        let (state, changed) = (Mutex::default(), Notify::new());
        Self { execution, owned, state, changed, ending: CancellationToken::new() }
    }

    pub(super) const fn execution(&self) -> &Arc<Execution> {
        &self.execution
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the stream that `make` makes for the visit it is given; `None` if the execution takes none any more.
    pub(super) fn open(
        &self,
        plan: &NodePlan,
        max_nodes: usize,
        make: impl FnOnce(u32) -> TokenStream,
    ) -> Result<Option<TokenStream>, TokenStreamingError> {
        let mut state = self.lock();
        if state.over {
            return Ok(None);
        }
        if state.streams.contains_key(&plan.name) {
            let (execution, node) = (self.execution.id().clone(), plan.name.clone());
            return Err(TokenStreamingError::AlreadyOpen { execution, node });
        }
        let Some(visit) = self.execution.next_streamed(&plan.name, max_nodes) else {
            let execution = self.execution.id().clone();
            return Err(TokenStreamingError::TooManyNodes { execution, limit: max_nodes });
        };
        let stream = make(visit);
        state.streams.insert(plan.name.clone(), stream.clone());
        self.changed.notify_waiters();
        Ok(Some(stream))
    }

    pub(super) fn stream(&self, node: &str) -> Option<TokenStream> {
        self.lock().streams.get(node).cloned()
    }

    pub(super) fn streams(&self) -> Vec<TokenStream> {
        self.lock().streams.values().cloned().collect()
    }

    /// A stream has closed; whether nothing more needs to be known of this execution.
    pub(super) fn close(&self, stream: &TokenStream, broken: Option<TokenStreamingError>) -> bool {
        let mut state = self.lock();
        state.streams.remove(stream.node_id());
        state.closed += 1;
        state.tokens += stream.tokens();
        if let Some(error) = broken {
            let (code, message) = (error.code().into(), public_message(&error));
            let node_id = Some(stream.node_id().to_string());
            state.failure.get_or_insert(Failure { code, message, node_id });
        }
        self.changed.notify_waiters();
        let done = !self.owned && state.streams.is_empty();
        state.over |= done;
        done
    }

    /// A stream was refused; whether nothing needs to be known of this execution. Then it takes no more streams.
    pub(super) fn give_up_unused(&self) -> bool {
        let mut state = self.lock();
        let unused = !self.owned && state.streams.is_empty();
        state.over |= unused;
        unused
    }

    /// Closes all streams, and ends the execution if it is owned.
    pub(super) async fn finish(&self) {
        if self.owned {
            self.ending.cancel();
            self.execution.end().await;
        } else {
            self.close_all().await;
        }
    }

    /// Waits until somebody else may know the execution anew: at once if that is possible, else when it has ended.
    pub(super) async fn given_up(&self) {
        if self.owned {
            self.execution.end().await;
        }
    }

    async fn close_all(&self) {
        for stream in self.streams() {
            stream.close().await;
        }
    }

    /// Waits for the end of an owned execution, and writes it.
    pub(super) async fn run(&self, stale_after: Duration) {
        let cancelled = tokio::select! {
            biased;
            () = self.execution.cancelled() => true,
            () = self.ending.cancelled() => false,
            () = self.abandoned(stale_after) => false,
        };
        self.lock().over = true;
        self.close_all().await;
        let status = {
            let state = self.lock();
            match &state.failure {
                _ if cancelled => StatusUpdate::cancelled(self.execution.cancel_reason()),
                Some(failure) => StatusUpdate::failed(failure.clone()),
                None => StatusUpdate::completed(json!({"streams": state.closed, "tokens": state.tokens})),
            }
        };
        self.execution.finish(Vec::new(), status).await;
    }

    /// Waits until no stream is open and either one of them broke or none has been opened for `stale_after`.
    async fn abandoned(&self, stale_after: Duration) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (open, failed) = {
                let state = self.lock();
                (!state.streams.is_empty(), state.failure.is_some())
            };
            if open {
                changed.await;
            } else if failed || timeout(stale_after, changed).await.is_err() {
                return;
            }
        }
    }
}

/// What a client may be told.
fn public_message(error: &TokenStreamingError) -> String {
    match error {
        TokenStreamingError::Stale { node, .. } => format!("token stream of node `{node}` fell silent"),
        TokenStreamingError::TooManyMessages { .. } => error.to_string(),
        TokenStreamingError::ProcessorPanicked { node } => {
            format!("token stream of node `{node}` broke off; the server's trace of this execution says why")
        }
        _ => "the execution's log takes no more entries".into(),
    }
}
