//! Events on their way into the log.

use serde::Serialize;
use serde_json::json;
use streamnest_core::{AttributeChange, Delivery, Event, EventType};
use streamnest_log::Error as LogError;
use tokio::task::consume_budget;

use super::{Fault, NodeOutput, State};
use crate::{NodeError, options::names, plan::Transformed};

impl NodeOutput {
    /// Takes an event, if the node emits it. It waits for the node to pause, or for enough others; one that is delivered
    /// exactly once is durable when this returns. `held` tells, also whoever drops this future, that it was taken.
    pub(crate) async fn emit(&self, event: Event, held: &mut bool) -> Result<bool, NodeError> {
        let Some(event) = self.admit(event) else { return Ok(false) };
        self.check_size(&event)?;
        let durably = event.delivery() == Delivery::ExactlyOnce;
        self.take_event(event, held).await;
        consume_budget().await;
        if *held && durably { self.make_durable().await } else { Ok(*held) }
    }

    /// Appends an event, if the node emits it, together with the attribute that says so, in one piece; both are durable when this
    /// returns `true`. `held` tells, also whoever drops this future, that they were appended.
    pub(crate) async fn emit_once(
        &self,
        event: Event,
        attribute: AttributeChange,
        held: &mut bool,
    ) -> Result<bool, NodeError> {
        let Some(event) = self.admit(event) else { return Ok(false) };
        self.check_size(&event)?;
        let (mut events, attribute) = (vec![event], [attribute]);
        while !self.try_emit_once(&mut events, &attribute, held)? {
            self.execution.writer().room().await;
        }
        consume_budget().await;
        // A log that refused it has put a fault in its place.
        if *held || self.log_error().is_some() { self.make_durable().await } else { Ok(false) }
    }

    /// Appends the one event after everything that waits. Whether that is settled: `false` if there is no room.
    fn try_emit_once(
        &self,
        events: &mut Vec<Event>,
        attribute: &[AttributeChange],
        held: &mut bool,
    ) -> Result<bool, NodeError> {
        let mut state = self.lock();
        if !self.ship(&mut state) {
            return Ok(false);
        }
        self.flush_messages(&mut state, |_| true);
        self.ready_events(&mut state);
        if !self.ship(&mut state) {
            return Ok(false);
        }
        if state.closed {
            return Ok(true);
        }
        match self.execution.writer().try_append_with(events, attribute) {
            Ok(Some(last)) => {
                state.appended = last;
                *held = true;
            }
            Ok(None) => return Ok(false),
            // Only this key finds no room: the node hears of it, and says what else it has to say.
            Err(error) if error.refuses_attributes() => return Err(error.into()),
            Err(error) => self.refused(&mut state, error),
        }
        Ok(true)
    }

    /// The event as the node's transformer makes it, or `None` if the node does not emit it.
    pub(super) fn admit(&self, event: Event) -> Option<Event> {
        match self.plan.admit(event)? {
            Transformed::Fine(event) => Some(event),
            Transformed::Panicked(event) => {
                self.fail(&mut self.lock(), Fault::Panicked("transformer"));
                Some(event)
            }
        }
    }

    fn check_size(&self, event: &Event) -> Result<(), LogError> {
        let (size, limit) = (event.payload().len(), self.execution.max_event_bytes);
        if size > limit { Err(LogError::EventTooLarge { size, limit }) } else { Ok(()) }
    }

    /// Takes an event of the body.
    async fn take_event(&self, event: Event, held: &mut bool) {
        // What found no room goes first, so that a caller that gives up waiting adds no more.
        self.settle().await;
        {
            let mut state = self.lock();
            if state.sealed || state.closed {
                return;
            }
            self.hold_event(&mut state, event);
            *held = true;
        }
        self.settle().await;
    }

    /// Lets an event wait for the node to pause, or for enough others.
    pub(super) fn hold_event(&self, state: &mut State, event: Event) {
        self.flush_messages(state, |_| true);
        if state.events.capacity() == 0 {
            // Most visits say one thing at a time.
            state.events.reserve_exact(1);
        }
        state.events.push(event);
        let limit = self.plan.event.as_ref().map_or(1, |options| options.buffer_size);
        if state.events.len() >= limit {
            self.ready_events(state);
        } else {
            state.wake();
        }
    }

    /// Whether the node emits events of this type at all.
    pub(crate) fn emits(&self, event_type: &EventType) -> bool {
        self.plan.event.as_ref().is_some_and(|options| names(&options.events, event_type))
    }

    /// Waits until what was taken is durable; `false` if it was not appended.
    async fn make_durable(&self) -> Result<bool, NodeError> {
        self.flush().await;
        let appended = match self.lock() {
            state if matches!(state.fault.as_deref(), Some(Fault::Log(_))) => None,
            state => Some(state.appended),
        };
        match (appended, self.fault()) {
            (None, Some(error)) => return Err(error),
            (None, None) => return Ok(false),
            (Some(appended), _) => self.execution.writer().durable(appended).await?,
        }
        Ok(true)
    }

    /// Says something of the engine's own about this node; data that is too large for the log is left out. What finds no room
    /// is there for whoever [settles](Self::settle) next.
    pub(crate) fn say<T: Serialize>(&self, event_type: EventType, data: &T) {
        let event = Event::written(Some(self.plan.name.clone()), event_type.clone(), data);
        let Some(mut event) = self.admit(event) else { return };
        if self.check_size(&event).is_err() {
            let (bytes, limit) = (event.payload().len(), self.execution.max_event_bytes);
            let note = json!({"omitted": true, "bytes": bytes, "limit": limit, "option": "LogOptions::max_event_bytes"});
            let delivery = event.delivery();
            event = Event::named(Some(self.plan.name.clone()), event_type, &note).with_delivery(delivery);
        }
        let mut state = self.lock();
        if !state.sealed {
            self.hold_event(&mut state, event);
        }
    }
}
