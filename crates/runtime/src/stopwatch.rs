//! Time that stands still while somebody is waited for.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::unconstrained,
    time::{Instant, sleep_until},
};

/// Measures how long a run or a visit works. It stands while at least one [`Hold`] of it is held.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    holds: usize,
    /// When the first of the holds began.
    since: Option<Instant>,
    /// How long it stood before that.
    before: Duration,
}

/// A stopwatch stands while this is held.
#[must_use]
#[derive(Debug)]
pub(crate) struct Hold<'a>(&'a Stopwatch);

impl Held {
    fn stood(&self) -> Duration {
        self.before + self.since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

impl Stopwatch {
    /// Stops the watch until the hold is dropped.
    pub(crate) fn hold(&self) -> Hold<'_> {
        {
            let mut held = self.lock();
            held.holds += 1;
            held.since.get_or_insert_with(Instant::now);
        }
        self.changed.notify_waiters();
        Hold(self)
    }

    /// Does `work`; `None` if it takes longer than `limit`, not counting the time in which the watch stands.
    ///
    /// # Cancel safety
    /// As safe as `work`, which is dropped when its time is over.
    pub(crate) async fn within<F: Future>(&self, limit: Duration, work: F) -> Option<F::Output> {
        let began = Instant::now();
        let stood = self.lock().stood();
        tokio::pin!(work);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            // While the watch stands nothing is due; what is further off than the clock can tell never is.
            let due = match &*self.lock() {
                Held { holds: 0, before, .. } => began.checked_add(limit.saturating_add(*before - stood)),
                _ => None,
            };
            // Not of the task's budget: work that uses it up each time would never run out of time.
            let over = unconstrained(async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            });
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = changed => {}
                () = over => return None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing unwinds while it is locked.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        {
            let mut held = self.0.lock();
            held.holds -= 1;
            if held.holds == 0 {
                held.before = held.stood();
                held.since = None;
            }
        }
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn only_the_time_in_which_nothing_holds_it_counts() {
        let watch = Stopwatch::default();
        let work = async {
            sleep(2 * SECOND).await;
            let first = watch.hold();
            sleep(60 * SECOND).await;
            let second = watch.hold();
            drop(first);
            sleep(60 * SECOND).await;
            drop(second);
            sleep(2 * SECOND).await;
        };
        let began = Instant::now();
        assert_eq!(watch.within(5 * SECOND, work).await, Some(()));
        assert_eq!(began.elapsed(), 124 * SECOND);
        // What it stood before counts for nothing.
        let began = Instant::now();
        assert_eq!(watch.within(3 * SECOND, sleep(4 * SECOND)).await, None);
        assert_eq!(began.elapsed(), 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_after_a_hold_and_runs_out() {
        let watch = Stopwatch::default();
        let began = Instant::now();
        let holding = async {
            sleep(2 * SECOND).await;
            let hold = watch.hold();
            sleep(60 * SECOND).await;
            drop(hold);
            std::future::pending::<()>().await;
        };
        // The hold is another task's: the watch wakes who waits for it.
        let timed = watch.within(5 * SECOND, std::future::pending::<()>());
        tokio::select! {
            over = timed => assert_eq!(over, None),
            () = holding => unreachable!("it never ends"),
        }
        assert_eq!(began.elapsed(), 65 * SECOND);
    }

    #[tokio::test]
    async fn work_that_never_pauses_by_itself_runs_out_of_time_too() {
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let over = Stopwatch::default().within(Duration::from_millis(20), busy).await;
        assert_eq!(over, None::<()>);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_no_clock_can_tell_is_none() {
        let watch = Stopwatch::default();
        assert_eq!(watch.within(Duration::MAX, sleep(SECOND)).await, Some(()));
    }
}
