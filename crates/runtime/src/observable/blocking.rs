//! How much a subscriber blocks its thread.

use std::time::{Duration, Instant};

/// The default of [`Subscriber::slow_after`](super::Subscriber::slow_after): a tenth of what people notice, and more than a
/// turn of one that does not block takes on a machine that is not overloaded.
pub(super) const SLOW_AFTER: Duration = Duration::from_millis(10);
/// A subscriber is told of as slow when it has blocked so many times what moves it to other threads: moving it by mistake, on
/// a busy machine, harms nobody, but telling would blame it.
pub(super) const TOLD_AFTER: u32 = 10;
/// The part of the time that passes by which blocking is forgotten.
const FORGOTTEN: u32 = 10;

/// How long a subscriber has blocked its thread of late: a bucket that leaks.
pub(super) struct Blocking {
    time: Duration,
    at: Instant,
}

impl Blocking {
    /// Nothing so far.
    pub(super) const fn from(at: Instant) -> Self {
        Self { time: Duration::ZERO, at }
    }

    /// Adds what it took too long until `now`; the sum.
    pub(super) fn add(&mut self, over: Duration, now: Instant) -> Duration {
        // It is no pause while it blocks.
        let passed = now.duration_since(self.at).saturating_sub(over);
        self.at = now;
        self.time = self.time.saturating_sub(passed / FORGOTTEN) + over;
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many items of `busy` milliseconds, each after a pause of `pause`, it is moved; `None` if not by the thousandth.
    fn moved_by(busy: u64, pause: u64) -> Option<usize> {
        let mut now = Instant::now();
        let mut blocking = Blocking::from(now);
        (1..=1_000).find(|_| {
            now += Duration::from_millis(pause + busy);
            blocking.add(Duration::from_millis(busy - 1), now) >= SLOW_AFTER
        })
    }

    #[test]
    fn what_counts_is_how_much_of_the_time_is_blocked() {
        assert_eq!(moved_by(150, 0), Some(1));
        assert_eq!(moved_by(20, 1_000), Some(1));
        assert_eq!(moved_by(5, 0), Some(3));
        assert_eq!(moved_by(2, 0), Some(11));
        assert_eq!(moved_by(5, 20), Some(5));
        assert_eq!(moved_by(5, 50), None);
        assert_eq!(moved_by(2, 10), None);
    }
}
