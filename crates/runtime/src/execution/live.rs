//! The attempts that are under way, so that each of them is brought to its end when its run is.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex},
};

use serde_json::json;
use streamnest_core::{BoxFuture, EventType};

use super::lock;
use crate::{NodeContext, output::progress_tracker::Ending, scheduler::VisitId};

/// The attempts of one run that are under way, by visit and item.
#[derive(Default)]
pub(crate) struct Live(Mutex<BTreeMap<(VisitId, Option<u32>), NodeContext>>);

impl Live {
    pub(super) fn enter(&self, visit: VisitId, ctx: &NodeContext) {
        lock(&self.0).insert((visit, ctx.output().item), ctx.clone());
    }

    /// An attempt has come to its end by itself.
    pub(super) fn leave(&self, visit: VisitId, ctx: &NodeContext) {
        let left = lock(&self.0).remove(&(visit, ctx.output().item));
        drop(left);
    }

    /// Ends the attempt of `visit`, or all. Their bodies are dropped already.
    pub(crate) fn break_off<'a>(
        self: &'a Arc<Self>,
        visit: Option<VisitId>,
        ending: Ending,
        reason: &'static str,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let ended = {
                let mut live = lock(&self.0);
                match visit {
                    None => mem::take(&mut *live),
                    Some(visit) => live.remove_entry(&(visit, None)).into_iter().collect(),
                }
            };
            for ctx in ended.into_values() {
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
