//! From what waits to what is ready to what is appended.

use std::mem;

use streamnest_core::{Event, payload};
use tokio::time::Instant;

use super::{Fault, NodeOutput, State, scratch, token_buffer::TokenBuffer};

impl NodeOutput {
    pub(super) fn flush_messages(&self, state: &mut State, which: impl Fn(&TokenBuffer) -> bool) {
        let mut frames = scratch::frames();
        for buffer in state.messages.iter_mut().filter(|buffer| which(buffer)) {
            buffer.flush(&Instant::now, &mut frames);
        }
        self.ready_tokens(state, &mut frames);
    }

    /// Appends the frames.
    pub(super) fn ready_tokens(&self, state: &mut State, frames: &mut [payload::Token]) {
        if frames.is_empty() {
            return;
        }
        self.ready_events(state);
        let limit = self.execution.max_event_bytes;
        let mut batch = scratch::events();
        for token in frames {
            let mut event = Event::token(self.plan.name.clone(), token);
            if event.payload().len() > limit {
                // The text fits by its own bound; what is derived from it or came along may not.
                (token.value, token.metadata, token.kind, token.role) = (None, None, None, None);
                event = Event::token(self.plan.name.clone(), token);
            }
            batch.push(event);
        }
        self.append(state, &mut batch);
    }

    /// Appends the updates.
    pub(super) fn ready_progress(&self, state: &mut State, told: Vec<payload::Progress>) {
        if told.is_empty() {
            return;
        }
        self.ready_events(state);
        let limit = self.execution.max_event_bytes;
        self.execution.note_progress(&self.plan.name, &told);
        let mut batch = scratch::events();
        batch.extend(told.into_iter().map(|mut progress| {
            let event = Event::progress(self.plan.name.clone(), &progress);
            if event.payload().len() <= limit {
                return event;
            }
            progress.metrics = None;
            Event::progress(self.plan.name.clone(), &progress)
        }));
        self.append(state, &mut batch);
    }

    /// Appends the events that wait.
    pub(super) fn ready_events(&self, state: &mut State) {
        if state.events.is_empty() {
            return;
        }
        let limit = self.plan.event.as_ref().map_or(1, |options| options.batch_size);
        let mut events = mem::take(&mut state.events);
        let mut batch = scratch::events();
        while !events.is_empty() {
            batch.extend(events.drain(..limit.min(events.len())));
            self.append(state, &mut batch);
        }
    }

    /// Appends `batch`, after what found no room before it, and empties it.
    fn append(&self, state: &mut State, batch: &mut Vec<Event>) {
        if self.ship(state) {
            match self.execution.writer().try_append(batch) {
                Ok(Some(last)) => {
                    state.appended = last;
                    return;
                }
                Ok(None) => {}
                Err(error) => {
                    batch.clear();
                    return self.refused(state, error);
                }
            }
        }
        state.ready.push_back(mem::take(batch));
    }

    /// Appends what found no room before; whether all of it found room now.
    pub(super) fn ship(&self, state: &mut State) -> bool {
        while let Some(batch) = state.ready.front_mut() {
            match self.execution.writer().try_append(batch) {
                Ok(Some(last)) => {
                    state.appended = last;
                    state.ready.pop_front();
                }
                Ok(None) => return false,
                Err(error) => self.refused(state, error),
            }
        }
        true
    }

    /// The log refused entries: nothing more is kept for it.
    pub(super) fn refused(&self, state: &mut State, error: streamnest_log::Error) {
        tracing::error!(execution = %self.execution.id(), node = %self.plan.name, %error, "log refused entries");
        state.ready.clear();
        (state.closed, state.sealed) = (true, true);
        self.fail(state, Fault::Log(error));
    }

    /// Appends what is ready, waiting for room.
    pub(crate) async fn settle(&self) {
        if !self.ship(&mut self.lock()) {
            // It is waited for seldom, and would be part of every future that says something.
            Box::pin(self.wait_for_room()).await;
        }
    }

    async fn wait_for_room(&self) {
        while !self.ship(&mut self.lock()) {
            self.execution.writer().room().await;
        }
    }
}
