//! Which nodes run next: a pure state machine, from what happened to what to do.
//!
//! Tokens move along the edges of the graph. The scheduler neither knows what they are nor waits for anything: it is told
//! that a visit completed, hands its token on, and says which visits begin. `docs/execution.md` has the rules.

pub(crate) mod line;
mod waiting;

use std::{collections::BTreeSet, mem, sync::Arc};

use self::{line::Line, waiting::Waiting};
use crate::{
    graph::{Graph, JoinIndex, Lead, Next, NodeIndex, Runs},
    workflow::Target,
};

/// The number of a visit in its run, from 1.
pub(crate) type VisitId = u32;

/// Where one run stands in its graph.
#[derive(Debug)]
pub(crate) struct Scheduler<T> {
    graph: Arc<Graph>,
    steps: VisitId,
    visits: Vec<u32>,
    /// The visits under way, by their ids.
    running: Line<Running>,
    /// What waits at each join, by the join's number.
    waiting: Vec<Waiting<T>>,
    /// How many arrivals wait in all.
    arrivals: usize,
    /// The joins that may have nobody to wait for any more. At every other one nothing waits, or something can still come.
    doubtful: BTreeSet<JoinIndex>,
    /// How often each join of the first arrival has run.
    rounds: Vec<u32>,
    failed: bool,
}

/// A visit that is under way.
#[derive(Debug)]
struct Running {
    node: NodeIndex,
    seen: Seen,
}

/// Which rounds of the joins of the first arrival lie behind a token.
type Seen = Vec<u32>;

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command<T> {
    /// Visit a node, for the `number`-th time, with the tokens that came to it, in the order of their nodes.
    Run { visit: VisitId, node: NodeIndex, number: u32, tokens: Vec<T> },
    /// Stop a visit: another branch was first.
    Stop { visit: VisitId },
    /// A branch has come to its end.
    End { token: T },
    /// The run is complete.
    Complete,
    /// The run cannot go on.
    Fail(ScheduleError),
}

/// Why a run cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ScheduleError {
    #[error(
        "node `{node}` would be one step more than the {limit} that `max_steps` of workflow `{workflow}` allows; raise it if \
         the loop is meant to run longer"
    )]
    MaxSteps { workflow: String, node: String, limit: u32 },
    #[error(
        "node `{node}` of workflow `{workflow}` went to `{target}`, which is not among its routes: {routes}; go to one of them, \
         or add it to `routes`"
    )]
    NotRouted { workflow: String, node: String, target: String, routes: String },
    #[error(
        "node `{node}` of workflow `{workflow}` has routes but did not say where to go; name one of: {routes}"
    )]
    NoTarget { workflow: String, node: String, routes: String },
}

impl ScheduleError {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::MaxSteps { .. } => "max_steps",
            Self::NotRouted { .. } => "route_not_declared",
            Self::NoTarget { .. } => "route_missing",
        }
    }
}

impl<T: Clone> Scheduler<T> {
    pub(crate) fn new(graph: Arc<Graph>) -> Self {
        Self {
            steps: 0,
            visits: vec![0; graph.nodes.len()],
            running: Line::default(),
            waiting: graph.joins.iter().map(Waiting::at).collect(),
            arrivals: 0,
            doubtful: BTreeSet::new(),
            rounds: vec![0; graph.races()],
            failed: false,
            graph,
        }
    }

    /// The run begins.
    pub(crate) fn begin(&mut self, token: T, commands: &mut Vec<Command<T>>) {
        let (start, seen) = (self.graph.start, vec![0; self.rounds.len()]);
        self.arrive(start, None, (token, seen), commands);
        self.settle(commands);
    }

