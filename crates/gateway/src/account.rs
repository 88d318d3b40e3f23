//! What an event stream takes of the server, whatever it tells.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Extensions;
use streamnest_core::Position;
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    access::Visitor,
    http::Refusal,
    limits::{REPLAY_BYTES, Who},
    metrics::{Traffic, Transport},
    shared::{Seat, Shared},
};

/// Its place among the connections, its share of what may be read again, and what is counted of it.
pub(crate) struct Account {
    shared: Arc<Shared>,
    /// Whose reading again is counted; nobody's, if that is not limited.
    who: Option<Who>,
    /// Whether what comes next may be read again, so that it waits for its turn.
    replays: bool,
    wait: Option<Pin<Box<Sleep>>>,
    traffic: Traffic,
    /// When it is looked at next.
    look_at: Instant,
    _seat: Seat,
}

impl Account {
    /// Takes a place for an event stream that a request asks for.
    ///
    /// # Errors
    /// There is none, or its address may not open one more now.
    pub(crate) fn open(shared: &Arc<Shared>, visitor: &Visitor, asked: &Extensions) -> Result<Self, Refusal> {
        let seat = shared.seat(asked, Transport::EventStream).map_err(|refused| *refused.refusal)?;
        Ok(Self {
            who: Who::of(visitor, seat.address()).filter(|_| shared.limits.counts_replay()),
            replays: false,
            wait: None,
            traffic: shared.metrics.traffic(Transport::EventStream),
            look_at: Instant::now() + shared.options.heartbeat_interval,
            _seat: seat,
            shared: shared.clone(),
        })
    }

    /// It begins after `position`, so many entries before the end.
    pub(crate) fn begin(&mut self, position: Position, lag: u64) {
        if position != Position::BEFORE_FIRST {
            self.shared.metrics.resumed(Transport::EventStream, true);
        }
        self.replays = lag > 0;
    }

    /// Completes when it may read on, about so many bytes at once.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let Some(who) = &self.who else { return Poll::Ready(()) };
        while self.replays {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
            }
            let refused = self.shared.limits.may_replay(bytes, who).err();
            self.wait = refused.map(|exceeded| Box::pin(sleep(exceeded.retry_after)));
            if self.wait.is_none() {
                break;
            }
        }
        Poll::Ready(())
    }

    /// Counts so many bytes that were read at once, unless they are so few that they come live.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.replays = bytes >= REPLAY_BYTES;
        if let (true, Some(who)) = (self.replays, &self.who) {
            self.shared.limits.replayed(bytes, who);
        }
    }

    /// There is nothing to read now; if all there was is read, what comes next comes live.
    pub(crate) fn rest(&mut self, lag: impl FnOnce() -> u64) {
        self.replays = self.replays && lag() > 0;
    }

    /// Waits until so many bytes that were read at once may be sent, and counts them.
    ///
    /// # Cancel safety
    /// Safe: they are counted when this returns.
    pub(crate) async fn take(&mut self, bytes: usize) {
        self.replays = bytes >= REPLAY_BYTES;
        poll_fn(|cx| self.poll_turn(cx, bytes)).await;
        self.took(bytes);
    }

    /// Counts so many bytes that are handed out.
    pub(crate) const fn sent(&mut self, bytes: usize) {
        self.traffic.add(bytes);
    }

    /// When it is to be [looked at](Self::look).
    pub(crate) const fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Adds up what was done and notes how far it is behind, if a heartbeat's time has passed since that was done last.
    pub(crate) fn look(&mut self, lag: impl FnOnce() -> u64) {
        let now = Instant::now();
        if now >= self.look_at {
            self.look_at = now + self.shared.options.heartbeat_interval;
            self.traffic.fold();
            self.shared.metrics.lags(lag());
        }
    }
}
