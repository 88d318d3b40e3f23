//! What a node streams, decided once: its attributes, its workflow's and the engine's defaults together.

use std::{panic::catch_unwind, sync::Arc};

use regex::Regex;
use streamnest_core::{Delivery, Event, EventType, NodeName};

use crate::{
    Error, EventOptions, NodeBuilder, ProgressOptions, TokenOptions, Workflow,
    definition::{Bounds, Subgraph},
    options::names,
    output::token_buffer::TokenPlan,
};

/// The decimals that a percentage can have: as many as an `f64` holds.
const MAX_PRECISION: usize = 17;

/// What a node streams.
#[derive(Debug)]
pub(crate) struct NodePlan {
    /// Its name in the log: within a subgraph `outer/inner`.
    pub(crate) name: NodeName,
    /// The workflow that its body may run.
    pub(crate) subgraph: Option<Subgraph>,
    pub(crate) token: Option<Arc<TokenPlan>>,
    pub(crate) progress: Option<Arc<ProgressOptions>>,
    pub(crate) event: Option<EventOptions>,
}

/// What the workflow and the engine say for all nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) streaming: bool,
    pub(crate) values: bool,
    pub(crate) bounds: Bounds,
}

impl NodePlan {
    pub(crate) fn new<W: Workflow>(
        workflow: &str,
        name: NodeName,
        node: &NodeBuilder<W>,
        subgraph: Option<Subgraph>,
        defaults: Defaults,
    ) -> Result<Self, Error> {
        let place = Place { workflow, node: &node.name };
        place.check(node)?;
        let mut event = node.event.clone().unwrap_or_else(EventOptions::unannotated);
        if defaults.values && !event.events.contains(&EventType::VALUES) {
            event.events.push(EventType::VALUES);
        }
        let event = Some(event).filter(|event| event.enabled);
        // Naming a stream among the events switches it on with its defaults.
        let named = |stream: &EventType| event.as_ref().is_some_and(|event| event.events.contains(stream));
        let token = match &node.token {
            Some(options) => Some(options.clone()).filter(|options| options.enabled),
            None => named(&EventType::TOKEN).then(TokenOptions::default),
        };
        let progress = match &node.progress {
            Some(options) => Some(options.clone()).filter(|options| options.enabled),
            None => named(&EventType::PROGRESS).then(ProgressOptions::default),
        };
        if !defaults.streaming {
            return Ok(Self { name, subgraph, token: None, progress: None, event: None });
        }
        let token = token.map(|options| place.token(options, defaults.bounds)).transpose()?;
        Ok(Self { name, subgraph, token: token.map(Arc::new), progress: progress.map(Arc::new), event })
    }

    /// What a node streams that only streams tokens.
    pub(crate) fn of_tokens(
        workflow: &str,
        name: NodeName,
        options: TokenOptions,
        bounds: Bounds,
    ) -> Result<Self, Error> {
        let place = Place { workflow, node: &name };
        place.check_token(&options)?;
        let token = if options.enabled { Some(Arc::new(place.token(options, bounds)?)) } else { None };
        Ok(Self { name, subgraph: None, token, progress: None, event: None })
    }

    /// Whether this node emits `event`.
    fn admits(&self, options: &EventOptions, event: &Event) -> bool {
        let (filter, event_type) = (&options.filter, event.event_type());
        names(&options.events, event_type)
            && (filter.event_types.is_empty() || names(&filter.event_types, event_type))
            && !names(&filter.exclude_types, event_type)
            && filter.min_priority.is_none_or(|min| event.priority() >= min)
            && (*event_type != EventType::DEBUG || filter.include_debug)
    }

    /// The event as it goes into the log, or `None` if this node does not emit it. [`Transformed::Panicked`] leaves the
    /// event as it was.
    pub(crate) fn admit(&self, event: Event) -> Option<Transformed> {
        let options = self.event.as_ref()?;
        if !self.admits(options, &event) {
            return None;
        }
        let deliver = |event: Event| match event.delivery() {
            Delivery::ExactlyOnce => event,
            _ => event.with_delivery(options.delivery),
        };
        let Some(transformer) = options.transformer else { return Some(Transformed::Fine(deliver(event))) };
        let delivery = event.delivery();
        Some(match catch_unwind(|| transformer(event.clone())) {
            Err(_) => Transformed::Panicked(deliver(event)),
            // What a key promises is not the transformer's to take back.
            Ok(transformed) if keeps_its_nature(&event, &transformed) => {
                Transformed::Fine(deliver(transformed.with_delivery(delivery)))
            }
            Ok(_) => {
                tracing::warn!(
                    node = %self.name,
                    "a transformer changed an event's class or node, or gave it a type of the framework; it stays as it was"
                );
                Transformed::Fine(deliver(event))
            }
        })
    }
}

