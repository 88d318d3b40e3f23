//! Time as this process had it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How often it is looked whether there is time.
const STEP: Duration = Duration::from_millis(5);

/// Counts the time from its beginning on as far as this process had it: while it is stopped, or the machine has no time for it,
/// little or nothing is counted.
///
/// It is for bounds from above. That something comes within a time can be promised only of time in which one may do something; how
/// long it takes at least is asked of the clock.
#[derive(Debug)]
pub struct Awake(Arc<AtomicU64>);

impl Awake {
    /// Counts from now on, by a thread of its own, which shares what this process is given.
    pub fn begin() -> Self {
        let counted = Arc::new(AtomicU64::new(0));
        let counting = Arc::downgrade(&counted);
        thread::spawn(move || {
            let mut before = Instant::now();
            while let Some(counted) = counting.upgrade() {
                thread::sleep(STEP);
                let took = before.elapsed().min(2 * STEP);
                before = Instant::now();
                counted.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self(counted)
    }

    /// How much was counted.
    pub fn elapsed(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}
