//! What one visit of a node says, on its way into the log.

mod json_text;
pub(crate) mod progress_tracker;
pub(crate) mod token_buffer;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::task::AtomicWaker;
use serde_json::{Value, json};
use streamnest_core::{
    BoxFuture, Event, EventType, MessageId, MessageOrigin, MessageSink, NodePort, Seq, TokenDelta, Usage,
    payload,
};
use tokio::time::Instant;

use self::{
    progress_tracker::{Ending, ProgressTracker},
    token_buffer::TokenBuffer,
};
use crate::{NodeError, ProgressMetadata, execution::Execution, options::names, plan::NodePlan};

/// Everything that one visit of a node says: tokens, events and progress, in the order in which they were said.
///
/// Tokens wait for their batch, events for the node to pause; whatever waits goes into the log before what is said after
/// it. Nothing is appended out of order: what is ready is appended under this output's lock, and if the log has no room
/// the caller waits, not the lock.
pub(crate) struct NodeOutput {
    pub(crate) execution: Arc<Execution>,
    pub(crate) plan: Arc<NodePlan>,
    pub(crate) visit: u32,
    pub(crate) attempt: u32,
    state: Mutex<State>,
    /// The visit's own task, which keeps the time for what waits.
    task: AtomicWaker,
}

#[derive(Default)]
struct State {
    messages: Vec<(MessageId, TokenBuffer)>,
    /// The message of tokens that were streamed by hand.
    by_hand: Option<MessageId>,
    buffer_size: Option<usize>,
    events: Vec<Event>,
    progress: Option<ProgressTracker>,
    /// What is ready, in order; each is one append.
    ready: VecDeque<Vec<Event>>,
    /// The last entry that was appended.
    appended: Seq,
    /// Whether the visit's task is looking at this output, and will see a new due time by itself.
    polling: bool,
    closed: bool,
    /// Why the log takes nothing any more.
    broken: Option<streamnest_log::Error>,
    models_called: u32,
    warned: bool,
    usage: Usage,
}

