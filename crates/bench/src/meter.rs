//! What all connections of a run count together.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::error::Error;

/// Counters of a run. Latencies, and the counters in [`Window`], are noted only while the window is open.
pub(crate) struct Meter {
    latency_us: Histogram<u64>,
    open: bool,
    /// What arrived while the window was open.
    pub(crate) window: Window,
    /// Connections that stand: upgraded, or connected for an event stream.
    pub(crate) opened: usize,
    /// Subscriptions that the server has confirmed.
    pub(crate) confirmed: usize,
    /// Connections that have seen the terminal entry.
    pub(crate) finished: usize,
    /// Connections that ended otherwise, or were refused.
    pub(crate) failed: usize,
    /// Gaps that the server told of.
    pub(crate) gaps: u64,
    /// Why the first of the failed ones failed.
    pub(crate) failure: Option<String>,
}

/// What arrived while the window was open.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    pub(crate) tokens: u64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) reads: u64,
}

/// Percentiles of the time from a token's making in the node to its reading here, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// Latencies are told apart up to ten minutes, to three digits.
const LATENCY_MAX_US: u64 = 600_000_000;

impl Meter {
    pub(crate) fn new() -> Result<Self, Error> {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)
            .map_err(|_| Error::Usage("the bounds of the histogram are wrong"))?;
        Ok(Self {
            latency_us,
            open: false,
            window: Window::default(),
            opened: 0,
            confirmed: 0,
            finished: 0,
            failed: 0,
            gaps: 0,
            failure: None,
        })
    }

    /// Opens the window, empty, or closes it.
    pub(crate) fn set_open(&mut self, open: bool) {
        if open && !self.open {
            self.latency_us.reset();
            self.window = Window::default();
        }
        self.open = open;
    }

    /// Notes one read of so many bytes.
    pub(crate) fn read(&mut self, bytes: usize) {
        if self.open {
            self.window.reads += 1;
            self.window.bytes += bytes as u64;
        }
    }

    /// Notes one frame that carried tokens.
    pub(crate) fn frame(&mut self) {
        self.window.frames += u64::from(self.open);
    }

    /// Notes one token.
    #[inline]
    pub(crate) fn token(&mut self, made_ns: u64, now_ns: u64) {
        if self.open {
            self.window.tokens += 1;
            self.latency_us.saturating_record((now_ns.saturating_sub(made_ns) / 1000).max(1));
        }
    }

    /// Notes a connection that failed.
    pub(crate) fn fail(&mut self, reason: impl FnOnce() -> String) {
        self.failed += 1;
        self.failure.get_or_insert_with(reason);
    }

    /// The percentiles so far; `None` if no token was noted.
    pub(crate) fn latency(&self) -> Option<Latency> {
        let at = |quantile| self.latency_us.value_at_quantile(quantile) as f64 / 1000.0;
        (!self.latency_us.is_empty()).then(|| Latency {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: self.latency_us.max() as f64 / 1000.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_while_the_window_is_open() {
        let mut meter = Meter::new().unwrap();
        meter.token(0, 5_000_000);
        meter.frame();
        meter.read(100);
        assert!(meter.latency().is_none());
        meter.set_open(true);
        meter.token(0, 5_000_000);
        meter.frame();
        meter.read(100);
        meter.set_open(false);
        meter.token(0, 5_000_000);
        let Window { tokens, frames, bytes, reads } = meter.window;
        assert_eq!((tokens, frames, bytes, reads), (1, 1, 100, 1));
    }

    #[test]
    fn gives_percentiles_in_milliseconds_to_three_digits() {
        let mut meter = Meter::new().unwrap();
        meter.set_open(true);
        for millisecond in 1..=1000_u64 {
            meter.token(0, millisecond * 1_000_000);
        }
        let Latency { p50, p99, p999, max } = meter.latency().unwrap();
        for (seen, expected) in [(p50, 500.0), (p99, 990.0), (p999, 999.0), (max, 1000.0)] {
            assert!((seen - expected).abs() <= expected / 500.0, "{seen} for {expected}");
        }
    }

    #[test]
    fn a_clock_that_stepped_back_does_not_underflow() {
        let mut meter = Meter::new().unwrap();
        meter.set_open(true);
        meter.token(2_000, 1_000);
        assert!(meter.latency().unwrap().max < 0.01);
    }
}
