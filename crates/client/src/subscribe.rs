//! What to follow, and how.

use std::time::Duration;

use streamnest_core::{Delivery, EventType, ExecutionId, NodeName};
use streamnest_protocol::native::{MAX_FLUSH_WINDOW, Replay, StartAt, SubscribeExecution, SubscriptionName};

use crate::{Client, Error, Subscription};

/// A subscription that is being described; [`connect`](Self::connect) makes it.
#[derive(Clone, Debug)]
#[must_use = "nothing is followed before `connect`"]
pub struct Subscribe {
    client: Client,
    command: SubscribeExecution,
    subscription: Option<String>,
}

impl Subscribe {
    pub(crate) const fn new(client: Client, execution_id: ExecutionId) -> Self {
        Self { client, command: SubscribeExecution::new(execution_id), subscription: None }
    }

    /// Only these classes (`token`, `event`, `progress`, `status`) and event types, mixed. The terminal status comes in
    /// any case.
    pub fn events<S: Into<String>>(mut self, events: impl IntoIterator<Item = S>) -> Self {
        self.command.events = events.into_iter().map(Into::into).collect();
        self
    }

    /// Only these nodes.
    pub fn nodes<S: Into<String>>(mut self, nodes: impl IntoIterator<Item = S>) -> Self {
        self.command.nodes = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// Where to begin. Left out, a named subscription goes on after what it acknowledged, any other begins at the
    /// start.
    pub fn from(mut self, from: StartAt) -> Self {
        self.command.from = Some(from);
        self
    }

    /// Waits for an execution that does not exist yet.
    pub fn wait(mut self) -> Self {
        self.command.wait = true;
        self
    }

    /// Gives the subscription a name, by which it [acknowledges](Subscription::acknowledge) and goes on later.
    pub fn subscription(mut self, name: impl Into<String>) -> Self {
        self.subscription = Some(name.into());
        self
    }

    /// What the reader relies on; with [`Delivery::AtMostOnce`] it is moved past what it lags too far behind, and told
    /// by a gap.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.command.delivery = Some(delivery);
        self
    }

    /// How long the server may gather entries before it sends them, at most 10 s.
    pub fn flush_window(mut self, window: Duration) -> Self {
        self.command.flush_window = Some(window);
        self
    }

    /// With [`Replay::Compact`] it gets what it missed, now or while it was away, as an [`Item::Snapshot`](crate::Item::Snapshot)
    /// and not entry by entry.
    pub fn replay(mut self, replay: Replay) -> Self {
        self.command.replay = replay;
        self
    }

    /// Connects and subscribes: one attempt, so that a wrong address is heard of at once. It comes back by itself only
    /// once it stood.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that is not legal, [`Error::InvalidOption`], [`Error::Connect`], [`Error::Upgrade`], [`Error::Silent`] if
    /// there is no server, [`Error::Refused`] if it refuses, for example because there is no such execution.
    pub async fn connect(mut self) -> Result<Subscription, Error> {
        for event in &self.command.events {
            EventType::new(event).map_err(|error| illegal("event", error))?;
        }
        for node in &self.command.nodes {
            NodeName::new(node).map_err(|error| illegal("node", error))?;
        }
        if let Some(name) = self.subscription {
            let name = SubscriptionName::new(name).map_err(|error| illegal("subscription", error))?;
            self.command.subscription = Some(name);
        }
        if let Some(window) = self.command.flush_window.filter(|window| *window > MAX_FLUSH_WINDOW) {
            let reason =
                format!("{window:?} is over the limit of {MAX_FLUSH_WINDOW:?}; choose a shorter one");
            return Err(illegal("flush window", reason));
        }
        Subscription::connect(self.client, self.command).await
    }
}

fn illegal(what: &'static str, reason: impl ToString) -> Error {
    Error::Argument { what, reason: reason.to_string() }
}
