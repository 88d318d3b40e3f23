//! The rules of `docs/execution.md`, one after the other, as simply as they can be said.
//!
//! It is written from that page alone and shares nothing with the engine. It moves a clock of its own from one happening to
//! the next. What happens in one moment in an order that nobody promises makes the run [`open`](Expected::open).

mod attempts;
mod questions;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

pub(super) use self::attempts::{BACKOFF, MAX_BACKOFF, gathered};
use self::questions::{Clock, Standing};
use super::{
    expected::Expected,
    shape::{Node, Shape},
    spec::{Ask, NodeSpec, Place, Spec, empty},
};

type RunId = usize;
type VisitId = usize;
type JobId = usize;

/// A round of a join of the first: of which join, and the how manieth.
type Round = (Node, u32);

/// A branch on its way: the visit that completed last, `None` at the begin, and the rounds behind it.
#[derive(Clone)]
struct Token {
    from: Option<VisitId>,
    rounds: BTreeSet<Round>,
}

/// A run of a workflow: the whole one, or one within a visit.
struct Run<'a> {
    spec: &'a Spec,
    shape: Shape,
    /// What stands before the names of its nodes.
    prefix: String,
    around: Option<JobId>,
    base: Map<String, Value>,
    over: bool,
    steps: u32,
    rounds: BTreeMap<Node, u32>,
    /// By join and input; the begin of the run is an input with the number `nodes.len()`, so that it is the last.
    waiting: BTreeMap<Node, BTreeMap<Node, VecDeque<Token>>>,
    under_way: BTreeSet<VisitId>,
    /// The visits behind branches that ended.
    ended: BTreeSet<VisitId>,
}

/// A visit.
struct Visit {
    run: RunId,
    node: Node,
    number: u32,
    came: Vec<VisitId>,
    behind: BTreeSet<VisitId>,
    depth: u32,
    rounds: BTreeSet<Round>,
    sees: Map<String, Value>,
    began: u64,
    jobs: Vec<JobId>,
    /// What its items came to, if it has items.
    items: BTreeMap<u32, Map<String, Value>>,
    changes: Vec<Map<String, Value>>,
}

/// Attempt after attempt of a visit, or of one of its items.
struct Job {
    visit: VisitId,
    place: Place,
    began: u64,
    stage: Stage,
    /// What it waits to be answered, and what it was.
    asking: Option<Ask>,
    answer: Option<u64>,
    inner: Option<RunId>,
    /// Where its line holds the first entry of the attempt.
    first_entry: usize,
}

#[derive(PartialEq, Eq)]
enum Stage {
    UnderWay,
    /// For its next attempt.
    Waits,
    Over,
}

/// What time brings. An attempt is named by its number, so that what is meant for an earlier one is known.
#[derive(Clone, Copy, Debug)]
enum Happening {
    BodyIsDone(JobId, u32),
    IsAnswered(JobId, u32),
    IsNotAnswered(JobId, u32),
    AttemptIsLate(JobId, u32),
    NextAttempt(JobId, u32),
    RunIsLate(RunId),
    Cancel,
}

/// Why an attempt or a run failed.
#[derive(Clone, Default)]
struct Failure {
    code: &'static str,
    node: Option<String>,
    says: Vec<String>,
    /// No attempt can mend it.
    hopeless: bool,
}

struct Interpreter<'a> {
    seed: u64,
    now: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    noted: u64,
    runs: Vec<Run<'a>>,
    visits: Vec<Visit>,
    jobs: Vec<Job>,
    /// How often each node was visited, by path.
    numbers: BTreeMap<String, u32>,
    expected: Expected,
    is_over: bool,
    /// The clocks that stand.
    standing: BTreeMap<Clock, Standing>,
}

/// What is promised of a run of `spec`. The `seed` draws the times and what is left open in the spec.
pub(super) fn interpret(spec: &Spec, seed: u64) -> Expected {
    let mut interpreter = Interpreter {
        seed,
        now: 0,
        agenda: BTreeMap::new(),
        noted: 0,
        runs: Vec::new(),
        visits: Vec::new(),
        jobs: Vec::new(),
        numbers: BTreeMap::new(),
        expected: Expected::default(),
        is_over: false,
        standing: BTreeMap::new(),
    };
    if let Some(at) = spec.cancel_at {
        interpreter.note(at, Happening::Cancel);
    }
    interpreter.begin_run(spec, String::new(), None, empty());
    interpreter.proceed();
    interpreter.expected
}

