//! What is known of runs that have ended.

use std::sync::atomic::Ordering;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use streamnest_core::{Cost, Timestamp, payload::StatusUpdate};
use streamnest_log::{Pace, RunObserver};

use super::{Label, seconds};

/// The bounds of buckets for what a person waits for, in seconds. 0.5 is what a first token may take.
const WAITS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Those for the time between two tokens. 0.02 is 50 tokens a second.
const GAPS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0];
/// Those for whole runs.
const RUNS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0];

/// A histogram for each label.
type Histograms = Family<Label, Histogram, fn() -> Histogram>;

/// The numbers of runs.
#[derive(Clone)]
pub(crate) struct Runs {
    durations: Histograms,
    first_token: Histogram,
    token_gap: Histogram,
    /// Of runs that have ended; those that go on are added when somebody looks.
    token_entries: Counter,
    running: Gauge,
    shown: Counter,
    spent: Spent,
}

/// What the model calls of runs that have ended came to.
#[derive(Clone)]
struct Spent {
    calls: Family<Label, Counter>,
    tokens: Family<Label, Counter>,
    nano_usd: Counter,
}

impl Spent {
    fn new(registry: &mut Registry) -> Self {
        let (calls, tokens) = (Family::<Label, Counter>::default(), Family::<Label, Counter>::default());
        registry.register("model_calls", "Calls of models of runs that have ended", calls.clone());
        registry.register("model_tokens", "Tokens that they used, as far as they told", tokens.clone());
        let nano_usd = Counter::default();
        registry.register("cost_nano_usd", "What those came to whose price is known", nano_usd.clone());
        let spent = Self { calls, tokens, nano_usd };
        // All are there from the start, so that a rate is known from the first call on.
        spent.add(&Cost::default());
        spent
    }

    fn add(&self, cost: &Cost) {
        let calls = [("priced", cost.priced()), ("unpriced", cost.unpriced), ("unreported", cost.unreported)];
        for (outcome, count) in calls {
            self.calls.get_or_create(&[("cost", outcome.into())]).inc_by(count);
        }
        for (kind, count) in [("input", cost.input_tokens), ("output", cost.output_tokens)] {
            self.tokens.get_or_create(&[("kind", kind.into())]).inc_by(count);
        }
        self.nano_usd.inc_by(cost.nano_usd.unwrap_or_default());
    }
}

impl Runs {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let durations: Histograms = Family::new_with_constructor(|| Histogram::new(RUNS));
        registry.register(
            "run_duration_seconds",
            "Time from the first entry of a run to its last, by how it ended",
            durations.clone(),
        );
        let first_token = Histogram::new(WAITS);
        registry.register(
            "first_token_seconds",
            "Time from the first entry of a run to its first token",
            first_token.clone(),
        );
        let token_gap = Histogram::new(GAPS);
        registry.register(
            "token_gap_seconds",
            "Mean time between two entries of tokens of a run",
            token_gap.clone(),
        );
        let running = Gauge::default();
        registry.register("runs", "Runs that have not ended", running.clone());
        let shown = Counter::default();
        registry.register(
            "token_entries",
            "Entries of tokens of all runs; each holds one token or several that were joined",
            shown.clone(),
        );
        let (token_entries, spent) = (Counter::default(), Spent::new(registry));
        Self { durations, first_token, token_gap, token_entries, running, shown, spent }
    }

    /// Takes what is known of runs that go on.
    pub(super) fn look(&self, running: usize, token_entries: u64) {
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
        // A run that ended while these were counted was counted once or not at all, so it may be less for a moment.
        // Several may look at once, and what was shown is never taken back.
        self.shown.inner().fetch_max(self.token_entries.get() + token_entries, Ordering::Relaxed);
    }

    pub(super) fn running(&self) -> i64 {
        self.running.get()
    }

    pub(super) fn token_entries(&self) -> u64 {
        self.shown.get()
    }

    pub(super) fn cost_nano_usd(&self) -> u64 {
        self.spent.nano_usd.get()
    }
}

impl RunObserver for Runs {
    fn ended(&self, last: &StatusUpdate, ended: Timestamp, pace: &Pace) {
        if let Some(cost) = &last.cost {
            self.spent.add(cost);
        }
        let label = [("status", last.status.as_str().to_owned())];
        self.durations.get_or_create(&label).observe(seconds(ended.since(pace.begun)));
        self.token_entries.inc_by(pace.token_entries);
        let Some(first) = pace.first_token else { return };
        self.first_token.observe(seconds(first.since(pace.begun)));
        if pace.token_entries > 1 {
            let whole = seconds(pace.last_token.since(first));
            self.token_gap.observe(whole / (pace.token_entries - 1) as f64);
        }
    }
}
