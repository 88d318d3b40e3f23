//! One visit of a node, attempt by attempt.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use streamnest_core::{BoxFuture, EventType};
use tokio::time::{Instant, sleep};

use super::{
    lock, panicked,
    steps::{Begin, Reached, Steps},
    unserializable,
    visit::Visit,
    words::Words,
};
use crate::{
    NodeContext, NodeError, NodeKind, NodeResult, State, Workflow,
    definition::Node,
    history::{Taken, Version},
    output::{
        At, NodeOutput,
        progress_tracker::{Ending, Told},
    },
    scheduler::VisitId,
    workflow::{Body, Handler, Step, Target, random},
};

/// Where a visit stands in its run.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub(super) visit: VisitId,
    /// The node's number in the graph.
    node: usize,
    /// Which pass through the node it is, in the whole execution.
    pub(super) number: u32,
}

impl<W: Workflow> Steps<W> {
    /// Runs a visit to its end: what it reached, or why it failed for good.
    pub(super) async fn visit(&self, begin: Begin<W::State>) -> NodeResult<Reached<W::State>> {
        let Begin { visit, node: index, number, tokens } = begin;
        let node = self.definition.nodes.get(index).expect("the scheduler names nodes of this graph only");
        let number = if self.around.is_none() { number } else { self.execution.next_visit(&node.plan.name) };
        let pass = Pass { visit, node: index, number };
        let opened = lock(&self.history).open(tokens);
        let version = opened.map_err(|conflict| self.conflict(conflict))?.version();
        let reached = match &node.body {
            Body::Once(handler) => self.attempts(node, pass, handler, version).await,
            // It would be part of every visit.
            Body::Each(each) => Box::pin(self.all_items(node, pass, each, version)).await,
        };
        reached.map_err(|error| error.began_in(&node.plan.name))
    }

    async fn attempts(
        &self,
        node: &Node<W>,
        pass: Pass,
        handler: &Handler<W>,
        version: Version<W::State>,
    ) -> NodeResult<Reached<W::State>> {
        let (mut version, mut told) = (Some(version), None);
        let mut attempt = 1;
        loop {
            let at = At { visit: pass.number, attempt, item: None };
            match self.attempt(node, pass, at, handler, &mut version, &mut told).await {
                Ok(reached) => return Ok(reached),
                Err((error, None)) => return Err(error),
                Err((_, Some(wait))) => sleep(wait).await,
            }
            attempt += 1;
        }
    }

    /// Runs one attempt, which goes on from the progress that those before it have `told`; if it failed, why, and how long to
    /// wait for the next one.
    async fn attempt(
        &self,
        node: &Node<W>,
        pass: Pass,
        at: At,
        handler: &Handler<W>,
        version: &mut Option<Version<W::State>>,
        told: &mut Option<Told>,
    ) -> Result<Reached<W::State>, (NodeError, Option<Duration>)> {
        let output = NodeOutput::new(self.execution.clone(), node.plan.clone(), at, self.around.clone());
        self.live.enter(pass.visit, &output);
        let began = Instant::now();
        let start = Words { kind: Some(node.kind.as_str()), ..Words::of(&output) };
        say_begin(node, &output, EventType::NODE_START, &start);
        let state = version.as_ref().map(|version| version.state.clone());
        let state = state.expect("a version is taken only by an attempt after which there is no other");
        let body = {
            let (handler, workflow, ctx) =
                (handler.clone(), self.workflow.clone(), NodeContext::new(output.clone()));
            move || handler(workflow, state, ctx)
        };
        let ended = self.body(node, &output, told.take(), body).await;
        let reached = match ended {
            Ok(step) => self.complete(node, pass, vec![step], &output, version).await,
            Err(error) => Err(error),
        };
        let reached = match reached {
            Ok(reached) => {
                self.say_complete(EventType::NODE_COMPLETE, began, &output).await.map(|()| reached)
            }
            Err(error) => {
                let wait = wait_after(node, &output, &error);
                *told = Box::pin(self.say_failed(node, &output, &error, wait)).await;
                self.live.leave(pass.visit, &output);
                return Err((error, wait));
            }
        };
        self.live.leave(pass.visit, &output);
        reached.map_err(|error| (error, None))
    }

