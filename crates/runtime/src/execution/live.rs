//! The attempts that are under way, so that each of them is brought to its end when its run is.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex},
};

use streamnest_core::{BoxFuture, EventType};

use super::{lock, words::Words};
use crate::{
    output::{NodeOutput, progress_tracker::Ending},
    scheduler::VisitId,
};

/// The attempts of one run that are under way, by visit and item.
#[derive(Default)]
pub(crate) struct Live(Mutex<BTreeMap<Place, Arc<NodeOutput>>>);

/// A visit, and which of its items.
type Place = (VisitId, Option<u32>);

impl Live {
    pub(super) fn enter(&self, visit: VisitId, output: &Arc<NodeOutput>) {
        lock(&self.0).insert((visit, output.item), output.clone());
    }

    /// An attempt has come to its end by itself.
    pub(super) fn leave(&self, visit: VisitId, output: &NodeOutput) {
        let left = lock(&self.0).remove(&(visit, output.item));
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
            for output in ended.into_values() {
                // What a subgraph or an item said stands before the end of the node around it.
                output.tasks.abort(ending).await;
                output.close().await;
                output.end_progress(ending).await;
                output.say(EventType::NODE_CANCELLED, &Words { reason: Some(reason), ..Words::of(&output) });
                output.seal().await;
            }
        })
    }
}