impl NodeOutput {
    pub(crate) fn new(execution: Arc<Execution>, plan: Arc<NodePlan>, visit: u32) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self { execution, plan, visit, attempt: 1, state, task: AtomicWaker::new() })
    }

    /// Begins to tell progress, if the node does.
    pub(crate) async fn begin_progress(&self) {
        if let Some(options) = &self.plan.progress {
            let mut told = Vec::new();
            let at = (self.visit, self.attempt);
            let tracker = ProgressTracker::begin(options.clone(), at, Instant::now(), &mut told);
            {
                let mut state = self.lock();
                state.progress = Some(tracker);
                self.ready_progress(&mut state, told);
            }
            self.settle().await;
        }
    }

    // Tokens.

    /// Begins a message.
    pub(crate) fn open(&self, role: Option<String>) -> MessageId {
        let message = self.execution.next_message();
        if let Some(plan) = &self.plan.token {
            let mut state = self.lock();
            let buffer_size = state.buffer_size;
            let buffer =
                TokenBuffer::new(plan.clone(), buffer_size, message, role, (self.visit, self.attempt));
            state.messages.push((message, buffer));
        }
        message
    }

    /// The message of tokens that are streamed by hand.
    fn by_hand(&self) -> MessageId {
        if let Some(message) = self.lock().by_hand {
            return message;
        }
        let message = self.open(None);
        // Of two tasks that open it at once, the first one's stays.
        *self.lock().by_hand.get_or_insert(message)
    }

    /// Takes a token of `message`, or of the one that is streamed by hand.
    pub(crate) async fn token(&self, message: Option<MessageId>, token: TokenDelta) {
        self.with_buffer(message, |buffer, frames| buffer.push(token, Instant::now, frames)).await;
    }

    /// Takes bytes of text of `message`, or of the one that is streamed by hand.
    pub(crate) async fn token_bytes(&self, message: Option<MessageId>, bytes: &[u8]) {
        self.with_buffer(message, |buffer, frames| buffer.push_bytes(bytes, Instant::now, frames)).await;
    }

    /// Ends `message`.
    pub(crate) async fn finish_message(&self, message: MessageId) {
        self.end_message(message);
        self.settle().await;
    }

    /// Ends `message` without waiting for room.
    pub(crate) fn end_message(&self, message: MessageId) {
        let mut state = self.lock();
        let Some(index) = state.messages.iter().position(|(id, _)| *id == message) else { return };
        let (_, mut buffer) = state.messages.swap_remove(index);
        let mut frames = Vec::new();
        buffer.finish(&Instant::now, &mut frames);
        self.ready_tokens(&mut state, frames);
        self.ship(&mut state);
    }

    async fn with_buffer(
        &self,
        message: Option<MessageId>,
        act: impl FnOnce(&mut TokenBuffer, &mut Vec<payload::Token>),
    ) {
        if self.plan.token.is_none() {
            return;
        }
        let message = message.unwrap_or_else(|| self.by_hand());
        let shipped = {
            let mut state = self.lock();
            if state.closed {
                return;
            }
            let found = state.messages.iter_mut().find(|(id, _)| *id == message);
            let Some((_, buffer)) = found else { return };
            let due = buffer.due();
            let mut frames = Vec::new();
            act(buffer, &mut frames);
            if buffer.due().is_some() && due.is_none() && !state.polling {
                self.task.wake();
            }
            if frames.is_empty() {
                return;
            }
            self.ready_tokens(&mut state, frames);
            self.ship(&mut state)
        };
        if !shipped {
            self.settle().await;
        }
    }

    /// Overrides the buffer size of this visit, for messages that begin after this.
    pub(crate) fn set_buffer_size(&self, buffer_size: usize) {
        self.lock().buffer_size = Some(buffer_size.max(1));
    }

    // Events and progress.

    /// Takes an event, if the node emits it. It waits for the node to pause, or for enough others.
    pub(crate) async fn emit(&self, event: Event) -> Result<bool, NodeError> {
        let limit = self.execution.max_event_bytes;
        let size = event.payload().len();
        if size > limit {
            return Err(streamnest_log::Error::EventTooLarge { size, limit }.into());
        }
        let Some(event) = self.plan.admit(event) else { return Ok(false) };
        let full = {
            let mut state = self.lock();
            if state.closed {
                return Ok(false);
            }
            self.flush_messages(&mut state, |_| true);
            state.events.push(event);
            let limit = self.plan.event.as_ref().map_or(1, |options| options.buffer_size);
            state.events.len() >= limit
        };
        if full {
            self.flush().await;
        } else if !self.lock().polling {
            self.task.wake();
        }
        Ok(true)
    }

    /// Whether the node emits events of this type at all.
    pub(crate) fn emits(&self, event_type: &EventType) -> bool {
        self.plan.event.as_ref().is_some_and(|options| names(&options.events, event_type))
    }

    /// As [`emit`](Self::emit), and waits until the event is durable.
    pub(crate) async fn emit_durably(&self, event: Event) -> Result<bool, NodeError> {
        if !self.emit(event).await? {
            return Ok(false);
        }
        self.flush().await;
        if let Some(error) = self.broken() {
            return Err(error.into());
        }
        let appended = self.lock().appended;
        self.execution.writer().durable(appended).await?;
        Ok(true)
    }

    /// An event of this node, with data that is left out if it is too large for the log.
    pub(crate) async fn emit_own(&self, event_type: EventType, data: Value) {
        let event = Event::named(Some(self.plan.name.clone()), event_type.clone(), &data);
        let limit = self.execution.max_event_bytes;
        let size = event.payload().len();
        let event = if size > limit {
            let note = json!({"omitted": true, "bytes": size, "limit": limit, "option": "LogOptions::max_event_bytes"});
            Event::named(Some(self.plan.name.clone()), event_type, &note)
        } else {
            event
        };
        if let Err(error) = self.emit(event).await {
            tracing::warn!(node = %self.plan.name, %error, "an event could not be emitted");
        }
    }

    /// Takes a progress update.
    pub(crate) async fn progress(&self, current: f64, total: f64, metadata: ProgressMetadata) {
        {
            let mut state = self.lock();
            let (mut told, closed) = (Vec::new(), state.closed);
            let Some(tracker) = state.progress.as_mut().filter(|_| !closed) else { return };
            let due = tracker.due();
            tracker.update(current, total, metadata, Instant::now(), &mut told);
            if tracker.due().is_some() && due.is_none() && !state.polling {
                self.task.wake();
            }
            if told.is_empty() {
                return;
            }
            self.ready_progress(&mut state, told);
        }
        self.settle().await;
    }

    /// What its models used together, and whether any was called.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let state = self.lock();
        (state.models_called > 0).then(|| state.usage.clone())
    }

    // The visit's task.

    /// The visit's task looks: from here to [`paused`](Self::paused) nobody needs to wake it.
    pub(crate) fn looks(&self, task: &std::task::Waker) {
        self.task.register(task);
        self.lock().polling = true;
    }

    /// The node pauses: what waits for that goes into the log. Returns when something else is due, and whether all that
    /// is ready found room.
    pub(crate) fn paused(&self) -> (Option<Instant>, bool) {
        let mut state = self.lock();
        state.polling = false;
        self.ready_events(&mut state);
        let shipped = self.ship(&mut state);
        let tokens = state.messages.iter().filter_map(|(_, buffer)| buffer.due());
        let progress = state.progress.as_ref().and_then(ProgressTracker::due);
        (tokens.chain(progress).min(), shipped)
    }

    /// Something is due: it goes into the log.
    pub(crate) fn tick(&self, now: Instant) {
        let mut state = self.lock();
        self.flush_messages(&mut state, |buffer| buffer.due().is_some_and(|due| due <= now));
        let mut told = Vec::new();
        if let Some(tracker) = &mut state.progress {
            tracker.tick(now, &mut told);
        }
        self.ready_progress(&mut state, told);
        self.ship(&mut state);
    }

    /// Everything that waits goes into the log.
    pub(crate) async fn flush(&self) {
        {
            let mut state = self.lock();
            self.flush_messages(&mut state, |_| true);
            self.ready_events(&mut state);
        }
        self.settle().await;
    }

    /// The visit is over: everything that waits goes into the log, and what is said later is not said by this visit.
    /// Progress says how it ended.
    pub(crate) async fn close(&self, ending: Ending) {
        {
            let mut state = self.lock();
            let mut frames = Vec::new();
            for (_, mut buffer) in std::mem::take(&mut state.messages) {
                buffer.finish(&Instant::now, &mut frames);
            }
            self.ready_tokens(&mut state, frames);
            self.ready_events(&mut state);
            let mut told = Vec::new();
            if let Some(tracker) = &mut state.progress {
                tracker.end(ending, Instant::now(), &mut told);
            }
            self.ready_progress(&mut state, told);
        }
        self.settle().await;
    }

    /// Nothing is said any more.
    pub(crate) async fn seal(&self) {
        self.flush().await;
        self.lock().closed = true;
    }

    /// Why the log takes nothing any more, if it does not.
    pub(crate) fn broken(&self) -> Option<streamnest_log::Error> {
        self.lock().broken.clone()
    }

    // From waiting to ready to appended.

    fn flush_messages(&self, state: &mut State, which: impl Fn(&TokenBuffer) -> bool) {
        let mut frames = Vec::new();
        for (_, buffer) in state.messages.iter_mut().filter(|(_, buffer)| which(buffer)) {
            buffer.flush(&Instant::now, &mut frames);
        }
        self.ready_tokens(state, frames);
    }

    fn ready_tokens(&self, state: &mut State, frames: Vec<payload::Token>) {
        if !frames.is_empty() {
            self.ready_events(state);
            let limit = self.execution.max_event_bytes;
            let event = |mut token: payload::Token| {
                let event = Event::token(self.plan.name.clone(), &token);
                if event.payload().len() <= limit {
                    return event;
                }
                // The text fits by its own bound; what is derived from it or came along may not.
                (token.value, token.metadata) = (None, None);
                Event::token(self.plan.name.clone(), &token)
            };
            state.ready.push_back(frames.into_iter().map(event).collect());
        }
    }

    fn ready_progress(&self, state: &mut State, told: Vec<payload::Progress>) {
        if !told.is_empty() {
            self.ready_events(state);
            let limit = self.execution.max_event_bytes;
            self.execution.note_progress(&self.plan.name, &told);
            let event = |mut progress: payload::Progress| {
                let event = Event::progress(self.plan.name.clone(), &progress);
                if event.payload().len() <= limit {
                    return event;
                }
                progress.metrics = None;
                Event::progress(self.plan.name.clone(), &progress)
            };
            state.ready.push_back(told.into_iter().map(event).collect());
        }
    }

    fn ready_events(&self, state: &mut State) {
        let limit = self.plan.event.as_ref().map_or(1, |options| options.batch_size);
        let mut events = std::mem::take(&mut state.events).into_iter().peekable();
        while events.peek().is_some() {
            state.ready.push_back(events.by_ref().take(limit).collect());
        }
    }

    /// Appends what is ready; whether all of it found room.
    fn ship(&self, state: &mut State) -> bool {
        while let Some(batch) = state.ready.front_mut() {
            match self.execution.writer().try_append(batch) {
                Ok(Some(last)) => {
                    state.appended = last;
                    state.ready.pop_front();
                }
                Ok(None) => return false,
                Err(error) => {
                    // The execution's task sees this and ends the run; until then nothing more is kept for the log.
                    tracing::error!(execution = %self.execution.id(), node = %self.plan.name, %error, "log refused entries");
                    state.ready.clear();
                    state.broken = Some(error);
                    state.closed = true;
                }
            }
        }
        true
    }

    /// Appends what is ready, waiting for room.
    pub(crate) async fn settle(&self) {
        while !self.ship(&mut self.lock()) {
            self.execution.writer().room().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a processor or transformer leaves at most one token or event behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node as the models that are called inside it see it.
pub(crate) struct Port(pub(crate) Arc<NodeOutput>);

impl NodePort for Port {
    fn open_message(&self, origin: MessageOrigin) -> Box<dyn MessageSink> {
        let message = self.0.open(origin.role);
        self.0.lock().models_called += 1;
        Box::new(OpenMessage { output: self.0.clone(), message })
    }

    fn model_called_without_scope(&self, model: &str) {
        {
            let mut state = self.0.lock();
            if state.closed || state.warned || state.models_called > 0 || self.0.plan.token.is_none() {
                return;
            }
            state.warned = true;
            let data = json!({
                "code": "scope_lost",
                "model": model,
                "message": "a model was called outside of any node while this one was running; if this node spawned the \
                            call, its tokens are not streamed: spawn with `ctx.spawn`, or carry the scope with `.in_scope()`",
            });
            let event = Event::named(Some(self.0.plan.name.clone()), EventType::WARNING, &data);
            let Some(event) = self.0.plan.admit(event) else { return };
            state.events.push(event);
        }
        self.0.task.wake();
    }
}

/// One answer of a model on its way into the log.
struct OpenMessage {
    output: Arc<NodeOutput>,
    message: MessageId,
}

impl MessageSink for OpenMessage {
    fn token(&mut self, token: TokenDelta) -> BoxFuture<'_, ()> {
        Box::pin(self.output.token(Some(self.message), token))
    }

    fn finish(self: Box<Self>, usage: Option<Usage>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(usage) = usage {
                let mut state = self.output.lock();
                state.usage.input_tokens += usage.input_tokens;
                state.usage.output_tokens += usage.output_tokens;
                state.usage.estimated |= usage.estimated;
            }
            self.output.finish_message(self.message).await;
        })
    }
}

impl Drop for OpenMessage {
    fn drop(&mut self) {
        // Broken off: its text so far is kept. After `finish` there is nothing left to do.
        self.output.end_message(self.message);
    }
}
