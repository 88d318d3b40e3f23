//! Events of many executions: in batches, by type, chosen, changed, counted, and again from a position.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use streamnest_core::{EventType, ExecutionId, Timestamp};
use streamnest_log::{Registry, Start};

use crate::{Batching, FilterCriteria, Group, Observable, StreamUpdate, ViewError, options::setters};

/// The bounds of an [`EventStreamProcessorService`].
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EventStreamProcessorOptions {
    /// Event types that one view tells apart. Default 256; a run has some twenty well-known ones and what its nodes name.
    pub max_types: usize,
}

impl Default for EventStreamProcessorOptions {
    fn default() -> Self {
        Self { max_types: 256 }
    }
}

setters! {
    EventStreamProcessorOptions {
        with_max_types max_types: usize,
    }
}

/// Processes what executions say. A cheap handle.
///
/// Everything here works on a list and on a live view alike: what takes events takes an [`Observable`], and a `Vec` is one
/// that ends. Nothing is lost, and nothing grows without a bound: a view is pulled, and who does not pull lags.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use streamnest_core::{EventType, ExecutionId};
/// # use streamnest_log::{Registry, Start};
/// # use streamnest_runtime::{EventStreamProcessorService, FilterCriteria, ViewError};
/// # fn example(logs: Registry, run: ExecutionId) -> Result<(), ViewError> {
/// let events = EventStreamProcessorService::new(logs, Default::default());
/// let tools = FilterCriteria::all().with_types([EventType::TOOL_START, EventType::TOOL_COMPLETE]);
/// let live = events.filter_events(events.live(FilterCriteria::all()), tools);
/// let batches = events.process_batch(live, 50, Duration::from_millis(100));
/// let again = events.replay(&run, Start::Beginning)?;
/// # drop((batches, again));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventStreamProcessorService {
    logs: Registry,
    options: EventStreamProcessorOptions,
}

/// What events there were, in figures.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EventCounts {
    /// All of them.
    pub total: u64,
    /// How many there were of each type.
    pub by_type: BTreeMap<EventType, u64>,
    /// How many there were of types that came when `by_type` had as many as it may.
    pub other: u64,
    /// When the first one was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// When the last one was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

impl EventStreamProcessorService {
    /// Processes what the executions in `logs` say.
    pub const fn new(logs: Registry, options: EventStreamProcessorOptions) -> Self {
        Self { logs, options }
    }

    /// What all executions say that `criteria` take, from now on. It never ends.
    pub fn live(&self, criteria: FilterCriteria) -> Observable<StreamUpdate> {
        Observable::of_all(&self.logs, criteria)
    }

    /// What one execution said and says, from a position on; it ends with the execution.
    ///
    /// # Errors
    /// [`ViewError::UnknownExecution`].
    pub fn replay(
        &self,
        execution: &ExecutionId,
        from: Start,
    ) -> Result<Observable<StreamUpdate>, ViewError> {
        Observable::of_execution(&self.logs, execution, from, FilterCriteria::all())
    }

    /// Events in batches of at most `batch_size`; one that is not full goes on when nothing has come for `debounce`, and at
    /// the end.
    pub fn process_batch(
        &self,
        events: impl Into<Observable<StreamUpdate>>,
        batch_size: usize,
        debounce: Duration,
    ) -> Observable<Vec<StreamUpdate>> {
        events.into().batches(Batching::default().with_max_items(batch_size).with_debounce(debounce))
    }

    /// Events by their type: a group for each, when its first event comes. There are at most
    /// [`max_types`](EventStreamProcessorOptions::max_types); one more ends the view with [`ViewError::TooManyGroups`].
    pub fn group_events_by_type(
        &self,
        events: impl Into<Observable<StreamUpdate>>,
    ) -> Observable<Group<EventType, StreamUpdate>> {
        events.into().group_by(self.options.max_types, |update| update.event_type().clone())
    }

    /// The events of one execution among `events`, by their type, each list in order.
    pub fn aggregate_by_execution(
        &self,
        execution: &ExecutionId,
        events: impl IntoIterator<Item = StreamUpdate>,
    ) -> BTreeMap<EventType, Vec<StreamUpdate>> {
        let mut by_type = BTreeMap::<_, Vec<_>>::new();
        for update in events.into_iter().filter(|update| update.execution_id() == execution) {
            by_type.entry(update.event_type().clone()).or_default().push(update);
        }
        by_type
    }

    /// Figures of `events`, live: after each of them what there was so far. Put
    /// [`sample`](Observable::sample) behind it for a display.
    pub fn count_events(&self, events: impl Into<Observable<StreamUpdate>>) -> Observable<EventCounts> {
        let max_types = self.options.max_types;
        events.into().scan(EventCounts::default(), move |mut counts, update| {
            counts.total += 1;
            counts.first = counts.first.or(Some(update.timestamp()));
            counts.last = counts.last.max(Some(update.timestamp()));
            let room = counts.by_type.len() < max_types;
            match counts.by_type.get_mut(update.event_type()) {
                Some(count) => *count += 1,
                None if room => drop(counts.by_type.insert(update.event_type().clone(), 1)),
                None => counts.other += 1,
            }
            counts
        })
    }

    /// The events that `criteria` take.
    pub fn filter_events(
        &self,
        events: impl Into<Observable<StreamUpdate>>,
        criteria: FilterCriteria,
    ) -> Observable<StreamUpdate> {
        events.into().filter(move |update| criteria.matches(update))
    }

    /// What `transformer` makes of each event.
    pub fn transform_events<T: Send + 'static>(
        &self,
        events: impl Into<Observable<StreamUpdate>>,
        transformer: impl FnMut(StreamUpdate) -> T + Clone + Send + Sync + 'static,
    ) -> Observable<T> {
        events.into().map(transformer)
    }
}

impl fmt::Debug for EventStreamProcessorService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStreamProcessorService").field("options", &self.options).finish_non_exhaustive()
    }
}
