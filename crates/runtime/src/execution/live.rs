//! The attempts that are under way, so that each of them is brought to its end when its run is.

use std::{
    mem,
    sync::{Arc, Mutex},
};

use streamnest_core::{BoxFuture, EventType};

use super::{lock, words::Words};
use crate::{
    output::{NodeOutput, progress_tracker::Ending},
    scheduler::VisitId,
};

/// So many attempts take no more room than they need: most runs have one under way.
const FEW: usize = 4;

/// The attempts of one run that are under way, in the order of visits and items.
#[derive(Default)]
pub(crate) struct Live(Mutex<Vec<(Place, Arc<NodeOutput>)>>);

/// A visit, and which of its items.
type Place = (VisitId, Option<u32>);

fn take(live: &mut Vec<(Place, Arc<NodeOutput>)>, place: Place) -> Option<(Place, Arc<NodeOutput>)> {
    live.binary_search_by_key(&place, |(known, _)| *known).ok().map(|at| live.remove(at))
}

impl Live {
    pub(super) fn enter(&self, visit: VisitId, output: &Arc<NodeOutput>) {
        let (place, mut live) = ((visit, output.item), lock(&self.0));
        // Visits begin in the order of their numbers, so this is near the end.
        let at = live.partition_point(|(known, _)| *known < place);
        if live.len() < FEW {
            live.reserve_exact(1);
        }
        live.insert(at, (place, output.clone()));
    }

    /// An attempt has come to its end by itself.
    pub(super) fn leave(&self, visit: VisitId, output: &NodeOutput) {
        let left = take(&mut lock(&self.0), (visit, output.item));
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
                    Some(visit) => take(&mut live, (visit, None)).into_iter().collect(),
                }
            };
            for (_, output) in ended {
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
