//! Time that a test holds in its hand.

use streamnest::core::{Clock, Timestamp};
use tokio::time::Instant;

/// Wall time that goes with tokio's: from midnight of 1 January 2030 (UTC), it stands while time is paused and leaps when
/// time does.
#[derive(Clone, Copy, Debug)]
pub struct PausedClock {
    began: Instant,
}

/// 2030-01-01T00:00:00Z, in seconds since 1970.
const BEGINNING: u64 = 1_893_456_000;

impl PausedClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self { began: Instant::now() }
    }
}

impl Default for PausedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(BEGINNING * 1_000_000).after(self.began.elapsed())
    }
}
