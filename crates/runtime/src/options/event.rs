//! `#[stream_event]`.

use streamnest_core::{Delivery, Event, EventType, Priority};

use super::setters;

/// Which events a node emits, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventOptions {
    /// Whether the node emits events at all. Default true.
    pub enabled: bool,
    /// The types it emits. [`EventType::EVENTS`] stands for the lifecycle, tool, model, warning and custom ones,
    /// [`EventType::CUSTOM`] for every type of the user's own. [`EventType::TOKEN`] and [`EventType::PROGRESS`] switch
    /// those streams on with their defaults. Default values, updates and events.
    pub events: Vec<EventType>,
    /// Events that a node emits without pausing wait together, at most this many, until it pauses. Default 100.
    pub buffer_size: usize,
    /// At most this many events go into the log in one append. Default 10.
    pub batch_size: usize,
    /// Maps each event that the filter lets pass. Default none.
    pub transformer: Option<fn(Event) -> Event>,
    /// Which of them get into the log. Default all but debug ones.
    pub filter: EventFilter,
    /// What a reader may rely on. Default at least once.
    ///
    /// At most once: a reader that lags too far may be moved past them. At least once: nobody is, and emitting waits for
    /// nothing but room. Exactly once: besides, `ctx.emit` returns only when the event is durable, so that a node acts
    /// after it on nothing that could still be lost; each such call is an append of its own and waits for the store.
    pub delivery: Delivery,
}

impl Default for EventOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            events: vec![EventType::VALUES, EventType::UPDATES, EventType::EVENTS],
            buffer_size: 100,
            batch_size: 10,
            transformer: None,
            filter: EventFilter::default(),
            delivery: Delivery::default(),
        }
    }
}

impl EventOptions {
    /// What a node without the attribute emits: updates and events.
    pub(crate) fn unannotated() -> Self {
        Self { events: vec![EventType::UPDATES, EventType::EVENTS], ..Self::default() }
    }

    /// Sets [`transformer`](Self::transformer).
    #[must_use]
    pub fn with_transformer(self, transformer: fn(Event) -> Event) -> Self {
        Self { transformer: Some(transformer), ..self }
    }
}

setters! {
    EventOptions {
        with_enabled enabled: bool,
        with_events events: Vec<EventType>,
        with_buffer_size buffer_size: usize,
        with_batch_size batch_size: usize,
        with_filter filter: EventFilter,
        with_delivery delivery: Delivery,
    }
}

/// Which of a node's events get into the log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct EventFilter {
    /// Only these types; empty takes all.
    pub event_types: Vec<EventType>,
    /// Not these types.
    pub exclude_types: Vec<EventType>,
    /// Only events that matter at least this much. `None` takes all.
    pub min_priority: Option<Priority>,
    /// Whether debug events are among them. Default false.
    pub include_debug: bool,
}

setters! {
    EventFilter {
        with_event_types event_types: Vec<EventType>,
        with_exclude_types exclude_types: Vec<EventType>,
        with_include_debug include_debug: bool,
    }
}

impl EventFilter {
    /// Sets [`min_priority`](Self::min_priority).
    #[must_use]
    pub fn with_min_priority(self, min_priority: Priority) -> Self {
        Self { min_priority: Some(min_priority), ..self }
    }
}

/// Whether `listed` names `event_type`, itself or by a group.
pub(crate) fn names(listed: &[EventType], event_type: &EventType) -> bool {
    const APART: [EventType; 5] =
        [EventType::VALUES, EventType::UPDATES, EventType::TOKEN, EventType::PROGRESS, EventType::STATUS];
    let in_events = || !APART.contains(event_type);
    let is_own = || !EventType::WELL_KNOWN.contains(event_type);
    listed.contains(event_type)
        || (listed.contains(&EventType::EVENTS) && in_events())
        || (listed.contains(&EventType::CUSTOM) && is_own())
}
