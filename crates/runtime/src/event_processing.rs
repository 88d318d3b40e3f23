//! Events of many executions: in batches, by type, chosen, changed, counted, and again from a position.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use streamnest_core::{EventType, ExecutionId, Timestamp, duration};
use streamnest_log::{Registry, Start};

use crate::{Batching, FilterCriteria, Group, Observable, StreamUpdate, ViewError, options::setters};

/// The bounds of an [`EventStreamProcessorService`].
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EventStreamProcessorOptions {
    /// Event types that one view tells apart. Default 256; a run has some twenty well-known ones and what its nodes name.
    pub max_types: usize,
    /// Events of each type that an aggregation keeps, the newest. Default 1,000.
    pub max_events: usize,
    /// How often counts and aggregations are told while they change. Default 1 s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
}

impl Default for EventStreamProcessorOptions {
    fn default() -> Self {
        Self { max_types: 256, max_events: 1_000, interval: Duration::from_secs(1) }
    }
}

setters! {
    EventStreamProcessorOptions {
        with_max_types max_types: usize,
        with_max_events max_events: usize,
        with_interval interval: Duration,
    }
}

impl EventStreamProcessorOptions {
    /// Checks that every bound leaves room to work.
    ///
    /// # Errors
    /// [`ViewError::Option`] names the first one that does not, and what would.
    pub fn validate(&self) -> Result<(), ViewError> {
        let option = |option, value: String, legal| Err(ViewError::Option { option, value, legal });
        match self {
            Self { max_types: 0, .. } => {
                option("EventStreamProcessorOptions::max_types", "0".into(), "at least 1")
            }
            Self { max_events: 0, .. } => {
                option("EventStreamProcessorOptions::max_events", "0".into(), "at least 1")
            }
            Self { interval, .. } if interval.is_zero() => {
                option("EventStreamProcessorOptions::interval", format!("{interval:?}"), "a time above zero")
            }
            _ => Ok(()),
        }
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
/// let events = EventStreamProcessorService::new(logs, Default::default())?;
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

impl EventCounts {
    fn add(&mut self, max_types: usize, update: &StreamUpdate) {
        self.total += 1;
        self.first = self.first.or(Some(update.timestamp()));
        self.last = self.last.max(Some(update.timestamp()));
        let room = self.by_type.len() < max_types;
        match self.by_type.get_mut(update.event_type()) {
            Some(count) => *count += 1,
            None if room => drop(self.by_type.insert(update.event_type().clone(), 1)),
            None => self.other += 1,
        }
    }
}

/// The events of one execution by their type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct AggregatedEvents {
    /// The newest of each type, in order.
    pub by_type: BTreeMap<EventType, VecDeque<StreamUpdate>>,
    /// How many older ones of these types are not kept any more.
    pub older: u64,
    /// How many there were of types that came when `by_type` had as many as it may.
    pub other: u64,
}

impl AggregatedEvents {
    fn add(&mut self, options: &EventStreamProcessorOptions, update: StreamUpdate) {
        if self.by_type.len() >= options.max_types && !self.by_type.contains_key(update.event_type()) {
            self.other += 1;
            return;
        }
        let of_type = self.by_type.entry(update.event_type().clone()).or_default();
        of_type.push_back(update);
        if of_type.len() > options.max_events {
            of_type.pop_front();
            self.older += 1;
        }
    }
}

impl EventStreamProcessorService {
    /// Processes what the executions in `logs` say.
    ///
    /// # Errors
    /// [`ViewError::Option`].
    pub fn new(logs: Registry, options: EventStreamProcessorOptions) -> Result<Self, ViewError> {
        options.validate()?;
        Ok(Self { logs, options })
    }

    /// Its bounds.
    pub const fn options(&self) -> &EventStreamProcessorOptions {
        &self.options
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
    /// [`max_types`](EventStreamProcessorOptions::max_types); the events of all types beyond are one group more, whose key is
    /// `None`.
    pub fn group_events_by_type(
        &self,
        events: impl Into<Observable<StreamUpdate>>,
    ) -> Observable<Group<Option<EventType>, StreamUpdate>> {
        let (max_types, mut known) = (self.options.max_types, HashSet::<EventType>::new());
        events.into().group_by(max_types.saturating_add(1), move |update| {
            let event_type = update.event_type();
            let told_apart =
                known.contains(event_type) || (known.len() < max_types && known.insert(event_type.clone()));
            told_apart.then(|| event_type.clone())
        })
    }

    /// The events of one execution among `events`, by their type, live: at once, then at most every
    /// [`interval`](EventStreamProcessorOptions::interval) while they change, and at the end. It keeps the newest
    /// [`max_events`](EventStreamProcessorOptions::max_events) of each of at most
    /// [`max_types`](EventStreamProcessorOptions::max_types) types, and counts the others.
    pub fn aggregate_by_execution(
        &self,
        execution: &ExecutionId,
        events: impl Into<Observable<StreamUpdate>>,
    ) -> Observable<AggregatedEvents> {
        let (options, criteria) =
            (self.options.clone(), FilterCriteria::all().with_executions([execution.clone()]));
        self.filter_events(events, criteria).tally(
            self.options.interval,
            AggregatedEvents::default(),
            move |sum, update| sum.add(&options, update),
        )
    }

    /// Figures of `events`, live: at once, then at most every [`interval`](EventStreamProcessorOptions::interval) while they
    /// change, and at the end.
    pub fn count_events(&self, events: impl Into<Observable<StreamUpdate>>) -> Observable<EventCounts> {
        let max_types = self.options.max_types;
        let add = move |sum: &mut EventCounts, update| sum.add(max_types, &update);
        events.into().tally(self.options.interval, EventCounts::default(), add)
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