    /// Runs the body of an attempt to its end, with all its tasks.
    pub(super) async fn body<T: Send + 'static>(
        &self,
        node: &Node<W>,
        output: &Arc<NodeOutput>,
        told: Option<Told>,
        body: impl FnOnce() -> BoxFuture<'static, NodeResult<T>> + Send + 'static,
    ) -> NodeResult<T> {
        output.flush().await;
        output.begin_progress(told).await;
        let ended = {
            let mut begun = Visit::begin(body, output);
            // Awaited where it is: what is handed on is kept twice.
            match begun {
                Err(error) => Err(error),
                Ok(ref mut visit) => match node.timeout {
                    None => visit.await,
                    Some(limit) => {
                        // What it takes to keep the time would be part of every visit.
                        Box::pin(output.watch.within(limit, visit)).await.unwrap_or_else(|| {
                            let message = format!("node `{}` ran longer than {limit:?}", node.plan.name);
                            Err(NodeError::coded("node_timeout", message))
                        })
                    }
                },
            }
        };
        // After a success there are none any more; what is left of the context starts no new ones.
        output.tasks.abort(Ending::Failed).await;
        ended
    }

    /// The body has returned: what it comes to, as far as it can still fail.
    pub(super) async fn complete(
        &self,
        node: &Node<W>,
        pass: Pass,
        steps: Vec<Step<W::State>>,
        output: &NodeOutput,
        version: &mut Option<Version<W::State>>,
    ) -> NodeResult<Reached<W::State>> {
        output.close().await;
        let Returned { updates, json, target } = read::<W>(node, steps)?;
        let version = version.take().expect("a version is taken only once");
        let applied = {
            let mut history = lock(&self.history);
            // A reducer is the user's code.
            catch_unwind(AssertUnwindSafe(|| {
                history.close(version, (pass.node, pass.number), updates, &json)
            }))
        };
        // What a reducer left half done is no state to try again with.
        let version =
            applied.map_err(|panic| panicked("a reducer of its state", panic.as_ref()).conclusive())?;
        output.fault().map_or(Ok(()), |error| Err(error.conclusive()))?;
        // Items have said it for themselves.
        if matches!(node.body, Body::Once(_)) {
            say_done(node, output);
        }
        for update in json {
            output.say(EventType::UPDATES, &update);
            output.settle().await;
        }
        if output.emits(&EventType::VALUES) {
            let values = catch_unwind(AssertUnwindSafe(|| serde_json::to_value(&*version.state)));
            let values = values.map_err(|panic| panicked("its state", panic.as_ref()).conclusive())?;
            let values = values.map_err(|error| {
                let failure = unserializable(&self.execution, &error);
                NodeError::coded("state_not_json", failure.message).conclusive()
            })?;
            output.say(EventType::VALUES, &values);
            output.settle().await;
        }
        output.fault().map_or(Ok(()), |error| Err(error.conclusive()))?;
        output.end_progress(Ending::Succeeded).await;
        Ok((Arc::new(version), target))
    }

    /// The last words of an attempt that succeeded.
    pub(super) async fn say_complete(
        &self,
        event_type: EventType,
        began: Instant,
        output: &NodeOutput,
    ) -> NodeResult<()> {
        output.say(event_type, &Words { duration_ms: Some(millis(began.elapsed())), ..Words::of(output) });
        output.seal().await;
        // What the log refused at the very end, or a transformer of these last words.
        output.fault().map_or(Ok(()), |error| Err(error.conclusive()))
    }

    /// The last words of an attempt that failed: that it is tried again after `wait`, with the progress from which that goes
    /// on, or that it is not.
    pub(super) async fn say_failed(
        &self,
        node: &Node<W>,
        output: &NodeOutput,
        error: &NodeError,
        wait: Option<Duration>,
    ) -> Option<Told> {
        output.close().await;
        let told = match wait {
            Some(_) => output.hand_over_progress(),
            None => {
                output.end_progress(Ending::Failed).await;
                None
            }
        };
        let failure = self.execution.failure_of(error, Some(&node.plan.name));
        let words = Words {
            code: Some(&failure.code),
            message: Some(&failure.message),
            delay_ms: wait.map(millis),
            ..Words::of(output)
        };
        output.say(if wait.is_some() { EventType::NODE_RETRY } else { EventType::NODE_ERROR }, &words);
        output.seal().await;
        told
    }
}

/// How long to wait before the next attempt after one that failed; `None` if there is no other.
pub(super) fn wait_after<W: Workflow>(
    node: &Node<W>,
    output: &NodeOutput,
    error: &NodeError,
) -> Option<Duration> {
    node.retry.as_ref().and_then(|retry| retry.wait_after(output.attempt, error, random()))
}

/// What the user's body returned: updates, the same as JSON, and where to go on.
struct Returned<S: State> {
    updates: Vec<S::Update>,
    json: Vec<Value>,
    target: Option<Target>,
}

/// Reads what the user's body returned.
fn read<W: Workflow>(node: &Node<W>, steps: Vec<Step<W::State>>) -> NodeResult<Returned<W::State>> {
    let mut returned = Returned { updates: Vec::new(), json: Vec::new(), target: None };
    let alone = steps.len() == 1;
    let mut taken = Taken::default();
    for step in steps {
        returned.target = step.target;
        let Some(update) = step.update else { continue };
        // What writes an update as JSON is the user's code.
        let json = catch_unwind(AssertUnwindSafe(|| serde_json::to_value(&update)));
        let json = json.map_err(|panic| panicked("an update of its state", panic.as_ref()))??;
        if !alone && let Err(place) = taken.take::<W::State>(&json) {
            let (name, field) = (&node.plan.name, place.field);
            let key = place.key.map(|key| format!(" at `{key}`")).unwrap_or_default();
            let message = format!(
                "two items of node `{name}` both changed field `{field}`{key} of the state; give the field a reducer that joins \
                 changes (append, merge, maximum, minimum, sum), or gather the values of the items"
            );
            return Err(NodeError::coded("state_conflict", message).conclusive());
        }
        returned.updates.push(update);
        returned.json.push(json);
    }
    Ok(returned)
}

/// Says that an attempt begins, and the body of a node of some kinds.
pub(super) fn say_begin<W: Workflow>(
    node: &Node<W>,
    output: &NodeOutput,
    begin: EventType,
    words: &Words<'_>,
) {
    output.say(begin, words);
    if let Some((start, _)) = around(node.kind) {
        output.say(start, &Words::of(output));
    }
}

/// Says that the body of a node of some kinds is done.
pub(super) fn say_done<W: Workflow>(node: &Node<W>, output: &NodeOutput) {
    if let Some((_, complete)) = around(node.kind) {
        let usage = output.usage().map(|usage| json!(usage));
        output.say(complete, &Words { usage, ..Words::of(output) });
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The events around a body of this kind.
const fn around(kind: NodeKind) -> Option<(EventType, EventType)> {
    match kind {
        NodeKind::Llm => Some((EventType::LLM_START, EventType::LLM_COMPLETE)),
        NodeKind::Tool => Some((EventType::TOOL_START, EventType::TOOL_COMPLETE)),
        _ => None,
    }
}
