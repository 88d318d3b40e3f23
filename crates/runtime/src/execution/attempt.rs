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
    lock, panicked, say_item,
    steps::{Begin, Reached, Steps},
    unserializable,
    visit::Visit,
};
use crate::{
    NodeContext, NodeError, NodeKind, NodeResult, State, Workflow,
    definition::Node,
    history::{Taken, Version},
    output::{At, NodeOutput, progress_tracker::Ending},
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
        let version = opened.map_err(|conflict| self.conflict(conflict))?;
        let reached = match &node.body {
            Body::Once(handler) => self.attempts(node, pass, handler, version).await,
            Body::Each(each) => self.all_items(node, pass, each, version).await,
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
        let mut version = Some(version);
        let mut attempt = 1;
        loop {
            let at = At { visit: pass.number, attempt, item: None };
            match self.attempt(node, pass, at, handler, &mut version).await {
                Ok(reached) => return Ok(reached),
                Err((error, None)) => return Err(error),
                Err((_, Some(wait))) => sleep(wait).await,
            }
            attempt += 1;
        }
    }

    /// Runs one attempt; if it failed, why, and how long to wait for the next one.
    async fn attempt(
        &self,
        node: &Node<W>,
        pass: Pass,
        at: At,
        handler: &Handler<W>,
        version: &mut Option<Version<W::State>>,
    ) -> Result<Reached<W::State>, (NodeError, Option<Duration>)> {
        let output = NodeOutput::new(self.execution.clone(), node.plan.clone(), at, self.around.clone());
        let ctx = NodeContext::new(output.clone());
        self.live.enter(pass.visit, &ctx);
        let began = Instant::now();
        let start = json!({"kind": node.kind.as_str(), "visit": at.visit, "attempt": at.attempt});
        let state = version.as_ref().map(|version| version.state.clone());
        let state = state.expect("a version is taken only by an attempt after which there is no other");
        let body = {
            let (handler, workflow, ctx) = (handler.clone(), self.workflow.clone(), ctx.clone());
            move || handler(workflow, state, ctx)
        };
        let ended = self.body(node, &ctx, EventType::NODE_START, start, body).await;
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
                self.say_failed(node, &output, &error, wait).await;
                self.live.leave(pass.visit, &ctx);
                return Err((error, wait));
            }
        };
        self.live.leave(pass.visit, &ctx);
        reached.map_err(|error| (error, None))
    }

    /// Says that an attempt begins, and runs its body to its end, with all its tasks.
    pub(super) async fn body<T: Send + 'static>(
        &self,
        node: &Node<W>,
        ctx: &NodeContext,
        begin: EventType,
        data: Value,
        body: impl FnOnce() -> BoxFuture<'static, NodeResult<T>> + Send + 'static,
    ) -> NodeResult<T> {
        let output = ctx.output();
        output.emit_own(begin, data).await;
        if let Some((start, _)) = around(node.kind) {
            output.emit_own(start, place(output)).await;
        }
        output.flush().await;
        output.begin_progress().await;
        let visiting = {
            let ctx = ctx.clone();
            let body = Box::pin(async move {
                let value = body().await?;
                ctx.join_tasks().await?;
                Ok(value)
            });
            Visit::new(body, output.clone())
        };
        let ended = match node.timeout {
            None => visiting.await,
            Some(limit) => output.watch.within(limit, visiting).await.unwrap_or_else(|| {
                let message = format!("node `{}` ran longer than {limit:?}", node.plan.name);
                Err(NodeError::coded("node_timeout", message))
            }),
        };
        // After a success there are none any more; what is left of the context starts no new ones.
        ctx.abort_tasks(Ending::Failed).await;
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
            self.say_done(node, output).await;
        }
        for update in json {
            output.emit_own(EventType::UPDATES, update).await;
        }
        if output.emits(&EventType::VALUES) {
            let values = catch_unwind(AssertUnwindSafe(|| serde_json::to_value(&*version.state)));
            let values = values.map_err(|panic| panicked("its state", panic.as_ref()).conclusive())?;
            let values = values.map_err(|error| {
                let failure = unserializable(&error);
                NodeError::coded("state_not_json", failure.message).conclusive()
            })?;
            output.emit_own(EventType::VALUES, values).await;
        }
        output.fault().map_or(Ok(()), |error| Err(error.conclusive()))?;
        output.end_progress(Ending::Succeeded).await;
        Ok((Arc::new(version), target))
    }

    /// Says that the body of a node of some kinds is done.
    pub(super) async fn say_done(&self, node: &Node<W>, output: &NodeOutput) {
        if let Some((_, complete)) = around(node.kind) {
            let mut data = place(output);
            if let (Value::Object(fields), Some(usage)) = (&mut data, output.usage()) {
                fields.insert("usage".into(), json!(usage));
            }
            output.emit_own(complete, data).await;
        }
    }

    /// The last words of an attempt that succeeded.
    pub(super) async fn say_complete(
        &self,
        event_type: EventType,
        began: Instant,
        output: &NodeOutput,
    ) -> NodeResult<()> {
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut data = place(output);
        if let Value::Object(fields) = &mut data {
            fields.insert("durationMs".into(), milliseconds.into());
        }
        output.emit_own(event_type, data).await;
        output.seal().await;
        // What the log refused at the very end, or a transformer of these last words.
        output.fault().map_or(Ok(()), |error| Err(error.conclusive()))
    }

    /// The last words of an attempt that failed: that it is tried again after `wait`, or that it is not.
    pub(super) async fn say_failed(
        &self,
        node: &Node<W>,
        output: &NodeOutput,
        error: &NodeError,
        wait: Option<Duration>,
    ) {
        output.close().await;
        output.end_progress(Ending::Failed).await;
        let failure = self.execution.failure_of(error, Some(&node.plan.name));
        let mut data = json!({"code": failure.code, "message": failure.message, "visit": output.visit, "attempt": output.attempt});
        say_item(output, &mut data);
        if let (Some(wait), Value::Object(fields)) = (wait, &mut data) {
            let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            fields.insert("delayMs".into(), milliseconds.into());
        }
        let event_type = if wait.is_some() { EventType::NODE_RETRY } else { EventType::NODE_ERROR };
        output.emit_own(event_type, data).await;
        output.seal().await;
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

/// Which attempt says something.
fn place(output: &NodeOutput) -> Value {
    let mut data = json!({"visit": output.visit, "attempt": output.attempt});
    say_item(output, &mut data);
    data
}

/// The events around a body of this kind.
const fn around(kind: NodeKind) -> Option<(EventType, EventType)> {
    match kind {
        NodeKind::Llm => Some((EventType::LLM_START, EventType::LLM_COMPLETE)),
        NodeKind::Tool => Some((EventType::TOOL_START, EventType::TOOL_COMPLETE)),
        _ => None,
    }
}
