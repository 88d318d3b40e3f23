//! A visit that asks, and the clocks that stand meanwhile.

use std::collections::BTreeMap;

use super::{Failure, Happening, Interpreter, JobId};
use crate::reference::spec::{Ask, DEFAULT};

/// Of whose work the time is measured: an attempt with all within it, or the whole run.
pub(super) type Clock = Option<JobId>;

/// A clock that stands.
#[derive(Default)]
pub(super) struct Standing {
    /// How many questions hold it.
    holds: u32,
    /// What is due when it has gone on for so long.
    due: Vec<(u64, Happening)>,
}

impl Interpreter<'_> {
    /// What comes after a time of work.
    pub(super) fn note_work(&mut self, clock: Clock, after: u64, happening: Happening) {
        match self.standing.get_mut(&clock) {
            Some(standing) => standing.due.push((after, happening)),
            None => self.note(after, happening),
        }
    }

    /// On which clock a time is measured, if it is a time of work.
    fn clock_of(&self, happening: Happening) -> Option<Clock> {
        match happening {
            Happening::AttemptIsLate(job, _) => Some(Some(job)),
            Happening::RunIsLate(run) => Some(self.runs[run].around),
            _ => None,
        }
    }

    /// "The clock of a visit stands still while that visit has a question open, the clock of the run while any has."
    fn held_by(&self, job: JobId) -> Vec<Clock> {
        let mut clocks = vec![None, Some(job)];
        let mut within = self.runs[self.visits[self.jobs[job].visit].run].around;
        while let Some(job) = within {
            clocks.push(Some(job));
            within = self.runs[self.visits[self.jobs[job].visit].run].around;
        }
        clocks
    }

    fn hold(&mut self, clock: Clock) {
        if !self.standing.contains_key(&clock) {
            let all = std::mem::take(&mut self.agenda).into_iter();
            let (due, others) = all.partition(|(_, happening)| self.clock_of(*happening) == Some(clock));
            self.agenda = others;
            let due: BTreeMap<_, _> = due;
            let due = due.into_iter().map(|((at, _), happening)| (at - self.now, happening)).collect();
            self.standing.insert(clock, Standing { holds: 0, due });
        }
        self.standing.get_mut(&clock).unwrap().holds += 1;
    }

    fn release(&mut self, clock: Clock) {
        let standing = self.standing.get_mut(&clock).unwrap();
        standing.holds -= 1;
        if standing.holds == 0 {
            let due = self.standing.remove(&clock).unwrap().due;
            due.into_iter().for_each(|(after, happening)| self.note(after, happening));
        }
    }

    pub(super) fn ask(&mut self, job: JobId, asks: Ask) {
        let place = self.jobs[job].place.clone();
        self.say(&place, format!("asks {}", place.attempt));
        self.jobs[job].asking = Some(asks);
        if !asks.on_the_clock {
            self.held_by(job).into_iter().for_each(|clock| self.hold(clock));
        }
        if let Some((after, _)) = asks.answer(self.seed, &place) {
            self.note(after, Happening::IsAnswered(job, place.attempt));
        }
        if let Some(after) = asks.deadline(self.seed, &place) {
            self.note(after, Happening::IsNotAnswered(job, place.attempt));
        }
    }

    /// The question has come to its end.
    fn no_longer_asks(&mut self, job: JobId, how: &str) -> Option<Ask> {
        let asks = self.jobs[job].asking.take()?;
        let place = self.jobs[job].place.clone();
        self.say(&place, format!("ends {how}"));
        if !asks.on_the_clock {
            self.held_by(job).into_iter().for_each(|clock| self.release(clock));
        }
        Some(asks)
    }

    pub(super) fn is_answered(&mut self, job: JobId) {
        let asks = self.no_longer_asks(job, "answered").unwrap();
        let answer = asks.answer(self.seed, &self.jobs[job].place);
        self.jobs[job].answer = answer.map(|(_, answer)| answer);
        self.run_within(job);
    }

    /// "A question has a deadline of its own, with a default answer or the error `ask_timeout`."
    pub(super) fn is_not_answered(&mut self, job: JobId) {
        let default = self.jobs[job].asking.unwrap().default;
        self.no_longer_asks(job, if default { "default" } else { "timeout" });
        if default {
            self.jobs[job].answer = Some(DEFAULT);
            self.run_within(job);
        } else {
            self.attempt_failed(job, Failure { code: "ask_timeout", ..Failure::default() });
        }
    }

    /// Nobody waits for the answer any more.
    pub(super) fn withdraw(&mut self, job: JobId) {
        self.no_longer_asks(job, "withdrawn");
    }
}