impl<'a> Interpreter<'a> {
    fn note(&mut self, after: u64, happening: Happening) {
        self.noted += 1;
        self.agenda.insert((self.now + after, self.noted), happening);
    }

    fn proceed(&mut self) {
        while !self.is_over {
            let Some(((at, _), happening)) = self.next() else {
                // Nobody would ever end it.
                self.expected.open = true;
                return;
            };
            self.now = at;
            self.expected.times.push(at);
            // Timers tick in milliseconds.
            let close = self.next();
            if let Some((key, other)) = close {
                self.expected.open |= key.0 < at + 2;
                self.agenda.insert(key, other);
            }
            match happening {
                Happening::BodyIsDone(job, _) => self.body_is_done(job),
                Happening::IsAnswered(job, _) => self.is_answered(job),
                Happening::IsNotAnswered(job, _) => self.is_not_answered(job),
                Happening::AttemptIsLate(job, _) => {
                    self.attempt_failed(job, Failure { code: "node_timeout", ..Failure::default() });
                }
                Happening::NextAttempt(job, _) => self.begin_attempt(job),
                Happening::RunIsLate(run) => {
                    self.fail(run, Failure { code: "workflow_timeout", ..Failure::default() });
                }
                Happening::Cancel => {
                    // What was asked has no end in the log then.
                    self.jobs.iter_mut().for_each(|job| job.asking = None);
                    self.stop_run(0);
                    self.is_over = true;
                    self.expected.end.how = "cancelled".into();
                }
            }
        }
    }

    /// Takes the next happening that still concerns somebody.
    fn next(&mut self) -> Option<((u64, u64), Happening)> {
        while let Some((key, happening)) = self.agenda.pop_first() {
            let concerns = |job: JobId, attempt: u32, stage: Stage| {
                self.jobs[job].stage == stage && self.jobs[job].place.attempt == attempt
            };
            let concerns = match happening {
                Happening::BodyIsDone(job, attempt) | Happening::AttemptIsLate(job, attempt) => {
                    concerns(job, attempt, Stage::UnderWay)
                }
                Happening::IsAnswered(job, attempt) | Happening::IsNotAnswered(job, attempt) => {
                    concerns(job, attempt, Stage::UnderWay) && self.jobs[job].asking.is_some()
                }
                Happening::NextAttempt(job, attempt) => concerns(job, attempt, Stage::Waits),
                Happening::RunIsLate(run) => !self.runs[run].over,
                Happening::Cancel => true,
            };
            if concerns {
                return Some((key, happening));
            }
        }
        None
    }

    /// "A run begins with one token, which arrives at the start."
    fn begin_run(
        &mut self,
        spec: &'a Spec,
        prefix: String,
        around: Option<JobId>,
        base: Map<String, Value>,
    ) -> RunId {
        let run = self.runs.len();
        self.runs.push(Run {
            spec,
            shape: Shape::new(spec),
            prefix,
            around,
            base,
            over: false,
            steps: 0,
            rounds: BTreeMap::new(),
            waiting: BTreeMap::new(),
            under_way: BTreeSet::new(),
            ended: BTreeSet::new(),
        });
        if let Some(timeout) = spec.timeout {
            self.note_work(around, timeout, Happening::RunIsLate(run));
        }
        let start = spec.nodes.iter().position(|node| node.start).unwrap();
        self.arrive(run, start, spec.nodes.len(), Token { from: None, rounds: BTreeSet::new() });
        self.settle(run);
        run
    }

