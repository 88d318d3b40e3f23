//! What one visit of a node says, on its way into the log.

mod appending;
mod events;
mod json_text;
mod messages;
pub(crate) mod port;
pub(crate) mod progress_tracker;
mod scratch;
pub(crate) mod token_buffer;

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use streamnest_core::{BoxFuture, Event, MessageId, Seq, TokenDelta, Usage, payload};
use tokio::{
    task::{AbortHandle, consume_budget},
    time::Instant,
};

use self::{
    messages::Messages,
    progress_tracker::{Ending, ProgressTracker, Told},
    token_buffer::TokenBuffer,
};
use crate::{
    NodeError, ProgressMetadata,
    execution::Execution,
    plan::NodePlan,
    stopwatch::{Hold, Stopwatch},
    tasks::Tasks,
};

/// Everything that one visit of a node says: tokens, events and progress, in the order in which they were said.
///
/// Tokens wait for their batch, events for the node to pause; whatever waits goes into the log before what is said after
/// it. Nothing is appended out of order: what is ready is appended under this output's lock, and if the log has no room
/// the caller waits, not the lock.
///
/// The user's processor, transformer and calculator run in here. A panic of one of them neither loses what it was given,
/// which is then said as it was, nor leaves this module; it is a [`Fault`], and the visit fails.
///
/// What each token needs stands first and together, for where many runs take turns it is in no cache.
#[repr(C)]
pub(crate) struct NodeOutput {
    pub(crate) execution: Arc<Execution>,
    pub(crate) plan: Arc<NodePlan>,
    pub(crate) visit: u32,
    pub(crate) attempt: u32,
    pub(crate) item: Option<u32>,
    state: Mutex<State>,
    pub(crate) tasks: Tasks,
    /// The visit within which it runs: that of its items, or that which runs a subgraph.
    around: Option<Arc<Self>>,
    /// Stands while the visit waits for an answer.
    pub(crate) watch: Stopwatch,
}

/// Which attempt of a visit speaks, each counted from 1, and for which item, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct At {
    pub(crate) visit: u32,
    pub(crate) attempt: u32,
    pub(crate) item: Option<u32>,
}

#[derive(Default)]
#[repr(C)]
struct State {
    /// The visit's own task, which keeps the time for what waits.
    task: Option<Waker>,
    /// The message of tokens that were streamed by hand.
    by_hand: Option<MessageId>,
    /// Whether the visit's task is looking at this output, and will see a new due time by itself.
    polling: bool,
    /// The body has ended: what is said now is not said by this visit.
    closed: bool,
    /// Nothing is said any more, not by the engine either.
    sealed: bool,
    warned: bool,
    /// What found no room in the log, in order; each is one append. Who adds to it waits until it is empty.
    ready: VecDeque<Vec<Event>>,
    /// The last entry that was appended.
    appended: Seq,
    /// Events that wait for the node to pause.
    events: Vec<Event>,
    progress: Option<Box<ProgressTracker>>,
    fault: Option<Box<Fault>>,
    buffer_size: Option<usize>,
    messages: Messages,
    models_called: u32,
    usage: Option<Usage>,
}

impl State {
    /// Lets the visit's task look again, unless it is looking.
    fn wake(&self) {
        if let Some(task) = self.task.as_ref().filter(|_| !self.polling) {
            task.wake_by_ref();
        }
    }
}

/// What a visit's task finds when the node pauses.
pub(crate) struct Pause {
    /// When something is due.
    pub(crate) due: Option<Instant>,
    /// Whether all that is ready found room.
    pub(crate) shipped: bool,
    /// Whether there is a [fault](NodeOutput::fault).
    pub(crate) failed: bool,
}

/// Why a visit fails whatever its body does.
#[derive(Clone, Debug)]
enum Fault {
    /// The log takes nothing any more.
    Log(streamnest_log::Error),
    /// A function that the user gave panicked.
    Panicked(&'static str),
    /// It began more messages than may be open.
    TooManyMessages { limit: usize },
    /// It spawned more tasks than may run.
    TooManyTasks { limit: usize },
}

impl At {
    /// The first attempt of a visit of a node without items.
    pub(crate) const fn first(visit: u32) -> Self {
        Self { visit, attempt: 1, item: None }
    }
}

impl NodeOutput {
    /// What an attempt of a visit says, which may run within another visit.
    pub(crate) fn new(
        execution: Arc<Execution>,
        plan: Arc<NodePlan>,
        at: At,
        around: Option<Arc<Self>>,
    ) -> Arc<Self> {
        let At { visit, attempt, item } = at;
        let state = Mutex::default();
        let watch = Stopwatch::default();
        let tasks = Tasks::default();
        Arc::new(Self { execution, plan, visit, attempt, item, around, watch, tasks, state })
    }

    const fn at(&self) -> At {
        At { visit: self.visit, attempt: self.attempt, item: self.item }
    }