    /// A visit completed with `token`, and named `target` if it returned a `Goto`. Of a visit that was stopped meanwhile
    /// nothing comes.
    pub(crate) fn completed(
        &mut self,
        visit: VisitId,
        token: T,
        target: Option<&Target>,
        commands: &mut Vec<Command<T>>,
    ) {
        let Some(Running { node, seen }) = self.running.take(visit) else { return };
        self.count(node, false);
        let graph = self.graph.clone();
        let chosen;
        let next = match (graph.nodes.get(node).map(|node| &node.next), target) {
            (Some(Next::Nodes(nodes)), None) => nodes.as_slice(),
            (_, Some(target)) => match route(&graph, node, target) {
                Ok(nodes) => {
                    chosen = nodes;
                    chosen.as_slice()
                }
                Err(error) => return self.fail(error, commands),
            },
            (_, None) => return self.fail(no_target(&graph, node), commands),
        };
        match next {
            [] => commands.push(Command::End { token }),
            [only] => self.arrive(*only, Some(node), (token, seen), commands),
            [first, rest @ ..] => {
                self.arrive(*first, Some(node), (token.clone(), seen.clone()), commands);
                for other in rest {
                    self.arrive(*other, Some(node), (token.clone(), seen.clone()), commands);
                }
            }
        }
        self.settle(commands);
    }

    /// Whether nothing but one visit is left: what it changes, nobody else has to be told.
    pub(crate) fn is_single(&self) -> bool {
        self.running.len() == 1 && self.arrivals == 0
    }

    fn arrive(
        &mut self,
        node: NodeIndex,
        from: Option<NodeIndex>,
        (token, mut seen): (T, Seen),
        commands: &mut Vec<Command<T>>,
    ) {
        if self.is_lost(node, &seen) {
            return;
        }
        match self.graph.nodes.get(node).map(|node| node.runs) {
            None => {}
            Some(Runs::Each) => self.run(node, vec![token], seen, commands),
            Some(Runs::Any(join, race)) => {
                let (Some(round), Some(seen_round)) = (self.rounds.get_mut(race), seen.get_mut(race)) else {
                    return;
                };
                // It was not first.
                if round != seen_round {
                    return;
                }
                *round += 1;
                *seen_round = *round;
                let round = *round;
                self.stop_losers(join, race, round, commands);
                self.run(node, vec![token], seen, commands);
            }
            Some(Runs::All(join)) => self.arrive_at_join(join, from, (token, seen), commands),
        }
    }

    fn arrive_at_join(
        &mut self,
        join: JoinIndex,
        from: Option<NodeIndex>,
        arrival: (T, Seen),
        commands: &mut Vec<Command<T>>,
    ) {
        let graph = self.graph.clone();
        let (Some(shape), Some(waiting)) = (graph.joins.get(join), self.waiting.get_mut(join)) else {
            return;
        };
        waiting.push(shape, from.and_then(|from| shape.inputs.binary_search(&from).ok()), arrival);
        let is_full = waiting.is_full();
        self.arrivals += 1;
        self.count(shape.node, true);
        self.doubtful.insert(join);
        if is_full {
            self.run_join(join, commands);
        }
    }

    /// Runs a join with the oldest arrival of each input.
    fn run_join(&mut self, join: JoinIndex, commands: &mut Vec<Command<T>>) {
        let graph = self.graph.clone();
        let (Some(shape), Some(waiting)) = (graph.joins.get(join), self.waiting.get_mut(join)) else {
            return;
        };
        let popped = waiting.pop(shape);
        self.left(join, shape.node, popped.len());
        let (mut tokens, mut seen) = (Vec::with_capacity(popped.len()), vec![0; self.rounds.len()]);
        for (token, rounds) in popped {
            tokens.push(token);
            for (mine, other) in seen.iter_mut().zip(rounds) {
                *mine = other.max(*mine);
            }
        }
        self.run(shape.node, tokens, seen, commands);
    }

    /// So many tokens wait at a join no more.
    fn left(&mut self, join: JoinIndex, node: NodeIndex, tokens: usize) {
        self.arrivals -= tokens;
        self.doubtful.insert(join);
        (0..tokens).for_each(|_| self.count(node, false));
    }

    /// A token has come to `node`, or has left it: the joins to which it leads wait for it, or do no more.
    fn count(&mut self, node: NodeIndex, comes: bool) {
        for Lead { join, origin } in self.graph.leads.get(node).into_iter().flatten() {
            let Some(waiting) = self.waiting.get_mut(*join) else { continue };
            waiting.count(*origin, comes);
            if waiting.is_in_vain() {
                self.doubtful.insert(*join);
            }
        }
    }

