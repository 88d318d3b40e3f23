//! Views over what executions say, as observables and as streams.

mod blocking;
mod chain;
mod criteria;
mod delivery;
mod error;
mod feed;
mod group;
mod items;
mod operators;
mod pump;
mod stage;
mod subscription;
mod tally;
mod update;

use std::{fmt, sync::Arc, time::Duration};

use futures_core::Stream;
use futures_util::StreamExt as _;
use streamnest_core::ExecutionId;
use streamnest_log::{FanInScope, Registry, Start};

use self::{
    chain::{Assembly, Rx},
    feed::{FanInFeed, ListFeed, LogFeed, Opening, StoredFeed, StreamFeed},
};
pub use self::{
    criteria::FilterCriteria,
    error::{Missed, ViewError},
    group::Group,
    items::Items,
    subscription::{Subscriber, Subscription},
    update::StreamUpdate,
};

/// A view: items that come in order, for whoever subscribes.
///
/// An observable does nothing by itself. Each subscription begins one reader of the log, one task, and one private chain
/// of the operators that were put behind it (they are [rxrust](https://docs.rs/rxrust)'s; no type of it shows here), so
/// that subscribers share nothing: one that panics, blocks or is dropped is felt by nobody else. The task pulls a batch
/// only when the chain has taken the one before, so a slow subscriber costs no memory; it lags, and reads on later.
///
/// The same view is a [`Stream`] by [`items`](Self::items), without a task.
///
/// ```
/// use streamnest_runtime::Observable;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), streamnest_runtime::ViewError> {
/// let lengths = Observable::from_items(["a", "log", "is", "enough"]).map(str::len).filter(|length| *length > 1);
/// let (said, mut heard) = tokio::sync::mpsc::channel(8);
/// lengths.subscribe(move |length| said.try_send(length).expect("there is room")).ended().await?;
/// assert_eq!(heard.recv().await, Some(3));
/// # Ok(())
/// # }
/// ```
///
/// # Ordering
/// Items of one execution come in the order of its log, each once. Between the executions of a view over many nothing is
/// promised.
///
/// # Ends
/// A view ends when its source does; operators that hold items let go of them then, also when the source broke. How it
/// ended is told by [`Subscription::ended`].
pub struct Observable<T> {
    assemble: Arc<Assemble<T>>,
}

/// Puts the chain of one subscription together.
type Assemble<T> = dyn Fn(&mut Assembly) -> Rx<T> + Send + Sync;

impl<T> Clone for Observable<T> {
    fn clone(&self) -> Self {
        Self { assemble: self.assemble.clone() }
    }
}

/// When a batch is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Batching {
    /// As soon as it holds this many items. Default 100. Zero counts as one.
    pub max_items: usize,
    /// Once nothing has come for this long. Default never.
    pub debounce: Option<Duration>,
    /// Once its first item has waited this long. Default never.
    pub max_wait: Option<Duration>,
}

impl Default for Batching {
    fn default() -> Self {
        Self { max_items: 100, debounce: None, max_wait: None }
    }
}

impl Batching {
    /// Sets [`max_items`](Self::max_items).
    #[must_use]
    pub fn with_max_items(self, max_items: usize) -> Self {
        Self { max_items, ..self }
    }

    /// Sets [`debounce`](Self::debounce).
    #[must_use]
    pub fn with_debounce(self, debounce: Duration) -> Self {
        Self { debounce: Some(debounce), ..self }
    }

    /// Sets [`max_wait`](Self::max_wait).
    #[must_use]
    pub fn with_max_wait(self, max_wait: Duration) -> Self {
        Self { max_wait: Some(max_wait), ..self }
    }
}

impl Observable<StreamUpdate> {
    /// What one execution says that `criteria` take, from `start` on, live or late. It ends with the execution.
    ///
    /// It watches and does not count as a subscriber, so an execution with `on_disconnect = "cancel"` is not kept running
    /// by it.
    ///
    /// # Errors
    /// [`ViewError::UnknownExecution`]. If the logs outlive this process, only the store may know, and then the view ends with
    /// that error.
    pub fn of_execution(
        logs: &Registry,
        execution: &ExecutionId,
        start: Start,
        criteria: FilterCriteria,
    ) -> Result<Self, ViewError> {
        let id = execution.clone();
        if let Some(writer) = logs.writer(execution) {
            return Ok(Self::new(move |assembly| {
                assembly.writers.push(writer.clone());
                assembly.inlet(LogFeed::new(writer.log(), start, &criteria))
            }));
        }
        if !logs.is_persistent() {
            return Err(ViewError::UnknownExecution { id });
        }
        let logs = logs.clone();
        Ok(Self::new(move |assembly| {
            let (logs, wanted) = (logs.clone(), id.clone());
            let opening = Opening::Under(Box::pin(async move { logs.open(&wanted).await }));
            let (id, criteria) = (id.clone(), criteria.clone());
            assembly.inlet(StoredFeed { id, start, criteria, log: opening })
        }))
    }

    /// What all executions say that `criteria` take, from now on. It never ends, and follows at most
    /// [`LogOptions::max_fan_in`](streamnest_log::LogOptions::max_fan_in) executions at once; what it had to leave out
    /// is told as [`Missed`].
    pub fn of_all(logs: &Registry, criteria: FilterCriteria) -> Self {
        let logs = logs.clone();
        Self::new(move |assembly| {
            let scope = criteria.executions.clone().map_or(FanInScope::All, FanInScope::Executions);
            let cursor = logs.fan_in(criteria.filter(), scope);
            assembly.inlet(FanInFeed { cursor, criteria: criteria.clone() })
        })
    }
}

impl<T: Clone + Send + 'static> Observable<T> {
    /// Items that are there already.
    pub fn from_items(items: impl IntoIterator<Item = T>) -> Self
    where
        T: Sync,
    {
        let items: Arc<[T]> = items.into_iter().collect();
        Self::new(move |assembly| assembly.inlet(ListFeed { items: items.clone(), next: 0 }))
    }

    /// What a stream yields; each subscription has one of its own.
    pub fn from_stream<S>(stream: impl Fn() -> S + Send + Sync + 'static) -> Self
    where
        S: Stream<Item = T> + Send + 'static,
    {
        Self::new(move |assembly| assembly.inlet(StreamFeed(Box::pin(stream().fuse()))))
    }
}

impl<T: Send + 'static> Observable<T> {
    fn new(assemble: impl Fn(&mut Assembly) -> Rx<T> + Send + Sync + 'static) -> Self {
        Self { assemble: Arc::new(assemble) }
    }

    /// Calls `on_next` with each item, until the view ends or the subscription is dropped.
    ///
    /// The calls come one after the other, from one task. A call that blocks its thread for long is moved to a thread
    /// for blocking work; see [`Subscriber`] for that, for panics, and for what else may be heard.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn subscribe(&self, on_next: impl FnMut(T) + Send + 'static) -> Subscription {
        self.subscribe_with(Subscriber::new(on_next))
    }

    /// As [`subscribe`](Self::subscribe), with all that a subscriber may say about itself.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn subscribe_with(&self, subscriber: Subscriber<T>) -> Subscription {
        subscription::begin(self, subscriber)
    }

    /// The same view as a stream. It has no task: whoever polls it drives it.
    pub fn items(&self) -> Items<T> {
        Items::new(self)
    }
}

/// A list is a view that ends.
impl<T: Clone + Send + Sync + 'static> From<Vec<T>> for Observable<T> {
    fn from(items: Vec<T>) -> Self {
        Self::from_items(items)
    }
}

impl<T> fmt::Debug for Observable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observable").finish_non_exhaustive()
    }
}