    /// Begins to tell progress, if the node does, after attempts of the same visit that have `told` something.
    pub(crate) async fn begin_progress(&self, told_before: Option<Told>) {
        if let Some(options) = &self.plan.progress {
            let mut told = Vec::new();
            let at = self.at();
            let tracker = ProgressTracker::begin(options.clone(), at, told_before, Instant::now(), &mut told);
            {
                let mut state = self.lock();
                state.progress = Some(Box::new(tracker));
                self.ready_progress(&mut state, told);
            }
            self.settle().await;
        }
    }

    // Tokens.

    /// Begins a message.
    pub(crate) fn open(&self, role: Option<String>) -> MessageId {
        self.open_in(&mut self.lock(), role)
    }

    fn open_in(&self, state: &mut State, role: Option<String>) -> MessageId {
        let message = self.execution.next_message();
        if let Some(plan) = self.plan.token.as_ref().filter(|_| !state.closed) {
            let (at, limit) = (self.at(), self.execution.options.max_open_messages);
            if state.messages.len() >= limit {
                self.fail(state, Fault::TooManyMessages { limit });
                return message;
            }
            let buffer = TokenBuffer::new(plan.clone(), state.buffer_size, message, role, at);
            state.messages.begin(message, buffer);
        }
        message
    }

    /// Takes a token of `message`, or of the one that is streamed by hand; at once, if the log has room. Await what it returns,
    /// which waits for room.
    pub(crate) fn token(
        &self,
        message: Option<MessageId>,
        token: TokenDelta,
    ) -> impl Future<Output = ()> + Send + '_ {
        self.with_buffer(message, move |buffer, frames| buffer.push(token, Instant::now, frames))
    }

