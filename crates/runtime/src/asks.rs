//! The questions of one execution: what is open, and how each came to its end.

pub(crate) mod form;

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use streamnest_core::{
    Approval, ApprovalAnswer, AskId, AskOutcome, ControlError, Event, EventType, NodeName, Seq, Signal,
    Signalled,
};
use streamnest_log::Error as LogError;
use tokio::sync::oneshot;

use self::form::Form;
use crate::{NodeError, NodeResult, execution::Execution, fingerprint::Fingerprint};

/// Bytes that the frame of an answer takes in its event besides the answer: its names, and who answered, each character
/// of that escaped into twelve at most.
const ANSWER_FRAME_BYTES: usize = 256 + 12 * Signal::MAX_BY;

/// The questions of one execution.
///
/// One lock decides which of an answer, a deadline and a node that gives up comes first, and in what order they stand in
/// the log: what they say is appended under it, and if the log has no room it waits here and goes first.
#[derive(Debug)]
pub(crate) struct Asks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u32,
    open: BTreeMap<AskId, Open>,
    /// How the newest ones came to their end, oldest first; bounded by `max_answers_kept`.
    closed: VecDeque<(AskId, Closed)>,
    /// What found no room in the log, in order.
    unsaid: VecDeque<Vec<Event>>,
    /// The last entry that was appended.
    said: Seq,
    /// The execution has ended or is about to: nothing is asked or answered any more.
    over: bool,
    /// Why the log takes nothing any more.
    fault: Option<LogError>,
}

#[derive(Debug)]
struct Open {
    approval: Approval,
    form: Arc<Form>,
    tell: oneshot::Sender<Value>,
}

#[derive(Clone, Copy, Debug)]
enum Closed {
    Answered(Fingerprint),
    Expired,
    Withdrawn,
}

impl Closed {
    /// Why it takes no answer any more.
    const fn how(self) -> &'static str {
        match self {
            Self::Answered(_) => "it was answered",
            Self::Expired => "its deadline passed",
            Self::Withdrawn => "its node no longer waits for one",
        }
    }
}

/// A question that waits for its answer. If this is dropped, it is withdrawn.
pub(crate) struct Asked<'a> {
    execution: &'a Execution,
    id: AskId,
    answer: oneshot::Receiver<Value>,
}

impl Asks {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// The open ones, oldest first.
    pub(crate) fn waiting(&self) -> Vec<Approval> {
        self.lock().open.values().map(|open| open.approval.clone()).collect()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.lock().open.is_empty()
    }