    fn node(&self, run: RunId, node: Node) -> &'a NodeSpec {
        let spec: &'a Spec = self.runs[run].spec;
        &spec.nodes[node]
    }

    /// "When a visit completes, its token goes on."
    fn completed(&mut self, visit: VisitId, changes: Vec<Map<String, Value>>) {
        let (run, node) = (self.visits[visit].run, self.visits[visit].node);
        self.visits[visit].changes = changes;
        self.runs[run].under_way.remove(&visit);
        let spec = self.node(run, node);
        let token = Token { from: Some(visit), rounds: self.visits[visit].rounds.clone() };
        let place = self.place(visit);
        let to = match spec.goes(self.seed, &place) {
            None => self.runs[run].shape.next[node].clone(),
            Some(names) if names == ["end"] => {
                if !spec.routes.iter().any(|name| name == "end") {
                    return self.fail(run, Failure { code: "route_not_declared", ..Failure::default() });
                }
                Vec::new()
            }
            Some(names) => {
                if names.is_empty() {
                    return self.fail(run, Failure { code: "route_missing", ..Failure::default() });
                }
                if names.iter().any(|name| !spec.routes.contains(name)) {
                    return self.fail(run, Failure { code: "route_not_declared", ..Failure::default() });
                }
                let mut to = Vec::new();
                for name in names {
                    let found =
                        self.runs[run].spec.nodes.iter().position(|other| other.name == name).unwrap();
                    if !to.contains(&found) {
                        to.push(found);
                    }
                }
                to
            }
        };
        if to.is_empty() {
            self.ended(run, visit);
        }
        for node_to in to {
            self.arrive(run, node_to, node, token.clone());
        }
        self.settle(run);
    }

    /// The branch of a visit has ended.
    fn ended(&mut self, run: RunId, visit: VisitId) {
        let mut behind = self.visits[visit].behind.clone();
        behind.insert(visit);
        let ended = self.runs[run].ended.clone();
        if let Some(failure) = self.conflict(&[&ended, &behind]) {
            return self.fail(run, failure);
        }
        self.runs[run].ended.extend(behind);
    }

    fn arrive(&mut self, run: RunId, node: Node, from: Node, mut token: Token) {
        if self.runs[run].over {
            return;
        }
        // "From then on an arrival at such a node, of a token that does not know the round, is dropped too."
        let rounds: Vec<Round> = self.runs[run].rounds.iter().map(|(join, round)| (*join, *round)).collect();
        let shape = &self.runs[run].shape;
        let lost = |(join, round): &Round| {
            node != *join && !shape.escapes(node, *join) && !token.rounds.contains(&(*join, *round))
        };
        if rounds.iter().any(lost) {
            return;
        }
        let spec = self.node(run, node);
        if !spec.is_join() {
            return self.begin_visit(run, node, vec![token]);
        }
        if spec.any {
            let round = self.runs[run].rounds.get(&node).copied().unwrap_or(0);
            if (1..=round).all(|round| token.rounds.contains(&(node, round))) {
                token.rounds.insert((node, round + 1));
                self.runs[run].rounds.insert(node, round + 1);
                self.stop_the_late(run, (node, round + 1));
                self.begin_visit(run, node, vec![token]);
            }
            return;
        }
        self.runs[run].waiting.entry(node).or_default().entry(from).or_default().push_back(token);
        if self.runs[run].shape.inputs(node).iter().all(|input| self.waits(run, node, *input)) {
            self.run_join(run, node);
        }
    }

    fn waits(&self, run: RunId, join: Node, input: Node) -> bool {
        let queue = self.runs[run].waiting.get(&join).and_then(|queues| queues.get(&input));
        queue.is_some_and(|queue| !queue.is_empty())
    }

    fn waits_at_all(&self, run: RunId, join: Node) -> bool {
        self.runs[run].waiting.get(&join).is_some_and(|queues| queues.values().any(|queue| !queue.is_empty()))
    }

    /// "One visit begins, with the oldest arrival of every input that has one."
    fn run_join(&mut self, run: RunId, join: Node) {
        let queues = self.runs[run].waiting.get_mut(&join).unwrap();
        let tokens = queues.values_mut().filter_map(VecDeque::pop_front).collect();
        self.begin_visit(run, join, tokens);
    }

    /// "When a round begins, whatever could only come late is stopped."
    fn stop_the_late(&mut self, run: RunId, round: Round) {
        let only_here =
            |this: &Self, node: Node| node != round.0 && !this.runs[run].shape.escapes(node, round.0);
        let under_way: Vec<_> = self.runs[run].under_way.iter().copied().collect();
        for visit in under_way {
            if !self.visits[visit].rounds.contains(&round) && only_here(self, self.visits[visit].node) {
                self.stop_visit(visit);
            }
        }
        let joins = self.runs[run].waiting.keys().copied().filter(|join| only_here(self, *join));
        for join in joins.collect::<Vec<_>>() {
            for queue in self.runs[run].waiting.get_mut(&join).unwrap().values_mut() {
                queue.retain(|token| token.rounds.contains(&round));
            }
        }
    }

    fn settle(&mut self, run: RunId) {
        while !self.runs[run].over {
            let joins: Vec<_> = self.runs[run].waiting.keys().copied().collect();
            let waiting: Vec<_> = joins.into_iter().filter(|join| self.waits_at_all(run, *join)).collect();
            if let Some(join) = waiting.iter().find(|join| self.waits_in_vain(run, **join, &waiting)) {
                self.run_join(run, *join);
            } else if !self.runs[run].under_way.is_empty() {
                return;
            } else if let Some(join) = waiting.first() {
                self.run_join(run, *join);
            } else {
                return self.complete(run);
            }
        }
    }

    /// "No token that is elsewhere can still arrive at any of its inputs that have nothing waiting."
    fn waits_in_vain(&self, run: RunId, join: Node, waiting: &[Node]) -> bool {
        let Run { shape, under_way, .. } = &self.runs[run];
        let may_come = |input: Node| {
            let here = |node: Node| shape.leads(node, input, join);
            under_way.iter().any(|visit| here(self.visits[*visit].node))
                || waiting.iter().any(|other| *other != join && here(*other))
        };
        shape.inputs(join).iter().all(|input| self.waits(run, join, *input) || !may_come(*input))
    }

    fn begin_visit(&mut self, run: RunId, node: Node, tokens: Vec<Token>) {
        if self.runs[run].over {
            return;
        }
        if self.runs[run].steps == self.runs[run].spec.max_steps {
            return self.fail(run, Failure { code: "max_steps", ..Failure::default() });
        }
        self.runs[run].steps += 1;
        let spec = self.node(run, node);
        let path = format!("{}{}", self.runs[run].prefix, spec.name);
        let number = self.numbers.entry(path).or_insert(0);
        *number += 1;
        let number = *number;
        let came: Vec<VisitId> = tokens.iter().filter_map(|token| token.from).collect();
        let pasts: Vec<BTreeSet<VisitId>> = came
            .iter()
            .map(|from| self.visits[*from].behind.iter().copied().chain([*from]).collect())
            .collect();
        if let Some(failure) = self.conflict(&pasts.iter().collect::<Vec<_>>()) {
            return self.fail(run, failure);
        }
        let behind: BTreeSet<VisitId> = pasts.into_iter().flatten().collect();
        let visit = self.visits.len();
        self.visits.push(Visit {
            run,
            node,
            number,
            depth: 1 + came.iter().map(|from| self.visits[*from].depth).max().unwrap_or(0),
            sees: self.replay(run, &behind),
            came,
            behind,
            rounds: tokens.into_iter().flat_map(|token| token.rounds).collect(),
            began: self.now,
            jobs: Vec::new(),
            items: BTreeMap::new(),
            changes: Vec::new(),
        });
        self.runs[run].under_way.insert(visit);
        self.begin_work(visit);
    }

    fn complete(&mut self, run: RunId) {
        self.runs[run].over = true;
        let ended = self.runs[run].ended.clone();
        let result = self.replay(run, &ended);
        match self.runs[run].around {
            Some(job) => self.inner_is_done(job, &result),
            None => {
                self.is_over = true;
                self.expected.end.how = "completed".into();
                self.expected.end.result = Some(Value::Object(result));
            }
        }
    }

    fn fail(&mut self, run: RunId, failure: Failure) {
        if self.runs[run].over {
            return;
        }
        let began_now = |visit: &VisitId| self.visits[*visit].began == self.now;
        // Whether they were counted before they were stopped is not promised, and shows if the workflow runs again.
        self.expected.open |= run > 0 && self.runs[run].under_way.iter().any(began_now);
        self.stop_run(run);
        match self.runs[run].around {
            Some(job) => self.attempt_failed(job, failure),
            None => {
                self.is_over = true;
                let end = &mut self.expected.end;
                (end.how, end.node, end.says) =
                    (format!("failed: {}", failure.code), failure.node, failure.says);
            }
        }
    }

    fn stop_run(&mut self, run: RunId) {
        self.runs[run].over = true;
        for visit in self.runs[run].under_way.clone() {
            self.stop_visit(visit);
        }
    }
}
