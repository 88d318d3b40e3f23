//! A visit that runs its node's body once for each item.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::json;
use streamnest_core::EventType;
use tokio::time::{Instant, sleep};

use super::{
    attempt::{Pass, wait_after},
    live::Live,
    panicked,
    steps::{Reached, Steps},
};
use crate::{
    NodeContext, NodeResult, ProgressMetadata, Workflow,
    definition::Node,
    history::Version,
    output::{At, NodeOutput, progress_tracker::Ending},
    workflow::{Each, Items},
};

impl<W: Workflow> Steps<W> {
    /// Runs the body for all items, as many at once as the node allows.
    pub(super) async fn all_items(
        &self,
        node: &Node<W>,
        pass: Pass,
        each: &Arc<dyn Each<W>>,
        version: Version<W::State>,
    ) -> NodeResult<Reached<W::State>> {
        let output = NodeOutput::new(
            self.execution.clone(),
            node.plan.clone(),
            At::first(pass.number),
            self.around.clone(),
        );
        let ctx = NodeContext::new(output.clone());
        self.live.enter(pass.visit, &ctx);
        let began = Instant::now();
        let worked = self.work(node, pass, each, &version, &ctx).await;
        ctx.abort_tasks(Ending::Failed).await;
        let mut version = Some(version);
        let reached = match worked {
            Ok(steps) => self.complete(node, pass, steps, &output, &mut version).await,
            Err(error) => Err(error),
        };
        let reached = match reached {
            Ok(reached) => {
                self.say_complete(EventType::NODE_COMPLETE, began, &output).await.map(|()| reached)
            }
            // The items had their attempts, but the node around this one has its own.
            Err(error) => {
                self.say_failed(node, &output, &error, None).await;
                self.live.leave(pass.visit, &ctx);
                return Err(error);
            }
        };
        self.live.leave(pass.visit, &ctx);
        reached
    }

    async fn work(
        &self,
        node: &Node<W>,
        pass: Pass,
        each: &Arc<dyn Each<W>>,
        version: &Version<W::State>,
        ctx: &NodeContext,
    ) -> NodeResult<Vec<crate::Step<W::State>>> {
        let (workflow, state) = (self.workflow.clone(), version.state.clone());
        let found = catch_unwind(AssertUnwindSafe(|| each.begin(workflow, state)));
        let items = found.map_err(|panic| panicked("what finds the items of the node", panic.as_ref()))?;
        let (count, output) = (items.count(), ctx.output());
        let start = json!({"kind": node.kind.as_str(), "visit": pass.number, "attempt": 1, "items": count});
        output.emit_own(EventType::NODE_START, start).await;
        output.flush().await;
        output.begin_progress().await;
        let live: Arc<Live> = Arc::default();
        ctx.adopt(live.clone());
        let item = |index| self.item(node, pass, index, items.clone(), output, &live);
        let mut left = 0..count;
        let mut running: FuturesUnordered<_> = left.by_ref().take(node.concurrency).map(item).collect();
        let mut done = 0_usize;
        while let Some(ended) = running.next().await {
            ended?;
            done += 1;
            output.progress(done as f64, count as f64, ProgressMetadata::new()).await;
            running.extend(left.next().map(item));
        }
        let gathered = catch_unwind(AssertUnwindSafe(|| items.finish()));
        gathered.map_err(|panic| panicked("what gathers the items of the node", panic.as_ref()))
    }

    /// Runs the body for one item, attempt by attempt.
    async fn item(
        &self,
        node: &Node<W>,
        pass: Pass,
        index: usize,
        items: Arc<dyn Items<W::State>>,
        around: &Arc<NodeOutput>,
        live: &Arc<Live>,
    ) -> NodeResult<()> {
        let mut attempt = 1;
        loop {
            let item = Some(u32::try_from(index).unwrap_or(u32::MAX));
            let at = At { visit: pass.number, attempt, item };
            let output = NodeOutput::new(self.execution.clone(), node.plan.clone(), at, Some(around.clone()));
            let ctx = NodeContext::new(output.clone());
            live.enter(pass.visit, &ctx);
            let began = Instant::now();
            let start = json!({"visit": at.visit, "attempt": attempt, "item": index});
            let body = {
                let (items, ctx) = (items.clone(), ctx.clone());
                move || items.run(index, ctx)
            };
            let mut ended = self.body(node, &ctx, EventType::ITEM_START, start, body).await;
            if ended.is_ok() {
                output.close().await;
                ended = output.fault().map_or(Ok(()), Err);
            }
            match ended {
                Ok(()) => {
                    self.say_done(node, &output).await;
                    output.end_progress(Ending::Succeeded).await;
                    let said = self.say_complete(EventType::ITEM_COMPLETE, began, &output).await;
                    live.leave(pass.visit, &ctx);
                    return said;
                }
                Err(error) => {
                    let wait = wait_after(node, &output, &error);
                    self.say_failed(node, &output, &error, wait).await;
                    live.leave(pass.visit, &ctx);
                    let Some(wait) = wait else { return Err(error) };
                    sleep(wait).await;
                }
            }
            attempt += 1;
        }
    }
}
