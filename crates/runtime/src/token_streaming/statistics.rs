//! What all token streams say, in figures.

use std::time::Duration;

use futures_util::{Stream, stream};
use serde::Serialize;
use streamnest_core::{Class, Timestamp};
use streamnest_log::{FanIn, FanInCursor, FanInScope, Filter, ReadLimit, Registry};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// Figures of the tokens of all executions, those that workflows stream included, since a view of them began.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TokenStatistics {
    /// When the view began.
    pub since: Timestamp,
    /// Tokens that got a frame.
    pub tokens: u64,
    /// Frames, each of one or more tokens.
    pub frames: u64,
    /// Tokens that a filter dropped.
    pub filtered: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Tokens per second since the figures before these.
    pub tokens_per_second: f64,
    /// Executions that are followed now.
    pub executions: usize,
    /// Token streams of the service that are open now. Those of workflows' nodes are not among them.
    pub active_streams: usize,
    /// Entries that the view missed, so that the figures are that much too low.
    pub missed: u64,
    /// Executions that are left out, from their start or from some moment on: they came when the view followed as many as
    /// [`LogOptions::max_fan_in`](streamnest_log::LogOptions::max_fan_in) others, or their log cannot be read any more. The
    /// figures are too low by what they say.
    pub left_out: u64,
}

/// Counts what comes, and tells it in an interval.
struct Counter<A> {
    cursor: FanInCursor,
    /// `None` until it is asked for figures: a view may be put together outside of a runtime.
    ticks: Option<Interval>,
    every: Duration,
    figures: TokenStatistics,
    /// Tokens at the last tick, and when that was.
    before: (u64, Instant),
    active: A,
    told: Option<TokenStatistics>,
}

/// The figures, at once and then at most every `every` while they change.
pub(super) fn statistics(
    logs: Registry,
    every: Duration,
    active: impl Fn() -> usize + Send + 'static,
) -> impl Stream<Item = TokenStatistics> + Send {
    let filter = Filter::new(&[Class::Token.as_str()], &[]).unwrap_or_default();
    let figures = TokenStatistics {
        since: logs.now(),
        tokens: 0,
        frames: 0,
        filtered: 0,
        bytes: 0,
        tokens_per_second: 0.0,
        executions: 0,
        active_streams: 0,
        missed: 0,
        left_out: 0,
    };
    let cursor = logs.fan_in(filter, FanInScope::All);
    let counter =
        Counter { cursor, ticks: None, every, figures, before: (0, Instant::now()), active, told: None };
    stream::unfold(counter, |mut counter| async move {
        let figures = counter.next().await;
        Some((figures, counter))
    })
}

impl<A: Fn() -> usize> Counter<A> {
    async fn next(&mut self) -> TokenStatistics {
        loop {
            let ticks = self.ticks.get_or_insert_with(|| {
                let mut ticks = interval(self.every);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                ticks
            });
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    if let Some(figures) = self.tick() {
                        return figures;
                    }
                }
                found = self.cursor.next(ReadLimit::default()) => match found {
                    Ok(FanIn::Entries { entries, .. }) => {
                        entries.iter().filter_map(|entry| entry.event().as_token().ok().flatten()).for_each(|token| {
                            self.figures.tokens += u64::from(token.count);
                            self.figures.filtered += token.filtered;
                            self.figures.bytes += token.content.len() as u64;
                            self.figures.frames += 1;
                        });
                    }
                    Ok(FanIn::Gap { gap, .. }) => self.figures.missed += gap.to.next().distance_from(gap.from),
                    Ok(FanIn::LeftOut { executions }) => {
                        tracing::warn!(executions, "token statistics leave executions out");
                        self.figures.left_out += executions;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "token statistics cannot read a log any more");
                        self.figures.left_out += 1;
                    }
                },
            }
        }
    }

    /// The figures now, unless they were told already.
    fn tick(&mut self) -> Option<TokenStatistics> {
        let (tokens, at) = self.before;
        let seconds = at.elapsed().as_secs_f64();
        let rate = (self.figures.tokens - tokens) as f64 / seconds.max(f64::EPSILON);
        self.before = (self.figures.tokens, Instant::now());
        self.figures.tokens_per_second = if seconds > 0.0 { rate } else { 0.0 };
        self.figures.executions = self.cursor.following();
        self.figures.active_streams = (self.active)();
        let changed = self.told.as_ref() != Some(&self.figures);
        changed.then(|| self.told.insert(self.figures.clone()).clone())
    }
}
