//! Which nodes run next: a pure state machine, from what happened to what to do.
//!
//! Tokens move along the edges of the graph. The scheduler neither knows what they are nor waits for anything: it is told
//! that a visit completed, hands its token on, and says which visits begin. `docs/architecture.md` has the rules.

use std::{collections::VecDeque, mem, sync::Arc};

use crate::{
    graph::{Graph, JoinIndex, Next, NodeIndex, Runs},
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
    running: Vec<Running>,
    /// What waits at each join, by the join's number.
    waiting: Vec<Waiting<T>>,
    /// How many arrivals wait in all.
    arrivals: usize,
    /// How often each join of the first arrival has run.
    rounds: Vec<u32>,
    failed: bool,
}

/// A visit that is under way.
#[derive(Debug)]
struct Running {
    id: VisitId,
    node: NodeIndex,
    seen: Seen,
}

/// Which rounds of the joins of the first arrival lie behind a token.
type Seen = Vec<u32>;

/// What waits at a join: a queue for each input, and one for the begin.
#[derive(Debug)]
struct Waiting<T>(Vec<VecDeque<(T, Seen)>>);

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
    #[error("node `{node}` went to `{target}`, which is not among its routes: {routes}")]
    NotRouted { node: String, target: String, routes: String },
    #[error("node `{node}` has routes but did not say where to go")]
    NoTarget { node: String },
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
        let queues = |inputs: usize| (0..=inputs).map(|_| VecDeque::new()).collect();
        Self {
            steps: 0,
            visits: vec![0; graph.nodes.len()],
            running: Vec::new(),
            waiting: graph.joins.iter().map(|join| Waiting(queues(join.inputs.len()))).collect(),
            arrivals: 0,
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
        let Some(at) = self.running.iter().position(|running| running.id == visit) else { return };
        let Running { node, seen, .. } = self.running.swap_remove(at);
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
            (_, None) => {
                return self.fail(ScheduleError::NoTarget { node: graph.name(node).into() }, commands);
            }
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
            Some(Runs::All(join)) => {
                let graph = self.graph.clone();
                let inputs = graph.joins.get(join).map_or(&[][..], |join| &join.inputs);
                let slot = from.and_then(|from| inputs.iter().position(|input| *input == from));
                let Some(waiting) = self.waiting.get_mut(join) else { return };
                if let Some(queue) = waiting.0.get_mut(slot.unwrap_or(inputs.len())) {
                    queue.push_back((token, seen));
                    self.arrivals += 1;
                }
                if (0..inputs.len()).all(|input| waiting.holds(input)) {
                    self.run_join(join, commands);
                }
            }
        }
    }

    /// Runs a join with the oldest arrival of each input.
    fn run_join(&mut self, join: JoinIndex, commands: &mut Vec<Command<T>>) {
        let Some(node) = self.graph.joins.get(join).map(|join| join.node) else { return };
        let Some(waiting) = self.waiting.get_mut(join) else { return };
        let (mut tokens, mut seen) = (Vec::new(), vec![0; self.rounds.len()]);
        for (token, rounds) in waiting.0.iter_mut().filter_map(VecDeque::pop_front) {
            tokens.push(token);
            for (mine, other) in seen.iter_mut().zip(rounds) {
                *mine = other.max(*mine);
            }
        }
        self.arrivals -= tokens.len();
        self.run(node, tokens, seen, commands);
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
        self.running.push(Running { id: visit, node, seen });
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
        self.running.retain(|running| {
            let lost = late(&running.seen) && only_here.contains(running.node);
            if lost {
                commands.push(Command::Stop { visit: running.id });
            }
            !lost
        });
        for (waiting, other) in self.waiting.iter_mut().zip(&graph.joins) {
            if only_here.contains(other.node) {
                for queue in &mut waiting.0 {
                    let before = queue.len();
                    queue.retain(|(_, seen)| !late(seen));
                    self.arrivals -= before - queue.len();
                }
            }
        }
    }

    /// Whether what comes to `node` could only come too late to a join of the first arrival.
    fn is_lost(&self, node: NodeIndex, seen: &Seen) -> bool {
        let races = self.graph.joins.iter().filter(|join| join.any);
        let mut rounds = races.zip(&self.rounds).zip(seen);
        rounds.any(|((join, round), seen)| seen < round && join.only_here.contains(node))
    }

    /// Runs the joins that wait for nobody any more; then says whether the run is complete.
    fn settle(&mut self, commands: &mut Vec<Command<T>>) {
        while !self.failed {
            if let Some(join) = (0..self.waiting.len()).find(|join| self.waits_in_vain(*join)) {
                self.run_join(join, commands);
            } else if !self.running.is_empty() {
                return;
            } else if let Some(join) = self.waiting.iter().position(Waiting::holds_any) {
                // Joins that wait for each other: the first one goes first.
                self.run_join(join, commands);
            } else {
                return commands.push(Command::Complete);
            }
        }
    }

    /// Whether a join holds something, and nothing can come any more to the inputs that are empty.
    fn waits_in_vain(&self, join: JoinIndex) -> bool {
        let (Some(waiting), Some(shape)) = (self.waiting.get(join), self.graph.joins.get(join)) else {
            return false;
        };
        if self.arrivals == 0 || !waiting.holds_any() {
            return false;
        }
        let may_come = |input: usize| {
            let leads = |node: NodeIndex| shape.leads.get(input).is_some_and(|from| from.contains(node));
            let waits_elsewhere = self.waiting.iter().zip(&self.graph.joins);
            self.running.iter().any(|running| leads(running.node))
                || waits_elsewhere
                    .filter(|(waiting, other)| other.node != shape.node && waiting.holds_any())
                    .any(|(_, other)| leads(other.node))
        };
        (0..shape.inputs.len()).all(|input| waiting.holds(input) || !may_come(input))
    }
}

impl<T> Waiting<T> {
    fn holds(&self, input: usize) -> bool {
        self.0.get(input).is_some_and(|queue| !queue.is_empty())
    }

    fn holds_any(&self) -> bool {
        self.0.iter().any(|queue| !queue.is_empty())
    }
}

fn route(graph: &Graph, node: NodeIndex, target: &Target) -> Result<Vec<NodeIndex>, ScheduleError> {
    if matches!(target, Target::Nodes(names) if names.is_empty()) {
        return Err(ScheduleError::NoTarget { node: graph.name(node).into() });
    }
    graph.route(node, target).map_err(|target| {
        let (node, routes) = (graph.name(node).into(), graph.routes_of(node));
        ScheduleError::NotRouted { node, target: target.into(), routes }
    })
}

#[cfg(test)]
mod tests;
