//! The moving part of a run: from node to node, along all branches.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use futures_util::{
    StreamExt as _,
    future::{AbortHandle, AbortRegistration, Abortable},
    stream::FuturesUnordered,
};

use super::{Execution, LOST, live::Live, lock};
use crate::{
    NodeError, NodeResult, Workflow,
    definition::Definition,
    graph::NodeIndex,
    history::{Conflict, History, Version},
    output::{NodeOutput, progress_tracker::Ending},
    scheduler::{Command, Scheduler, VisitId, line::Line},
    workflow::Target,
};

/// The moving part of a run.
pub(super) struct Steps<W: Workflow> {
    pub(super) execution: Arc<Execution>,
    pub(super) definition: Arc<Definition<W>>,
    pub(super) workflow: Arc<W>,
    pub(super) live: Arc<Live>,
    pub(super) history: Arc<Mutex<History<W::State>>>,
    /// The visit within which it runs, if it is not all of its execution.
    pub(super) around: Option<Arc<NodeOutput>>,
}

/// A visit that is to begin.
pub(super) struct Begin<S> {
    pub(super) visit: VisitId,
    pub(super) node: NodeIndex,
    /// Which pass through the node it is, from 1.
    pub(super) number: u32,
    pub(super) tokens: Vec<Arc<Version<S>>>,
}

/// What a visit came to: the state of its branch, and where its `Goto` leads.
pub(super) type Reached<S> = (Arc<Version<S>>, Option<Target>);

/// How a visit ended. Without an outcome it was stopped.
struct Ended<S> {
    visit: VisitId,
    outcome: Option<NodeResult<Reached<S>>>,
}

impl<W: Workflow> Steps<W> {
    pub(super) fn new(
        execution: Arc<Execution>,
        definition: Arc<Definition<W>>,
        workflow: Arc<W>,
        state: W::State,
    ) -> Self {
        let history = Arc::new(Mutex::new(History::new(state)));
        Self { execution, definition, workflow, live: Arc::default(), history, around: None }
    }

    /// A run within a visit.
    pub(super) fn within(
        around: Arc<NodeOutput>,
        definition: Arc<Definition<W>>,
        workflow: Arc<W>,
        state: W::State,
    ) -> Self {
        let execution = around.execution.clone();
        Self { around: Some(around), ..Self::new(execution, definition, workflow, state) }
    }

    /// Visits node after node until the run is complete, and returns its last state.
    pub(super) async fn proceed(&self) -> NodeResult<Arc<W::State>> {
        let mut scheduler = Scheduler::new(self.definition.graph.clone());
        // Most steps come to one command.
        let mut commands = Vec::with_capacity(1);
        // Made when there is more than one branch: most runs have one.
        let mut others: Option<FuturesUnordered<_>> = None;
        let mut stops = Line::default();
        let begin = lock(&self.history).begin();
        scheduler.begin(begin, &mut commands);
        loop {
            // The last one is awaited as it is if it is alone.
            let mut last = None;
            for command in commands.drain(..) {
                match command {
                    Command::Run { visit, node, number, tokens } => {
                        let before = last.replace(Begin { visit, node, number, tokens });
                        if let Some(begin) = before {
                            others.get_or_insert_default().push(self.beside_others(begin, &mut stops));
                        }
                    }
                    Command::Stop { visit } => {
                        // One that was to begin in this very moment says nothing.
                        let begins = |begin: &mut Begin<W::State>| begin.visit == visit;
                        if last.take_if(begins).is_some() {
                            continue;
                        }
                        stops.get_mut(visit).into_iter().for_each(|stop| stop.abort());
                    }
                    Command::End { token } => {
                        let ended = lock(&self.history).end(&token);
                        ended.map_err(|conflict| self.conflict(conflict))?;
                    }
                    Command::Complete => {
                        let result = lock(&self.history).result();
                        return Ok(result.state());
                    }
                    Command::Fail(error) => return Err(NodeError::coded(error.code(), error.to_string())),
                }
            }
            lock(&self.history).set_single(scheduler.is_single());
            let ended = match (last, others.as_mut().filter(|others| !others.is_empty())) {
                (Some(begin), None) => {
                    let visit = begin.visit;
                    Some(Ended { visit, outcome: Some(self.visit(begin).await) })
                }
                (last, Some(others)) => {
                    others.extend(last.map(|begin| self.beside_others(begin, &mut stops)));
                    others.next().await
                }
                (None, None) => None,
            };
            let Some(Ended { visit, outcome }) = ended else {
                return Err(NodeError::coded("node_failed", "the run stands still with nothing under way"));
            };
            stops.take(visit);
            match outcome {
                Some(outcome) => {
                    let (token, target) = outcome?;
                    scheduler.completed(visit, token, target.as_ref(), &mut commands);
                }
                None => self.live.break_off(Some(visit), Ending::Cancelled, LOST).await,
            }
        }
    }

    /// A visit that may be stopped while others go on.
    fn beside_others(
        &self,
        begin: Begin<W::State>,
        stops: &mut Line<AbortHandle>,
    ) -> impl Future<Output = Ended<W::State>> + Send + use<'_, W> {
        let (stop, stopped) = AbortHandle::new_pair();
        stops.push(begin.visit, stop);
        self.until_stopped(begin, stopped)
    }

    async fn until_stopped(&self, begin: Begin<W::State>, stopped: AbortRegistration) -> Ended<W::State> {
        let visit = begin.visit;
        Ended { visit, outcome: Abortable::new(self.visit(begin), stopped).await.ok() }
    }

    /// The error of two branches that changed one field.
    pub(super) fn conflict(&self, Conflict { first, second, field, key }: Conflict) -> NodeError {
        let name = |node| self.definition.graph.name(node);
        let key = key.map(|key| format!(" at `{key}`")).unwrap_or_default();
        NodeError::coded(
            "state_conflict",
            format!(
                "in workflow `{}`, nodes `{}` and `{}` ran at the same time and both changed field `{field}`{key} of the state; give the field a \
                 reducer that joins changes (append, merge, maximum, minimum, sum), or let one node follow the other",
                self.definition.graph.workflow,
                name(first),
                name(second),
            ),
        )
    }

    /// Ends what is under way when the run has been stopped. The bodies are dropped already.
    pub(super) async fn break_off(&self, ending: Ending, reason: &'static str) {
        self.live.break_off(None, ending, reason).await;
    }
}