    fn run(&mut self, node: NodeIndex, tokens: Vec<T>, seen: Seen, commands: &mut Vec<Command<T>>) {
        if self.failed {
            return;
        }
        if self.steps == self.graph.max_steps {
            let (workflow, node) = (self.graph.workflow.to_string(), self.graph.name(node).into());
            return self.fail(ScheduleError::MaxSteps { workflow, node, limit: self.steps }, commands);
        }
        self.steps += 1;
        let Some(number) = self.visits.get_mut(node) else { return };
        *number += 1;
        let (visit, number) = (self.steps, *number);
        self.running.push(visit, Running { node, seen });
        self.count(node, true);
        commands.push(Command::Run { visit, node, number, tokens });
    }

    fn fail(&mut self, error: ScheduleError, commands: &mut Vec<Command<T>>) {
        if !mem::replace(&mut self.failed, true) {
            commands.push(Command::Fail(error));
        }
    }

    /// A join of the first arrival runs: stops what could only come to it, and too late.
    fn stop_losers(&mut self, join: JoinIndex, race: usize, round: u32, commands: &mut Vec<Command<T>>) {
        let graph = self.graph.clone();
        let Some(only_here) = graph.joins.get(join).map(|join| &join.only_here) else { return };
        let late = |seen: &Seen| seen.get(race).is_some_and(|seen| *seen < round);
        let loses = |running: &Running| late(&running.seen) && only_here.contains(running.node);
        for (visit, stopped) in self.running.take_all(loses) {
            self.count(stopped.node, false);
            commands.push(Command::Stop { visit });
        }
        for (join, other) in graph.joins.iter().enumerate() {
            let Some(waiting) = self.waiting.get_mut(join).filter(|_| only_here.contains(other.node)) else {
                continue;
            };
            let dropped = waiting.drop_all(other, |(_, seen)| late(seen));
            self.left(join, other.node, dropped);
        }
    }

    /// Whether what comes to `node` could only come too late to a join of the first arrival.
    fn is_lost(&self, node: NodeIndex, seen: &Seen) -> bool {
        if self.rounds.is_empty() {
            return false;
        }
        let races = self.graph.joins.iter().filter(|join| join.any);
        let mut rounds = races.zip(&self.rounds).zip(seen);
        rounds.any(|((join, round), seen)| seen < round && join.only_here.contains(node))
    }

    /// Runs the joins that wait for nobody any more; then says whether the run is complete.
    fn settle(&mut self, commands: &mut Vec<Command<T>>) {
        while !self.failed {
            if let Some(join) = self.next_in_vain() {
                self.run_join(join, commands);
            } else if !self.running.is_empty() {
                return;
            } else if let Some(join) = self.waiting.iter().position(|waiting| !waiting.is_empty()) {
                // Joins that wait for each other: the first one goes first.
                self.run_join(join, commands);
            } else {
                return commands.push(Command::Complete);
            }
        }
    }

    /// The first join at which something waits, while nothing can come any more to the inputs that are empty.
    fn next_in_vain(&mut self) -> Option<JoinIndex> {
        while let Some(join) = self.doubtful.pop_first() {
            if self.waiting.get(join).is_some_and(Waiting::is_in_vain) {
                return Some(join);
            }
        }
        None
    }
}

fn route(graph: &Graph, node: NodeIndex, target: &Target) -> Result<Vec<NodeIndex>, ScheduleError> {
    if matches!(target, Target::Nodes(names) if names.is_empty()) {
        return Err(no_target(graph, node));
    }
    graph.route(node, target).map_err(|target| ScheduleError::NotRouted {
        workflow: graph.workflow.to_string(),
        node: graph.name(node).into(),
        target: target.into(),
        routes: graph.routes_of(node),
    })
}

fn no_target(graph: &Graph, node: NodeIndex) -> ScheduleError {
    let (workflow, routes) = (graph.workflow.to_string(), graph.routes_of(node));
    ScheduleError::NoTarget { workflow, node: graph.name(node).into(), routes }
}

#[cfg(test)]
mod tests;
