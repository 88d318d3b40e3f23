//! When streams without an end of their own end, because the server does.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use uuid::Uuid;

use crate::shared::Shared;

/// Completes at a moment of its own within [`GatewayOptions::drain_jitter`](crate::GatewayOptions::drain_jitter) after all that goes
/// on was told to end, so that those who come back do not all do so at once.
pub(crate) struct Leaving {
    told: Pin<Box<WaitForCancellationFutureOwned>>,
    jitter: Duration,
    /// Most streams never come to it.
    at: Option<Pin<Box<Sleep>>>,
}

impl Leaving {
    pub(crate) fn new(shared: &Shared) -> Self {
        let told = Box::pin(shared.ending.clone().cancelled_owned());
        Self { told, jitter: shared.options.drain_jitter, at: None }
    }
}

impl Future for Leaving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.at.is_none() {
            ready!(self.told.as_mut().poll(cx));
            let after = self.jitter.mul_f64(share(Uuid::now_v7()));
            self.at = Some(Box::pin(sleep(after)));
        }
        match &mut self.at {
            Some(at) => at.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// A number from 0 to 1 that is as random as a name is.
pub(crate) fn share(name: Uuid) -> f64 {
    let (_, random) = name.as_u64_pair();
    f64::from((random & 0xFFFF_FFFF) as u32) / f64::from(u32::MAX)
}
