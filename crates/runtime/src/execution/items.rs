//! A visit that runs its node's body once for each item.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use streamnest_core::EventType;
use tokio::time::{Instant, sleep};

use super::{
    attempt::{Pass, say_begin, say_done, wait_after},
    live::Live,
    panicked,
    steps::{Reached, Steps},
    words::Words,
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
        self.live.enter(pass.visit, &output);
        let began = Instant::now();
        let worked = self.work(node, pass, each, &version, &output).await;
        output.tasks.abort(Ending::Failed).await;
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
                self.live.leave(pass.visit, &output);
                return Err(error);
            }
        };
        self.live.leave(pass.visit, &output);
        reached
    }

    async fn work(
        &self,
        node: &Node<W>,
        pass: Pass,
        each: &Arc<dyn Each<W>>,
        version: &Version<W::State>,
        output: &Arc<NodeOutput>,
    ) -> NodeResult<Vec<crate::Step<W::State>>> {
        let (workflow, state) = (self.workflow.clone(), version.state.clone());
        let found = catch_unwind(AssertUnwindSafe(|| each.begin(workflow, state)));
        let items = found.map_err(|panic| panicked("what finds the items of the node", panic.as_ref()))?;
        let count = items.count();
        let start = Words { kind: Some(node.kind.as_str()), items: Some(count), ..Words::of(output) };
        output.say(EventType::NODE_START, &start);
        output.flush().await;
        output.begin_progress(None).await;
        let live: Arc<Live> = Arc::default();
        output.tasks.adopt(live.clone());
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
        let (mut attempt, mut told) = (1, None);
        loop {
            let item = Some(u32::try_from(index).unwrap_or(u32::MAX));
            let at = At { visit: pass.number, attempt, item };
            let output = NodeOutput::new(self.execution.clone(), node.plan.clone(), at, Some(around.clone()));
            live.enter(pass.visit, &output);
            let began = Instant::now();
            say_begin(node, &output, EventType::ITEM_START, &Words::of(&output));
            let body = {
                let (items, ctx) = (items.clone(), NodeContext::new(output.clone()));
                move || items.run(index, ctx)
            };
            let mut ended = self.body(node, &output, told, body).await;
            if ended.is_ok() {
                output.close().await;
                ended = output.fault().map_or(Ok(()), Err);
            }
            match ended {
                Ok(()) => {
                    say_done(node, &output);
                    output.end_progress(Ending::Succeeded).await;
                    let said = self.say_complete(EventType::ITEM_COMPLETE, began, &output).await;
                    live.leave(pass.visit, &output);
                    return said;
                }
                Err(error) => {
                    let wait = wait_after(node, &output, &error);
                    told = self.say_failed(node, &output, &error, wait).await;
                    live.leave(pass.visit, &output);
                    let Some(wait) = wait else { return Err(error) };
                    sleep(wait).await;
                }
            }
            attempt += 1;
        }
    }
}
