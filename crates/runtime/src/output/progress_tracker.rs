//! From a node's counts to honest progress. Pure; the time comes in as a number.

use std::{
    fmt::Write as _,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use streamnest_core::payload;
use tokio::time::Instant;

use super::At;
use crate::{Granularity, ProgressMetadata, ProgressOptions};

/// How a visit of a node ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Succeeded,
    Failed,
    Cancelled,
}

/// The user's calculator panicked.
#[derive(Debug)]
pub(crate) struct CalculatorPanicked;

/// What the attempts of a visit have told, which the next one goes on with.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Told {
    /// The highest percentage that was told.
    percent: f64,
    /// The milestones that are to come, in order.
    milestones: Vec<f64>,
}

/// What one attempt of a visit tells of its progress, on top of what those before it have told.
#[derive(Debug)]
pub(crate) struct ProgressTracker {
    options: Arc<ProgressOptions>,
    at: At,
    began: Instant,
    /// Percent that this attempt has reached; never falls.
    percent: f64,
    /// Percent that the visit has told; never falls, also where another attempt begins its work anew.
    told: f64,
    current: Option<f64>,
    total: Option<f64>,
    metrics: Option<ProgressMetadata>,
    /// The milestones that are to come, in order.
    milestones: Vec<f64>,
    told_at: Instant,
    untold: bool,
    ended: bool,
}

impl ProgressTracker {
    /// An attempt begins, after those that have `told` something: its first update says so.
    pub(crate) fn begin(
        options: Arc<ProgressOptions>,
        at: At,
        before: Option<Told>,
        now: Instant,
        out: &mut Vec<payload::Progress>,
    ) -> Self {
        let Told { percent: told, milestones } = before.unwrap_or_else(|| {
            let mut milestones = options.milestones.clone();
            milestones.sort_by(f64::total_cmp);
            milestones.dedup();
            Told { percent: 0.0, milestones }
        });
        let mut tracker = Self {
            options,
            at,
            began: now,
            percent: 0.0,
            told,
            current: None,
            total: None,
            metrics: None,
            milestones,
            told_at: now,
            untold: false,
            ended: false,
        };
        // A milestone at 0 is the start itself.
        if !tracker.tell_milestones(now, out) {
            tracker.tell(now, None, out);
        }
        tracker
    }

    /// The node has done `current` of `total` units.
    ///
    /// # Errors
    /// [`CalculatorPanicked`], and then the percentage stays where it was.
    pub(crate) fn update(
        &mut self,
        current: f64,
        total: f64,
        metadata: ProgressMetadata,
        now: Instant,
        out: &mut Vec<payload::Progress>,
    ) -> Result<(), CalculatorPanicked> {
        if self.ended {
            return Ok(());
        }
        let percent = match self.options.calculator {
            Some(calculator) => {
                // A calculator is the user's code, and this stands under a lock.
                let computed = catch_unwind(AssertUnwindSafe(|| calculator(current, total, &metadata)));
                computed.map_err(|_| CalculatorPanicked)?
            }
            // In this order 56 of 100 are 56 exactly.
            None => current * 100.0 / total,
        };
        // 0 of 0 is not a number: nothing is known, so nothing changes. 100 is for the end.
        if percent.is_finite() {
            self.percent = self.percent.max(percent.clamp(0.0, 100.0));
        }
        (self.current, self.total) = (finite(current), finite(total));
        if !metadata.is_empty() {
            self.metrics = Some(metadata);
        }
        self.untold = true;
        self.tell_milestones(now, out);
        let due = match self.options.granularity {
            Granularity::Coarse => false,
            Granularity::Fine => now.duration_since(self.told_at) >= self.options.interval,
            Granularity::Detailed => true,
        };
        if due && self.untold {
            self.tell(now, None, out);
        }
        Ok(())
    }

    /// Tells the milestones that are reached; whether there were any.
    fn tell_milestones(&mut self, now: Instant, out: &mut Vec<payload::Progress>) -> bool {
        let reached = self.milestones.iter().take_while(|milestone| **milestone <= self.percent).count();
        for milestone in self.milestones.drain(..reached).collect::<Vec<_>>() {
            self.tell(now, Some(milestone), out);
        }
        reached > 0
    }

