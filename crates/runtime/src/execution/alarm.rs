//! What wakes a visit's task when something of its output is due.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use crate::plan::NodePlan;

/// Tokio's timers tell time in whole milliseconds. What is due within one is done when the task is here anyway, for a timer
/// would only bring it back a moment later.
const TIMER_STEP: Duration = Duration::from_millis(1);

/// Wakes a visit's task when something of its output is due.
///
/// It is asked with each token, so it keeps what its timer is set to, which is memory elsewhere. A timer that has not rung
/// yet and is set later costs next to nothing; one that rings costs a turn of the task.
#[derive(Default)]
pub(super) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    /// When `timer` rings, or rang last. It knows the task then.
    rings_at: Option<Instant>,
}

impl Alarm {
    /// Waits for `due`, the earliest time at which something is. Gives the time up to which everything is to be done now.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        due: Option<Instant>,
        plan: &NodePlan,
    ) -> Poll<Instant> {
        let Some(due) = due else {
            self.postpone(cx, plan);
            return Poll::Pending;
        };
        let now = Instant::now();
        if now + TIMER_STEP < due {
            if self.rings_at == Some(due) {
                return Poll::Pending;
            }
            ready!(self.set(cx, due));
        }
        Poll::Ready(due.max(now))
    }

    /// Spares a ring that is near and for nothing: a token that waits from now on is not due for an interval.
    fn postpone(&mut self, cx: &mut Context<'_>, plan: &NodePlan) {
        let (Some(rings_at), Some(token)) = (self.rings_at, &plan.token) else { return };
        let now = Instant::now();
        if now < rings_at
            && rings_at <= now + TIMER_STEP
            && let Some(later) = now.checked_add(token.options.flush_interval)
        {
            // It is too early for it to ring.
            let _ = self.set(cx, later);
        }
    }

    fn set(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.rings_at = Some(at);
        let timer = match &mut self.timer {
            Some(timer) => {
                timer.as_mut().reset(at);
                timer
            }
            none => none.insert(Box::pin(sleep_until(at))),
        };
        // With a budget it might say "later" without having heard who asks.
        pin!(unconstrained(timer.as_mut())).poll(cx)
    }
}
