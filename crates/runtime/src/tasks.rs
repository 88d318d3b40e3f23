//! What a visit has begun and what ends with it: tasks, and visits within it.

use std::{
    future::{Future, poll_fn},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::task::{AbortHandle, JoinSet};

use crate::{NodeError, NodeResult, execution::live::Live, output::progress_tracker::Ending};

/// The tasks of a visit, and the visits within it.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<State>);

#[derive(Default)]
struct State {
    /// Made with the first task: most visits have none.
    set: Option<JoinSet<()>>,
    /// The visit is over: what is spawned now is aborted at once.
    over: bool,
    /// The visits that run within this one: those of a subgraph, or its items.
    within: Vec<Arc<Live>>,
}

impl Tasks {
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut state = self.lock();
        let over = state.over;
        let set = state.set.get_or_insert_default();
        if over {
            let handle = set.spawn(async {});
            handle.abort();
            return handle;
        }
        set.spawn(work)
    }

    /// Waits for the tasks of the visit of `node`, also those that tasks spawn.
    ///
    /// # Errors
    /// If one of them panicked.
    pub(crate) fn poll_join(&self, cx: &mut Context<'_>, node: &str) -> Poll<NodeResult<()>> {
        while let Some(joined) = ready!(self.poll_next(cx)) {
            if joined.is_err_and(|error| error.is_panic()) {
                let message = format!("a task of node `{node}` panicked");
                return Poll::Ready(Err(NodeError::coded("node_panicked", message)));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<(), tokio::task::JoinError>>> {
        match &mut self.lock().set {
            Some(set) => set.poll_join_next(cx),
            None => Poll::Ready(None),
        }
    }

    /// Ends the tasks and the visits within this one, and waits until they have ended.
    pub(crate) async fn abort(&self, ending: Ending) {
        let within = {
            let mut state = self.lock();
            state.over = true;
            state.set.iter_mut().for_each(JoinSet::abort_all);
            mem::take(&mut state.within)
        };
        while poll_fn(|cx| self.poll_next(cx)).await.is_some() {}
        for live in within {
            live.break_off(None, ending, "the node around it has ended").await;
        }
    }

    /// Counts visits among those that end with this one.
    pub(crate) fn adopt(&self, live: Arc<Live>) {
        self.lock().within.push(live);
    }

    /// Visits that were counted so have ended by themselves.
    pub(crate) fn disown(&self, live: &Arc<Live>) {
        self.lock().within.retain(|other| !Arc::ptr_eq(other, live));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