    /// As [`token`](Self::token), with bytes of text.
    pub(crate) fn token_bytes<'a>(
        &'a self,
        message: Option<MessageId>,
        bytes: &'a [u8],
    ) -> impl Future<Output = ()> + Send + 'a {
        self.with_buffer(message, move |buffer, frames| buffer.push_bytes(bytes, Instant::now, frames))
    }

    /// Ends `message`.
    pub(crate) async fn finish_message(&self, message: MessageId) {
        self.end_message(message);
        self.settle().await;
    }

    /// Ends `message` without waiting for room.
    pub(crate) fn end_message(&self, message: MessageId) {
        let mut state = self.lock();
        let Some(mut buffer) = state.messages.end(message) else { return };
        let mut frames = scratch::frames();
        buffer.finish(&Instant::now, &mut frames);
        self.took(&mut state, buffer.processor_panicked());
        self.ready_tokens(&mut state, &mut frames);
    }

    /// Lets `act` happen, at once if the log has room. Only one that waits is kept in the future, which each token would
    /// otherwise be copied into.
    fn with_buffer<'a>(
        &'a self,
        message: Option<MessageId>,
        act: impl FnOnce(&mut TokenBuffer, &mut Vec<payload::Token>) + Send + 'a,
    ) -> impl Future<Output = ()> + Send + 'a {
        let mut act = Some(act);
        let waits: Option<BoxFuture<'a, ()>> =
            if self.plan.token.is_none() || self.try_with_buffer(message, &mut act) {
                None
            } else {
                // What found no room goes first, so that a caller that gives up waiting adds no more.
                Some(Box::pin(async move {
                    loop {
                        self.execution.writer().room().await;
                        if self.try_with_buffer(message, &mut act) {
                            break;
                        }
                    }
                }))
            };
        async move {
            if let Some(waits) = waits {
                waits.await;
            }
            // A node that only streams never pauses by itself, and would neither hear of a cancel nor let others run.
            consume_budget().await;
        }
    }

    /// Lets `act` happen unless it has already, or unless the log has no room; whether all that is ready found room.
    fn try_with_buffer(
        &self,
        message: Option<MessageId>,
        act: &mut Option<impl FnOnce(&mut TokenBuffer, &mut Vec<payload::Token>)>,
    ) -> bool {
        let state = &mut *self.lock();
        if !self.ship(state) {
            return false;
        }
        if state.closed {
            return true;
        }
        let Some(act) = act.take() else { return true };
        let message = match message.or(state.by_hand) {
            Some(message) => message,
            None => {
                let message = self.open_in(state, None);
                *state.by_hand.insert(message)
            }
        };
        let Some(buffer) = state.messages.find(message) else { return true };
        let waited = buffer.due().is_some();
        let mut frames = scratch::frames();
        act(buffer, &mut frames);
        let (waits, panicked) = (buffer.due().is_some(), buffer.processor_panicked());
        if waits && !waited {
            state.wake();
        }
        self.took(state, panicked);
        self.ready_tokens(state, &mut frames);
        state.ready.is_empty()
    }

    /// Hears whether the user's processor panicked.
    fn took(&self, state: &mut State, processor_panicked: bool) {
        if processor_panicked {
            self.fail(state, Fault::Panicked("processor"));
        }
    }

    /// Overrides the buffer size of this visit, for messages that begin after this.
    pub(crate) fn set_buffer_size(&self, buffer_size: usize) {
        self.lock().buffer_size = Some(buffer_size.max(1));
    }

    /// Runs a task of this visit. One more than may run is not begun, and fails the visit.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let limit = self.execution.options.max_tasks;
        let (handle, fits) = self.tasks.spawn(limit, work);
        if !fits {
            self.fail(&mut self.lock(), Fault::TooManyTasks { limit });
        }
        handle
    }

    /// Whether the body has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    // Progress.

    /// Takes a progress update.
    pub(crate) async fn progress(&self, current: f64, total: f64, metadata: ProgressMetadata) {
        self.settle().await;
        {
            let mut state = self.lock();
            let (mut told, closed) = (Vec::new(), state.closed);
            let Some(tracker) = state.progress.as_mut().filter(|_| !closed) else { return };
            let waited = tracker.due().is_some();
            let updated = tracker.update(current, total, metadata, Instant::now(), &mut told);
            if tracker.due().is_some() && !waited {
                state.wake();
            }
            if updated.is_err() {
                self.fail(&mut state, Fault::Panicked("calculator"));
            }
            if !told.is_empty() {
                self.flush_messages(&mut state, |_| true);
                self.ready_progress(&mut state, told);
            }
        }
        self.settle().await;
        consume_budget().await;
    }

    /// What its models used together, if any of them told.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.lock().usage.clone()
    }

    // The visit's task.

    /// The visit's task looks: from here to [`paused`](Self::paused) nobody needs to wake it. Whether it is the one that looked
    /// last.
    pub(crate) fn looks(&self, task: &Waker) -> bool {
        let mut state = self.lock();
        let is_known = state.task.as_ref().is_some_and(|known| known.will_wake(task));
        if !is_known {
            state.task = Some(task.clone());
        }
        state.polling = true;
        is_known
    }

    /// The node pauses: what waits for that goes into the log.
    pub(crate) fn paused(&self) -> Pause {
        let state = &mut *self.lock();
        state.polling = false;
        self.ready_events(state);
        let shipped = self.ship(state);
        let tokens = state.messages.iter().filter_map(TokenBuffer::due);
        let progress = state.progress.as_ref().and_then(|progress| progress.due());
        Pause { due: tokens.chain(progress).min(), shipped, failed: state.fault.is_some() }
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

    /// The body has ended: everything that waits goes into the log, and what is said later is not said by this visit.
    pub(crate) async fn close(&self) {
        {
            let mut state = self.lock();
            state.closed = true;
            let mut frames = scratch::frames();
            for buffer in mem::take(&mut state.messages).iter_mut() {
                buffer.finish(&Instant::now, &mut frames);
                self.took(&mut state, buffer.processor_panicked());
            }
            self.ready_tokens(&mut state, &mut frames);
            self.ready_events(&mut state);
        }
        self.settle().await;
    }

    /// Progress goes on in another attempt, which takes what was told so far.
    pub(crate) fn hand_over_progress(&self) -> Option<Told> {
        self.lock().progress.as_mut().map(|tracker| tracker.hand_over())
    }

    /// Progress says how the visit ended.
    pub(crate) async fn end_progress(&self, ending: Ending) {
        {
            let mut state = self.lock();
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
        let task = {
            let mut state = self.lock();
            state.sealed = true;
            state.task.take()
        };
        // Who still holds a context of this visit holds no task by it.
        drop(task);
    }

    /// Why the visit fails whatever its body does, if so.
    pub(crate) fn fault(&self) -> Option<NodeError> {
        Some(match self.lock().fault.as_deref()? {
            Fault::Log(error) => NodeError::coded(error.code(), "the execution's log takes no more entries")
                .caused_by(error.clone())
                .conclusive(),
            Fault::Panicked(what) => {
                let message = format!("the {what} of node `{}` panicked", self.plan.name);
                NodeError::coded("node_panicked", message)
            }
            Fault::TooManyMessages { limit } => {
                let message = format!(
                    "node `{}` has {limit} messages open, the limit of `EngineOptions::max_open_messages`; end some first, or raise it",
                    self.plan.name
                );
                NodeError::coded("too_many_open_messages", message)
            }
            Fault::TooManyTasks { limit } => {
                let message = format!(
                    "node `{}` has {limit} tasks, the limit of `EngineOptions::max_tasks`; wait for some first, or raise it",
                    self.plan.name
                );
                NodeError::coded("too_many_tasks", message)
            }
        })
    }

    /// Stops the time of the run, of the visit and of those around it until what is returned is dropped.
    pub(crate) fn hold_time(&self) -> Vec<Hold<'_>> {
        let mut holds = vec![self.execution.watch.hold(), self.watch.hold()];
        let mut around = &self.around;
        while let Some(output) = around {
            holds.push(output.watch.hold());
            around = &output.around;
        }
        holds
    }

    /// Why the log takes nothing more of this, if so.
    pub(crate) fn log_error(&self) -> Option<streamnest_log::Error> {
        match self.lock().fault.as_deref() {
            Some(Fault::Log(error)) => Some(error.clone()),
            _ => None,
        }
    }

    /// The first fault stays; the visit's task sees it and ends the visit.
    fn fail(&self, state: &mut State, fault: Fault) {
        state.fault.get_or_insert_with(|| Box::new(fault));
        state.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of the user unwinds through this lock, so what it guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
