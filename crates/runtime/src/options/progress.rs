//! `#[stream_progress]`.

use std::time::Duration;

use super::setters;

/// Figures that a node gives along with its progress, for its calculator and for the frame.
pub type ProgressMetadata = serde_json::Map<String, serde_json::Value>;

/// How often and how a node's progress is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProgressOptions {
    /// Whether the node tells its progress at all. Default true.
    pub enabled: bool,
    /// With fine granularity, the time between two updates. Default 1 s.
    pub interval: Duration,
    /// Which updates are told. Default fine.
    pub granularity: Granularity,
    /// Whether an update says how long it will still take. Default false.
    pub include_eta: bool,
    /// Whether an update carries rate, elapsed time and the figures that the node gives. Default false.
    pub include_metrics: bool,
    /// Percentages that are each told exactly once in a visit, in order, however often it is tried. Default none.
    pub milestones: Vec<f64>,
    /// Computes the percentage of current, total and the node's figures. Default current ÷ total × 100.
    pub calculator: Option<fn(f64, f64, &ProgressMetadata) -> f64>,
    /// The line for people.
    pub format: ProgressFormat,
}

impl Default for ProgressOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(1),
            granularity: Granularity::default(),
            include_eta: false,
            include_metrics: false,
            milestones: Vec::new(),
            calculator: None,
            format: ProgressFormat::default(),
        }
    }
}

impl ProgressOptions {
    /// Sets [`calculator`](Self::calculator).
    #[must_use]
    pub fn with_calculator(self, calculator: fn(f64, f64, &ProgressMetadata) -> f64) -> Self {
        Self { calculator: Some(calculator), ..self }
    }
}

setters! {
    ProgressOptions {
        with_enabled enabled: bool,
        with_interval interval: Duration,
        with_granularity granularity: Granularity,
        with_include_eta include_eta: bool,
        with_include_metrics include_metrics: bool,
        with_milestones milestones: Vec<f64>,
        with_format format: ProgressFormat,
    }
}

/// Which updates of a node are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Granularity {
    /// The start, the milestones and the end.
    Coarse,
    /// Those, and one each interval.
    #[default]
    Fine,
    /// Every one.
    Detailed,
}

/// The line for people: `42.0 % · 42/100 · 17.3/s`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProgressFormat {
    /// The percentage. Default true.
    pub show_percentage: bool,
    /// The units done. Default false.
    pub show_current: bool,
    /// The units in all. Default false.
    pub show_total: bool,
    /// The units per second. Default false.
    pub show_rate: bool,
    /// Decimals. Default 1.
    pub precision: usize,
}

impl Default for ProgressFormat {
    fn default() -> Self {
        Self { show_percentage: true, show_current: false, show_total: false, show_rate: false, precision: 1 }
    }
}

setters! {
    ProgressFormat {
        with_show_percentage show_percentage: bool,
        with_show_current show_current: bool,
        with_show_total show_total: bool,
        with_show_rate show_rate: bool,
        with_precision precision: usize,
    }
}