    /// When an update that was not told is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let waits = self.untold && !self.ended && self.options.granularity == Granularity::Fine;
        // An interval that is longer than time lasts is never over.
        if waits { self.told_at.checked_add(self.options.interval) } else { None }
    }

    /// Tells the update that is due.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<payload::Progress>) {
        if self.due().is_some_and(|due| due <= now) {
            self.tell(now, None, out);
        }
    }

    /// The attempt has failed and there is another: it says nothing more, and this is for that one.
    pub(crate) fn hand_over(&mut self) -> Told {
        self.ended = true;
        Told { percent: self.told, milestones: mem::take(&mut self.milestones) }
    }

    /// The visit has ended: 100 % if it succeeded; otherwise it says `failed` or `cancelled` where it stands.
    pub(crate) fn end(&mut self, ending: Ending, now: Instant, out: &mut Vec<payload::Progress>) {
        if self.ended {
            return;
        }
        self.ended = true;
        let succeeded = ending == Ending::Succeeded;
        if succeeded {
            self.percent = 100.0;
            self.tell_milestones(now, out);
        }
        // A milestone at 100 has said it already.
        if !succeeded || out.last().is_none_or(|last| last.progress < 100.0) {
            self.tell(now, None, out);
        }
        let outcome = match ending {
            Ending::Succeeded => None,
            Ending::Failed => Some("failed"),
            Ending::Cancelled => Some("cancelled"),
        };
        if let Some(last) = out.last_mut() {
            last.outcome = outcome.map(Into::into);
        }
    }

    fn tell(&mut self, now: Instant, milestone: Option<f64>, out: &mut Vec<payload::Progress>) {
        self.told_at = now;
        self.untold = false;
        self.told = self.told.max(self.percent);
        let elapsed = now.duration_since(self.began);
        let seconds = elapsed.as_secs_f64();
        let rate = self.current.filter(|_| seconds > 0.0).map(|current| current / seconds);
        let rate = rate.filter(|rate| rate.is_finite());
        let remaining = (self.percent > 0.0).then(|| seconds * (100.0 - self.percent) / self.percent);
        let options = &self.options;
        out.push(payload::Progress {
            progress: self.told,
            current: self.current,
            total: self.total,
            rate: rate.filter(|_| options.include_metrics),
            // The cast saturates: the first billionth of a long piece of work may promise more than can be counted.
            eta_ms: remaining
                .filter(|_| options.include_eta)
                .map(|seconds| (seconds * 1000.0).round() as u64),
            elapsed_ms: options
                .include_metrics
                .then(|| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)),
            milestone,
            display: self.display(rate),
            outcome: None,
            metrics: self.metrics.clone().filter(|_| options.include_metrics),
            visit: self.at.visit,
            attempt: self.at.attempt,
            item: self.at.item,
        });
    }

    /// The line for people, of the parts that the format shows: `42.0 % · 42/100 · 17.3/s`.
    fn display(&self, rate: Option<f64>) -> Option<String> {
        let format = &self.options.format;
        let precision = format.precision;
        let mut line = String::new();
        let mut part = |text: String| {
            let separator = if line.is_empty() { "" } else { " · " };
            // Writing to a string does not fail.
            let _ = write!(line, "{separator}{text}");
        };
        if format.show_percentage {
            part(format!("{:.precision$} %", self.told));
        }
        let shown = |show: bool, units: Option<f64>| units.filter(|_| show);
        match (shown(format.show_current, self.current), shown(format.show_total, self.total)) {
            (Some(current), Some(total)) => part(format!("{current}/{total}")),
            (Some(current), None) => part(format!("{current}")),
            (None, Some(total)) => part(format!("of {total}")),
            (None, None) => {}
        }
        if let Some(rate) = shown(format.show_rate, rate) {
            part(format!("{rate:.precision$}/s"));
        }
        (!line.is_empty()).then_some(line)
    }
}

fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests;
