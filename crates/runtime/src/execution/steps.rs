//! The moving part of an execution: from node to node.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde_json::{Value, json};
use streamnest_core::{
    Event, EventType,
    payload::{Failure, StatusUpdate},
};
use tokio::time::Instant;

use super::{Execution, Outcome, log_failure, panicked, unserializable, visit::Visit};
use crate::{
    NodeContext, NodeError, NodeKind, NodeResult, State as _, Workflow,
    definition::{Definition, Node},
    output::{NodeOutput, progress_tracker::Ending},
    scheduler::{Command, Scheduler},
    workflow::{Step, Target},
};

/// The moving part of an execution.
pub(super) struct Steps<W: Workflow> {
    execution: Arc<Execution>,
    definition: Arc<Definition<W>>,
    workflow: Arc<W>,
    /// The visit that is under way.
    visiting: Option<(NodeContext, Arc<NodeOutput>)>,
}

impl<W: Workflow> Steps<W> {
    pub(super) const fn new(
        execution: Arc<Execution>,
        definition: Arc<Definition<W>>,
        workflow: Arc<W>,
    ) -> Self {
        Self { execution, definition, workflow, visiting: None }
    }

    /// Visits node after node until there is an outcome.
    pub(super) async fn proceed(&mut self, state: W::State) -> Outcome {
        if let Err(failure) = self.begin().await {
            return Outcome::Failed(failure);
        }
        let mut state = Arc::new(state);
        let mut scheduler = Scheduler::new(self.definition.graph.clone());
        let mut command = scheduler.begin();
        loop {
            match command {
                Command::Run { node, visit } => match self.visit(node, visit, &mut state).await {
                    Ok(target) => command = scheduler.completed(node, target.as_ref()),
                    Err(failure) => return Outcome::Failed(failure),
                },
                Command::Complete => {
                    return match serde_json::to_value(&*state) {
                        Ok(result) => Outcome::Completed(result),
                        Err(error) => Outcome::Failed(unserializable(&error)),
                    };
                }
                Command::Fail(error) => {
                    return Outcome::Failed(super::failure(error.code(), error.to_string()));
                }
            }
        }
    }

    async fn begin(&self) -> Result<(), Failure> {
        let mut events = vec![Event::status(&StatusUpdate::running())];
        if self.definition.streaming {
            let data = json!({"workflow": self.definition.name});
            events.push(Event::named(None, EventType::WORKFLOW_START, &data));
        }
        self.execution.writer.append(events).await.map(drop).map_err(|error| log_failure(&error))
    }

    /// Runs one visit of a node; where its `Goto` leads, if it returned one.
    async fn visit(
        &mut self,
        index: usize,
        visit: u32,
        state: &mut Arc<W::State>,
    ) -> Result<Option<Target>, Failure> {
        let definition = self.definition.clone();
        let node = definition.nodes.get(index).expect("the scheduler names nodes of this graph only");
        let output = NodeOutput::new(self.execution.clone(), node.plan.clone(), visit);
        let ctx = NodeContext::new(output.clone());
        self.visiting = Some((ctx.clone(), output.clone()));
        let began = Instant::now();
        let ended = self.body(node, &ctx, &output, state).await;
        // After a success there are none any more; what is left of the context starts no new ones.
        ctx.abort_tasks().await;
        let ended = match ended {
            Ok(step) => self.complete(node, step, &output, state).await,
            Err(error) => Err(error),
        };
        let ended = match ended {
            Ok(target) => {
                let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let data = json!({"visit": visit, "durationMs": milliseconds});
                output.emit_own(EventType::NODE_COMPLETE, data).await;
                output.seal().await;
                // What the log refused at the very end, or a transformer of these last words.
                output.fault().map_or(Ok(target), |error| Err(self.failure(node, &error)))
            }
            Err(error) => {
                output.close().await;
                output.end_progress(Ending::Failed).await;
                let failure = self.failure(node, &error);
                let data = json!({"code": failure.code, "message": failure.message, "visit": visit});
                output.emit_own(EventType::NODE_ERROR, data).await;
                output.seal().await;
                Err(failure)
            }
        };
        self.visiting = None;
        ended
    }

