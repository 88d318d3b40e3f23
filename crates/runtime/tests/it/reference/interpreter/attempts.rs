//! How a visit is worked off: attempts, items, and the workflow within.

use serde_json::{Map, Value};

use super::{Failure, Happening, Interpreter, Job, JobId, Stage, VisitId, state::clashes};
use crate::reference::{
    expected::{Line, Mark},
    spec::{Fault, NodeSpec, Place},
};

/// The wait before the second attempt, in milliseconds; it doubles.
pub(in crate::reference) const BACKOFF: u64 = 1_000;

/// The longest wait.
pub(in crate::reference) const MAX_BACKOFF: u64 = 5_000;

impl<'a> Interpreter<'a> {
    pub(super) fn spec_of(&self, visit: VisitId) -> &'a NodeSpec {
        self.node(self.visits[visit].run, self.visits[visit].node)
    }

    /// The place of the line of a visit's own entries.
    pub(super) fn place(&self, visit: VisitId) -> Place {
        let Self { visits, runs, .. } = self;
        let path = format!("{}{}", runs[visits[visit].run].prefix, self.spec_of(visit).name);
        Place { path, visit: visits[visit].number, item: None, attempt: 1 }
    }

    pub(super) fn say(&mut self, place: &Place, entry: String) -> usize {
        let line = self.expected.lines.entry(Place { attempt: 0, ..place.clone() }).or_default();
        line.entries.push(entry);
        line.entries.len() - 1
    }

    /// A line begins, within an attempt around it.
    fn open_line(&mut self, place: &Place, around: Option<Mark>) {
        let line = Line { around, ..Line::default() };
        self.expected.lines.insert(Place { attempt: 0, ..place.clone() }, line);
    }

    /// The last entry of a visit that has completed.
    fn last_of(&self, visit: VisitId) -> Mark {
        let place = Place { attempt: 0, ..self.place(visit) };
        let last = self.expected.lines[&place].entries.len() - 1;
        (place, last)
    }

    pub(super) fn begin_work(&mut self, visit: VisitId) {
        let place = self.place(visit);
        let around = self.runs[self.visits[visit].run].around;
        let around = around.map(|job| self.first_of(job));
        self.open_line(&place, around);
        let begin: Mark = (Place { attempt: 0, ..place.clone() }, 0);
        for from in self.visits[visit].came.clone() {
            self.expected.before.push((self.last_of(from), begin.clone()));
        }
        let Some((count, concurrency)) = self.spec_of(visit).items else {
            return self.begin_job(visit, None);
        };
        self.say(&place, "start 1".into());
        for item in (0..count).take(concurrency) {
            self.begin_job(visit, Some(item));
        }
    }

    /// The first entry of the attempt that is under way.
    fn first_of(&self, job: JobId) -> Mark {
        (Place { attempt: 0, ..self.jobs[job].place.clone() }, self.jobs[job].first_entry)
    }

    fn begin_job(&mut self, visit: VisitId, item: Option<u32>) {
        let place = Place { item, ..self.place(visit) };
        if item.is_some() {
            let around = (Place { attempt: 0, ..self.place(visit) }, 0);
            self.open_line(&place, Some(around));
        }
        let job = self.jobs.len();
        let stage = Stage::Waits;
        let (asking, answer, inner) = (None, None, None);
        self.jobs.push(Job { visit, place, began: self.now, stage, asking, answer, inner, first_entry: 0 });
        self.visits[visit].jobs.push(job);
        self.begin_attempt(job);
    }

    pub(super) fn begin_attempt(&mut self, job: JobId) {
        let (visit, place) = (self.jobs[job].visit, self.jobs[job].place.clone());
        let (spec, sees) = (self.spec_of(visit), self.visits[visit].sees.clone());
        let before = self.expected.bodies.insert(place.clone(), sees);
        assert!(before.is_none(), "the reference runs {place:?} twice");
        let first_entry = self.say(&place, format!("start {}", place.attempt));
        let state = &mut self.jobs[job];
        (state.stage, state.began, state.first_entry, state.inner, state.answer) =
            (Stage::UnderWay, self.now, first_entry, None, None);
        if spec.fault(self.seed, &place) != Some(Fault::Hang) {
            self.note(spec.takes(self.seed, &place), Happening::BodyIsDone(job, place.attempt));
        }
        if let Some(timeout) = spec.timeout {
            self.note_work(Some(job), timeout, Happening::AttemptIsLate(job, place.attempt));
        }
    }

    pub(super) fn body_is_done(&mut self, job: JobId) {
        let (visit, place) = (self.jobs[job].visit, self.jobs[job].place.clone());
        let spec = self.spec_of(visit);
        match spec.fault(self.seed, &place) {
            Some(Fault::Panic) => {
                self.attempt_failed(job, Failure { code: "node_panicked", ..Failure::default() })
            }
            Some(_) => self.attempt_failed(job, Failure { code: "node_failed", ..Failure::default() }),
            None => match spec.asks {
                Some(asks) => self.ask(job, asks),
                None => self.run_within(job),
            },
        }
    }

    /// Runs the workflow within it, if there is one.
    pub(super) fn run_within(&mut self, job: JobId) {
        let (visit, place) = (self.jobs[job].visit, self.jobs[job].place.clone());
        match &self.spec_of(visit).runs {
            None => self.attempt_succeeded(job, None),
            Some(inner) => {
                let given = NodeSpec::given(&self.visits[visit].sees);
                // Its first visit may fail it at once, before this returns.
                self.jobs[job].inner = Some(self.runs.len());
                self.begin_run(inner, format!("{}/", place.path), Some(job), given);
            }
        }
    }

    pub(super) fn inner_is_done(&mut self, job: JobId, result: &Map<String, Value>) {
        self.attempt_succeeded(job, Some(result));
    }

    fn attempt_succeeded(&mut self, job: JobId, inner: Option<&Map<String, Value>>) {
        let (visit, place) = (self.jobs[job].visit, self.jobs[job].place.clone());
        let spec = self.spec_of(visit);
        let answer = self.jobs[job].answer;
        let update = spec.update(self.seed, &place, &self.visits[visit].sees, answer, inner);
        self.jobs[job].stage = Stage::Over;
        let Some(item) = place.item else {
            self.say(&place, format!("updates {}", Value::Object(update.clone())));
            self.say(&place, format!("complete {}", place.attempt));
            return self.completed(visit, vec![update]);
        };
        self.say(&place, format!("complete {}", place.attempt));
        self.visits[visit].items.insert(item, update);
        let (count, concurrency) = spec.items.unwrap();
        let begun = self.visits[visit].jobs.len() as u32;
        if begun < count {
            assert!(begun as usize >= concurrency);
            self.begin_job(visit, Some(begun));
        } else if self.visits[visit].items.len() as u32 == count {
            self.items_are_done(visit);
        }
    }

    /// "When all have completed, their updates are applied in the order of the items as one change, or the one update that
    /// was gathered from their values."
    fn items_are_done(&mut self, visit: VisitId) {
        let mut updates: Vec<_> = self.visits[visit].items.values().cloned().collect();
        if self.spec_of(visit).gathers {
            updates = vec![gathered(&updates)];
        }
        let mut fields = Vec::new();
        for (index, one) in updates.iter().enumerate() {
            updates[index + 1..].iter().for_each(|other| fields.extend(clashes(one, other)));
        }
        let place = self.place(visit);
        if !fields.is_empty() {
            let name = &place.path;
            let says =
                fields.iter().map(|field| format!("two items of node `{name}` both changed field `{field}`"));
            let (says, node) = (says.collect(), Some(name.clone()));
            self.say(&place, "error 1 state_conflict".into());
            let failure = Failure { code: "state_conflict", node, says, hopeless: true };
            self.runs[self.visits[visit].run].under_way.remove(&visit);
            return self.fail(self.visits[visit].run, failure);
        }
        for update in &updates {
            self.say(&place, format!("updates {}", Value::Object(update.clone())));
        }
        self.say(&place, "complete 1".into());
        self.completed(visit, updates);
    }

    pub(super) fn attempt_failed(&mut self, job: JobId, mut failure: Failure) {
        let (visit, place) = (self.jobs[job].visit, self.jobs[job].place.clone());
        if let Some(inner) = self.jobs[job].inner
            && !self.runs[inner].over
        {
            self.stop_run(inner);
        }
        self.withdraw(job);
        let spec = self.spec_of(visit);
        failure.node.get_or_insert_with(|| place.path.clone());
        let taken = match spec.retry_on {
            None => failure.code != "node_panicked",
            Some(code) => failure.code == code,
        };
        if place.attempt < spec.attempts.unwrap_or(1) && taken && !failure.hopeless {
            self.say(&place, format!("retry {} {}", place.attempt, failure.code));
            self.jobs[job].stage = Stage::Waits;
            self.jobs[job].place.attempt += 1;
            let wait = (BACKOFF << (place.attempt - 1)).min(MAX_BACKOFF);
            return self.note(wait, Happening::NextAttempt(job, place.attempt + 1));
        }
        self.say(&place, format!("error {} {}", place.attempt, failure.code));
        self.jobs[job].stage = Stage::Over;
        let run = self.visits[visit].run;
        self.runs[run].under_way.remove(&visit);
        if place.item.is_some() {
            self.stop_jobs(visit);
            self.say(&self.place(visit), format!("error 1 {}", failure.code));
        }
        self.fail(run, failure);
    }

    /// "Every attempt under way says `node_cancelled`, inner ones before those around them."
    pub(super) fn stop_visit(&mut self, visit: VisitId) {
        let run = self.visits[visit].run;
        self.runs[run].under_way.remove(&visit);
        self.stop_jobs(visit);
        if self.spec_of(visit).items.is_some() {
            let (place, loose) = (self.place(visit), self.visits[visit].began == self.now);
            self.say(&place, "cancelled 1".into());
            self.expected.lines.get_mut(&Place { attempt: 0, ..place }).unwrap().loose = loose;
        }
    }

    fn stop_jobs(&mut self, visit: VisitId) {
        for job in self.visits[visit].jobs.clone() {
            if let Some(inner) = self.jobs[job].inner
                && !self.runs[inner].over
            {
                self.stop_run(inner);
            }
            self.withdraw(job);
            if self.jobs[job].stage == Stage::UnderWay {
                let (place, loose) = (self.jobs[job].place.clone(), self.jobs[job].began == self.now);
                self.say(&place, format!("cancelled {}", place.attempt));
                self.expected.lines.get_mut(&Place { attempt: 0, ..place }).unwrap().loose |= loose;
                // How often the nodes of a workflow that runs again were visited shows in their next visits.
                self.expected.open |= loose && self.visits[visit].run > 0;
            }
            self.jobs[job].stage = Stage::Over;
        }
    }
}

/// One update of the values of all items.
pub(in crate::reference) fn gathered(values: &[Map<String, Value>]) -> Map<String, Value> {
    let texts = values.iter().map(|value| value["text"].as_str().unwrap());
    Map::from_iter([("text".into(), Value::from(texts.collect::<String>()))])
}
