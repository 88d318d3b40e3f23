//! The attempts that are under way, so that each of them is brought to its end when its run is.

use std::{
    mem,
    sync::{Arc, Mutex},
};

use serde_json::json;
use streamnest_core::{BoxFuture, EventType};

use super::lock;
use crate::{NodeContext, output::progress_tracker::Ending, scheduler::VisitId};

/// The attempts of one run that are under way.
#[derive(Default)]
pub(crate) struct Live(Mutex<Vec<(VisitId, NodeContext)>>);

impl Live {
    pub(super) fn enter(&self, visit: VisitId, ctx: &NodeContext) {
        lock(&self.0).push((visit, ctx.clone()));
    }

    /// An attempt has come to its end by itself.
    pub(super) fn leave(&self, ctx: &NodeContext) {
        lock(&self.0).retain(|(_, other)| !other.is_same(ctx));
    }

    /// Ends the attempts of `visit`, or of all. Their bodies are dropped already.
    pub(crate) fn break_off<'a>(
        self: &'a Arc<Self>,
        visit: Option<VisitId>,
        ending: Ending,
        reason: &'static str,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let ended = {
                let mut live = lock(&self.0);
                let (ended, others) = mem::take(&mut *live)
                    .into_iter()
                    .partition(|(id, _)| visit.is_none_or(|visit| visit == *id));
                *live = others;
                Vec::from_iter::<Vec<_>>(ended)
            };
            for (_, ctx) in ended {
                // What a subgraph or an item said stands before the end of the node around it.
                ctx.abort_tasks(ending).await;
                let output = ctx.output();
                output.close().await;
                output.end_progress(ending).await;
                let mut data = json!({"visit": output.visit, "attempt": output.attempt, "reason": reason});
                super::say_item(output, &mut data);
                output.emit_own(EventType::NODE_CANCELLED, data).await;
                output.seal().await;
            }
        })
    }
}