    /// Asks; `approval` is told its id.
    pub(crate) async fn ask<'a>(
        &self,
        execution: &'a Execution,
        approval: impl FnOnce(AskId) -> Approval,
        form: Form,
    ) -> NodeResult<Asked<'a>> {
        let asked = {
            let state = &mut *self.lock();
            let limit = execution.options.max_open_asks;
            if state.over {
                return Err(state.closed_error());
            }
            if state.open.len() >= limit {
                let message = format!(
                    "execution has {limit} open questions, the limit of `EngineOptions::max_open_asks`; answer some, or raise it"
                );
                return Err(NodeError::coded("too_many_asks", message));
            }
            let id = AskId::new(state.last + 1);
            let approval = approval(id);
            let event = event(&approval.node_id, EventType::APPROVAL, &json!(approval));
            let (size, limit) = (event.payload().len(), execution.max_event_bytes);
            if size > limit {
                let error = LogError::EventTooLarge { size, limit };
                return Err(NodeError::coded(error.code(), format!("question is too large: {error}")));
            }
            let (tell, answer) = oneshot::channel();
            state.last = id.number();
            state.open.insert(id, Open { approval, form: Arc::new(form), tell });
            state.unsaid.push_back(vec![event]);
            Asked { execution, id, answer }
        };
        self.settle(execution).await.map_err(broken)?;
        Ok(asked)
    }

    /// Takes an answer; when this returns it is durable.
    pub(crate) async fn answer(
        &self,
        execution: &Execution,
        signal: Signal,
    ) -> Result<Signalled, ControlError> {
        let Signal { ask, answer, by } = signal;
        let text = answer.to_string();
        let fingerprint = Fingerprint::of(&text);
        let form = self.lock().open.get(&ask).map(|open| open.form.clone());
        if let Some(form) = form {
            check_size(execution, text.len())?;
            // Done without the lock, for it may take a while.
            check(&form, &answer, by.as_deref())
                .map_err(|reason| ControlError::InvalidAnswer { ask, reason })?;
        }
        let repeated = {
            let state = &mut *self.lock();
            match state.open.remove(&ask) {
                Some(open) => {
                    let given = Some(answer.clone());
                    let told = ApprovalAnswer { ask, outcome: AskOutcome::Answered, answer: given, by };
                    state.close(execution, &open, &told, Closed::Answered(fingerprint));
                    // Whoever asked may have gone since; the answer stands in the log all the same.
                    let _ = open.tell.send(answer);
                    false
                }
                None => {
                    state.check_closed(execution, ask, fingerprint)?;
                    true
                }
            }
        };
        if self.durable(execution).await.is_err() {
            return Err(ControlError::Unavailable);
        }
        Ok(Signalled { ask, repeated })
    }

    /// Ends a question whose deadline has passed, with its default if it has one; `None` if it came to its end just before.
    fn expire(&self, execution: &Execution, ask: AskId) -> Option<Option<Value>> {
        let state = &mut *self.lock();
        let open = state.open.remove(&ask)?;
        let answer = open.approval.default.clone();
        let outcome = if answer.is_some() { AskOutcome::Default } else { AskOutcome::Timeout };
        let told = ApprovalAnswer { ask, outcome, answer: answer.clone(), by: None };
        state.close(execution, &open, &told, Closed::Expired);
        Some(answer)
    }

    /// Ends a question whose node no longer waits.
    fn withdraw(&self, execution: &Execution, ask: AskId) {
        let state = &mut *self.lock();
        let Some(open) = state.open.remove(&ask) else { return };
        let told = ApprovalAnswer { ask, outcome: AskOutcome::Withdrawn, answer: None, by: None };
        state.close(execution, &open, &told, Closed::Withdrawn);
        // Nobody waits here: what finds no room goes with the next word, or before the end. A log that refuses it is told
        // of by whoever speaks next.
        let _ = state.ship(execution);
    }

    /// The run comes to its end: what was said stands in the log, and nothing is asked or answered any more.
    pub(crate) async fn end(&self, execution: &Execution) {
        // If the log refuses it, it refuses the terminal entry too, which is where that is told.
        let _ = self.settle(execution).await;
        self.stop();
    }

    /// Nothing is asked, answered or said any more: the run is cancelled.
    pub(crate) fn stop(&self) {
        self.lock().stop();
    }

    /// Says what is to be said, waiting for room.
    async fn settle(&self, execution: &Execution) -> Result<(), LogError> {
        while !self.lock().ship(execution)? {
            Box::pin(execution.writer().room()).await;
        }
        Ok(())
    }

    /// Waits until everything that was said is durable.
    async fn durable(&self, execution: &Execution) -> Result<(), LogError> {
        self.settle(execution).await?;
        let said = self.lock().said;
        execution.writer().durable(said).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of the user runs under this lock, so what it guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A question has come to its end, and the log is to tell.
    fn close(&mut self, execution: &Execution, open: &Open, told: &ApprovalAnswer, closed: Closed) {
        self.closed.push_back((told.ask, closed));
        if self.closed.len() > execution.options.max_answers_kept {
            self.closed.pop_front();
        }
        self.unsaid.push_back(vec![event(&open.approval.node_id, EventType::APPROVAL_ANSWER, &json!(told))]);
    }

    /// Whether an answer to a question that is not open is the one that counted.
    fn check_closed(
        &self,
        execution: &Execution,
        ask: AskId,
        answer: Fingerprint,
    ) -> Result<(), ControlError> {
        let closed = self.closed.iter().find(|(id, _)| *id == ask).map(|(_, closed)| *closed);
        Err(match closed {
            Some(Closed::Answered(first)) if first == answer => return Ok(()),
            Some(Closed::Answered(_)) => ControlError::AlreadyAnswered { ask },
            Some(closed) => ControlError::AskClosed { ask, how: closed.how() },
            None if ask.number() <= self.last => {
                let how = if self.over { "the execution has ended" } else { "it came to its end long ago" };
                ControlError::AskClosed { ask, how }
            }
            None => {
                let open: Vec<String> = self.open.keys().map(AskId::to_string).collect();
                let open = match open.as_slice() {
                    [] => "it waits for no answer".into(),
                    open => format!("open questions: {}", open.join(", ")),
                };
                ControlError::UnknownAsk { id: execution.id().clone(), ask, open }
            }
        })
    }

    /// Appends what is to be said; whether all of it found room.
    fn ship(&mut self, execution: &Execution) -> Result<bool, LogError> {
        if let Some(error) = &self.fault {
            return Err(error.clone());
        }
        while let Some(events) = self.unsaid.front_mut() {
            match execution.writer().try_append(events) {
                Ok(Some(last)) => {
                    self.said = last;
                    self.unsaid.pop_front();
                }
                Ok(None) => return Ok(false),
                Err(error) => {
                    tracing::error!(execution = %execution.id(), %error, "log refused a question or its answer");
                    // Nobody can be asked by a log that takes nothing: who waits is told.
                    self.fault = Some(error.clone());
                    self.stop();
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    fn stop(&mut self) {
        self.over = true;
        self.unsaid.clear();
        // Whoever waits for one of them hears that its sender is gone.
        self.open.clear();
    }

    /// Why a node is neither asked for nor given an answer.
    fn closed_error(&self) -> NodeError {
        match &self.fault {
            Some(error) => broken(error.clone()),
            None => NodeError::coded("ask_closed", "the execution ends, and takes no answers any more"),
        }
    }
}

impl Asked<'_> {
    /// Waits for the answer, and until it is durable; `None` if `deadline` came first and there is no default.
    ///
    /// # Cancel safety
    /// A question that is no longer waited for is withdrawn.
    pub(crate) async fn answer(mut self, deadline: impl Future<Output = ()>) -> NodeResult<Option<Value>> {
        let (execution, asks) = (self.execution, &self.execution.asks);
        let in_time = tokio::select! {
            biased;
            answer = &mut self.answer => Some(answer),
            () = deadline => None,
        };
        let answer = match in_time {
            Some(answer) => answer.map(Some),
            None => match asks.expire(execution, self.id) {
                Some(default) => Ok(default),
                None => (&mut self.answer).await.map(Some),
            },
        };
        let answer = answer.map_err(|_| asks.lock().closed_error())?;
        // Nobody acts on an answer that may yet be lost.
        asks.durable(execution).await.map_err(broken)?;
        Ok(answer)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.execution.asks.withdraw(self.execution, self.id);
    }
}

/// What a question or its end is in the log. Neither is left out by what the node's attributes choose: a run that waits
/// and does not say so would wait for ever.
fn event(node: &NodeName, event_type: EventType, data: &Value) -> Event {
    Event::named(Some(node.clone()), event_type, data)
}

fn broken(error: LogError) -> NodeError {
    NodeError::coded(error.code(), "the execution's log takes no more entries").caused_by(error).conclusive()
}

fn check_size(execution: &Execution, size: usize) -> Result<(), ControlError> {
    let of_log = execution.max_event_bytes.saturating_sub(ANSWER_FRAME_BYTES);
    let limits = [
        (execution.options.max_answer_bytes, "EngineOptions::max_answer_bytes"),
        (of_log, "LogOptions::max_event_bytes"),
    ];
    match limits.into_iter().find(|(limit, _)| size > *limit) {
        Some((limit, option)) => Err(ControlError::AnswerTooLarge { size, limit, option }),
        None => Ok(()),
    }
}

fn check(form: &Form, answer: &Value, by: Option<&str>) -> Result<(), String> {
    let limit = Signal::MAX_BY;
    match by.map(|by| by.chars().count()) {
        Some(length) if length > limit => {
            Err(format!("`by` has {length} characters, over the limit of {limit}"))
        }
        _ => form.check(answer),
    }
}
