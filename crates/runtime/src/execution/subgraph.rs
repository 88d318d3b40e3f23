//! A workflow that runs within a node of another.

use std::sync::Arc;

use super::steps::Steps;
use crate::{NodeContext, NodeError, NodeResult, Workflow, output::progress_tracker::Ending};

/// Runs `workflow` from `state` within the visit of `ctx`, and returns its last state.
pub(crate) async fn run<V: Workflow>(
    ctx: &NodeContext,
    workflow: Arc<V>,
    state: V::State,
) -> NodeResult<V::State> {
    let output = ctx.output();
    let subgraph = output.plan.subgraph.as_ref();
    let Some(definition) = subgraph.and_then(|subgraph| subgraph.definition::<V>()) else {
        let runs = match subgraph {
            Some(subgraph) => format!("declares the workflow `{}`", subgraph.workflow),
            None => "declares no workflow".into(),
        };
        let (node, other) = (&output.plan.name, std::any::type_name::<V>());
        let message = format!(
            "node `{node}` {runs} and ran `{other}`; name that one by `workflow = …` in `#[node]` or by `NodeBuilder::subgraph`"
        );
        return Err(NodeError::coded("subgraph_not_declared", message).conclusive());
    };
    let limit = definition.timeout;
    let name = definition.name.clone();
    let steps = Steps::within(output.clone(), definition, workflow, state);
    output.tasks.adopt(steps.live.clone());
    // It would be part of the body's own future, once for each who hands it on.
    let work = Box::pin(steps.proceed());
    let ended = match limit {
        None => work.await,
        Some(limit) => Box::pin(output.watch.within(limit, work)).await.unwrap_or_else(|| {
            let message = format!("workflow `{name}` ran longer than {limit:?}");
            Err(NodeError::coded("workflow_timeout", message))
        }),
    };
    if ended.is_err() {
        steps.break_off(Ending::Failed, "its workflow has failed").await;
    }
    output.tasks.disown(&steps.live);
    // It holds the state too, which need not be copied then.
    drop(steps);
    ended.map(Arc::unwrap_or_clone)
}