/// An event after its node's transformer.
#[derive(Debug)]
pub(crate) enum Transformed {
    Fine(Event),
    Panicked(Event),
}

/// A transformer changes what an event says, not what it is; what it renames becomes none of the framework's.
fn keeps_its_nature(event: &Event, transformed: &Event) -> bool {
    transformed.class() == event.class()
        && transformed.node() == event.node()
        && (transformed.event_type() == event.event_type() || !transformed.event_type().is_framework())
}

/// Where an option stands, for messages.
struct Place<'a> {
    workflow: &'a str,
    node: &'a str,
}

impl Place<'_> {
    fn check<W: Workflow>(&self, node: &NodeBuilder<W>) -> Result<(), Error> {
        if let Some(token) = &node.token {
            self.check_token(token)?;
        }
        if let Some(event) = &node.event {
            self.at_least_one("buffer_size", event.buffer_size)?;
            self.at_least_one("batch_size", event.batch_size)?;
        }
        if node.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(self.option("timeout", &"0s", "longer"));
        }
        self.at_least_one("concurrency", node.concurrency)?;
        if let Some(retry) = &node.retry {
            if retry.attempts == 0 {
                return Err(self.option("attempts", &0, "at least 1"));
            }
            if !(0.0..=1.0).contains(&retry.jitter) {
                return Err(self.option("jitter", &retry.jitter, "from 0 to 1"));
            }
            if retry.max_backoff < retry.backoff {
                return Err(self.option(
                    "max_backoff",
                    &format!("{:?}", retry.max_backoff),
                    "at least `backoff`",
                ));
            }
        }
        if let Some(progress) = &node.progress
            && progress.format.precision > MAX_PRECISION
        {
            return Err(self.option("precision", &progress.format.precision, "at most 17 decimals"));
        }
        let milestones = node.progress.iter().flat_map(|progress| &progress.milestones);
        for milestone in milestones {
            if !(0.0..=100.0).contains(milestone) {
                return Err(self.option("milestones", milestone, "percentages from 0 to 100"));
            }
        }
        Ok(())
    }

    fn check_token(&self, token: &TokenOptions) -> Result<(), Error> {
        self.at_least_one("buffer_size", token.buffer_size.unwrap_or(1))?;
        self.at_least_one("batch_size", token.batch_size)?;
        let filter = &token.filter;
        match (filter.min_length, filter.max_length) {
            (Some(min), Some(max)) if min > max => {
                Err(self.option("min_length", &min, "at most `max_length`"))
            }
            _ => Ok(()),
        }
    }

    fn at_least_one(&self, option: &'static str, value: usize) -> Result<(), Error> {
        if value == 0 { Err(self.option(option, &value, "at least 1")) } else { Ok(()) }
    }

    fn option(&self, option: &'static str, value: &impl ToString, legal: &'static str) -> Error {
        let (workflow, node) = (self.workflow.into(), self.node.into());
        Error::Option { workflow, node, option, value: value.to_string(), legal }
    }

    fn token(&self, options: TokenOptions, bounds: Bounds) -> Result<TokenPlan, Error> {
        let pattern = options.filter.pattern.as_deref().map(Regex::new).transpose();
        let pattern = pattern.map_err(|error| Error::Pattern {
            workflow: self.workflow.into(),
            node: self.node.into(),
            error,
        })?;
        let buffer_size = options.buffer_size.unwrap_or(bounds.buffer_size);
        // JSON may escape each byte of a text into six; the rest of the payload is small.
        let max_content_bytes = bounds.max_event_bytes / 8;
        Ok(TokenPlan { options, buffer_size, pattern, max_content_bytes })
    }
}
