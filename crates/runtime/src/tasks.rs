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
    /// One that has ended panicked, which the visit is to hear.
    panicked: bool,
    /// The visit is over: what is spawned now is aborted at once.
    over: bool,
    /// The visits that run within this one: those of a subgraph, or its items.
    within: Vec<Arc<Live>>,
}

impl Tasks {
    /// Runs `work` beside fewer than `limit` other tasks, and says whether there were fewer. Otherwise, and when the visit is
    /// over, the handle is of a task that does nothing.
    pub(crate) fn spawn(
        &self,
        limit: usize,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> (AbortHandle, bool) {
        let mut state = self.lock();
        let State { set, panicked, over, .. } = &mut *state;
        let set = set.get_or_insert_default();
        // The visit looks at them only when its body has returned; those that have ended need no room until then.
        while let Some(joined) = set.try_join_next() {
            *panicked |= joined.is_err_and(|error| error.is_panic());
        }
        let fits = *over || set.len() < limit;
        if *over || !fits {
            let handle = set.spawn(async {});
            handle.abort();
            return (handle, fits);
        }
        (set.spawn(work), true)
    }

    /// Waits for the tasks of the visit of `node`, also those that tasks spawn.
    ///
    /// # Errors
    /// If one of them panicked.
    pub(crate) fn poll_join(&self, cx: &mut Context<'_>, node: &str) -> Poll<NodeResult<()>> {
        while let Some(panicked) = ready!(self.poll_next(cx)) {
            if panicked {
                let message = format!("a task of node `{node}` panicked");
                return Poll::Ready(Err(NodeError::coded("node_panicked", message)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the next task that has ended: whether it panicked. `None` when there is none.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<bool>> {
        let mut state = self.lock();
        if mem::take(&mut state.panicked) {
            return Poll::Ready(Some(true));
        }
        let Some(set) = &mut state.set else { return Poll::Ready(None) };
        set.poll_join_next(cx).map(|joined| joined.map(|joined| joined.is_err_and(|error| error.is_panic())))
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