    /// Says that the visit begins, and runs the body.
    async fn body(
        &self,
        node: &Node<W>,
        ctx: &NodeContext,
        output: &Arc<NodeOutput>,
        state: &Arc<W::State>,
    ) -> NodeResult<Step<W::State>> {
        let visit = output.visit;
        output.emit_own(EventType::NODE_START, json!({"kind": node.kind.as_str(), "visit": visit})).await;
        if let Some((start, _)) = around(node.kind) {
            output.emit_own(start, json!({"visit": visit})).await;
        }
        output.flush().await;
        output.begin_progress().await;
        let (handler, workflow) = (node.handler.clone(), self.workflow.clone());
        let (state, ctx) = (state.clone(), ctx.clone());
        let body = Box::pin(async move {
            let step = handler(workflow, state, ctx.clone()).await?;
            ctx.join_tasks().await?;
            Ok(step)
        });
        let visiting = Visit::new(body, output.clone());
        let Some(limit) = node.timeout else { return visiting.await };
        output.watch.within(limit, visiting).await.unwrap_or_else(|| {
            let message = format!("node `{}` ran longer than {limit:?}", node.plan.name);
            Err(NodeError::coded("node_timeout", message))
        })
    }

    /// The body has returned: what it comes to, as far as it can still fail.
    async fn complete(
        &self,
        node: &Node<W>,
        step: Step<W::State>,
        output: &NodeOutput,
        state: &mut Arc<W::State>,
    ) -> NodeResult<Option<Target>> {
        output.close().await;
        let (update, target) = apply::<W>(step, state)?;
        output.fault().map_or(Ok(()), Err)?;
        if let Some((_, complete)) = around(node.kind) {
            let mut data = json!({"visit": output.visit});
            if let (Value::Object(fields), Some(usage)) = (&mut data, output.usage()) {
                fields.insert("usage".into(), json!(usage));
            }
            output.emit_own(complete, data).await;
        }
        if let Some(update) = update {
            output.emit_own(EventType::UPDATES, update).await;
        }
        if output.emits(&EventType::VALUES) {
            let values = catch_unwind(AssertUnwindSafe(|| serde_json::to_value(&**state)));
            let values = values.map_err(|panic| panicked("its state", panic.as_ref()))?;
            let values = values.map_err(|error| {
                let failure = unserializable(&error);
                NodeError::coded("state_not_json", failure.message)
            })?;
            output.emit_own(EventType::VALUES, values).await;
        }
        output.fault().map_or(Ok(()), Err)?;
        output.end_progress(Ending::Succeeded).await;
        Ok(target)
    }

    fn failure(&self, node: &Node<W>, error: &NodeError) -> Failure {
        let name = &node.plan.name;
        tracing::warn!(execution = %self.execution.id, node = %name, code = error.code(), %error, "node failed");
        let message = self.execution.cut(error.public_message(name));
        Failure { code: error.code().into(), message, node_id: Some(name.to_string()) }
    }

    /// Ends the visit that was under way when the run was stopped. Its body is dropped already.
    pub(super) async fn break_off(&mut self, ending: Ending) {
        if let Some((ctx, output)) = self.visiting.take() {
            ctx.abort_tasks().await;
            output.close().await;
            output.end_progress(ending).await;
            output.seal().await;
        }
    }
}

/// Changes the state as a node said; its update as JSON.
fn apply<W: Workflow>(
    step: Step<W::State>,
    state: &mut Arc<W::State>,
) -> NodeResult<(Option<Value>, Option<Target>)> {
    let Some(update) = step.update else { return Ok((None, step.target)) };
    // A reducer is the user's code, and so is what writes an update as JSON.
    let applied = catch_unwind(AssertUnwindSafe(|| {
        let json = serde_json::to_value(&update)?;
        Arc::make_mut(state).apply(update);
        Ok::<_, serde_json::Error>(json)
    }));
    let json = applied.map_err(|panic| panicked("a reducer of its state", panic.as_ref()))??;
    Ok((Some(json), step.target))
}

/// The events around a body of this kind.
const fn around(kind: NodeKind) -> Option<(EventType, EventType)> {
    match kind {
        NodeKind::Llm => Some((EventType::LLM_START, EventType::LLM_COMPLETE)),
        NodeKind::Tool => Some((EventType::TOOL_START, EventType::TOOL_COMPLETE)),
        _ => None,
    }
}
