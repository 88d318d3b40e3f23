//! One execution that a connection follows.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use streamnest_core::{BoxFuture, Delivery, ExecutionId, Position, Status};
use streamnest_log::{Acknowledger, Cursor, Error, EventLog, FanInCursor, Filter, Start};
use streamnest_protocol::native::{
    ReaderPosition, StartAt, SubscribeExecution, SubscriptionName, SubscriptionState, SubscriptionStatus,
};
use tokio::time::Instant;

use crate::{compact::Compact, metrics::Counted, views::Place};

/// A reader on behalf of a client. What each look needs stands first and together.
#[repr(C)]
pub(super) struct Subscription {
    pub(super) source: Source,
    /// `None` lets everything pass.
    pub(super) filter: Option<Box<Filter>>,
    /// What it has missed, while that is folded.
    pub(super) compact: Option<Box<Compact>>,
    /// What is delivered counts as acknowledged, so that it never is again.
    pub(super) at_most_once: bool,
    /// What is not sent before it is known to be acknowledged.
    pub(super) held: Option<Box<Held>>,
    /// How long entries are gathered, and until when they are now.
    pub(super) flush_window: Duration,
    pub(super) gathers_until: Option<Instant>,
    /// Bytes that were read from the log in the last look and are not sent: left out, folded or compressed away.
    pub(super) spared: usize,
    pub(super) name: Option<SubscriptionName>,
    pub(super) execution: ExecutionId,
    /// Who acknowledges under its name.
    pub(super) acknowledger: Acknowledger,
    _counted: Counted,
}

/// What a connection follows over many executions.
pub(super) struct EventsView {
    pub(super) cursor: FanInCursor,
    /// Those that the client has named; none are all that it may read.
    pub(super) executions: Vec<ExecutionId>,
    /// Its place among those of the gateway.
    pub(super) place: Place,
}

/// Frames that a named at-most-once subscription gets as soon as nothing can undo that it got them, not even the end of the
/// server: otherwise they would be delivered again after it.
pub(super) struct Held {
    pub(super) frames: Vec<Bytes>,
    /// The position before them.
    pub(super) before: Position,
    pub(super) acknowledged: BoxFuture<'static, Result<(), Error>>,
}

/// Where the entries come from.
pub(super) enum Source {
    /// The execution's log.
    Reading(Cursor),
    /// Nowhere yet.
    Waiting(Box<Waiting>),
    /// Everything was read.
    Ended {
        /// After the last entry.
        position: Position,
        /// How the execution ended.
        state: SubscriptionState,
    },
}

/// A wait for an execution that does not exist yet.
pub(super) struct Waiting {
    pub(super) log: BoxFuture<'static, Result<Arc<EventLog>, Error>>,
    pub(super) by: Instant,
    pub(super) from: Option<StartAt>,
    pub(super) delivery: Delivery,
    /// The `id` of the request, for the error if it never comes to exist.
    pub(super) reply_to: Option<String>,
}

impl Subscription {
    pub(super) fn new(
        request: &SubscribeExecution,
        filter: Filter,
        window: Duration,
        source: Source,
        acknowledger: Acknowledger,
        counted: Counted,
    ) -> Self {
        Self {
            execution: request.execution_id.clone(),
            name: request.subscription.clone(),
            acknowledger,
            source,
            filter: (!filter.is_all()).then(|| Box::new(filter)),
            compact: None,
            held: None,
            at_most_once: request.delivery == Some(Delivery::AtMostOnce) && request.subscription.is_some(),
            flush_window: request.flush_window.unwrap_or(window),
            gathers_until: None,
            spared: 0,
            _counted: counted,
        }
    }

    pub(super) fn is(&self, execution: &ExecutionId, name: Option<&SubscriptionName>) -> bool {
        self.execution == *execution && self.name.as_ref() == name
    }

    /// Whether there may be more to come.
    pub(super) const fn is_live(&self) -> bool {
        matches!(self.source, Source::Reading(_))
    }

    /// Whether its log holds entries that it has not taken.
    pub(super) fn is_behind(&self) -> bool {
        let Source::Reading(cursor) = &self.source else { return false };
        cursor.lag() > 0 || self.held.is_some()
    }

    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.source, Source::Waiting(_))
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.source, Source::Ended { .. })
    }

    /// Where it stands: everything up to there that passes the filter was sent, or is owed.
    pub(super) fn position(&self) -> Position {
        match &self.source {
            Source::Reading(cursor) => {
                let folded = self.compact.as_ref().and_then(|compact| compact.sent(cursor.log()));
                let held = self.held.as_ref().map(|held| held.before);
                held.or(folded).unwrap_or_else(|| cursor.position())
            }
            Source::Waiting(_) => Position::BEFORE_FIRST,
            Source::Ended { position, .. } => *position,
        }
    }

    pub(super) fn state(&self) -> SubscriptionState {
        match &self.source {
            Source::Reading(cursor) => state_of(cursor.log()),
            Source::Waiting(_) => SubscriptionState::Waiting,
            Source::Ended { state, .. } => *state,
        }
    }

    pub(super) fn reader_position(&self) -> ReaderPosition {
        ReaderPosition {
            execution_id: self.execution.clone(),
            subscription: self.name.clone(),
            position: self.position(),
        }
    }

    /// How many entries follow its position, those included that it holds or folds.
    pub(super) fn lag(&self) -> u64 {
        let Source::Reading(cursor) = &self.source else { return 0 };
        cursor.log().head().last.distance_from(self.position().seq())
    }

    pub(super) fn status(&self) -> SubscriptionStatus {
        SubscriptionStatus {
            execution_id: self.execution.clone(),
            subscription: self.name.clone(),
            position: self.position(),
            lag: self.lag(),
            state: self.state(),
        }
    }
}

/// Where an execution stands, from its log. One that has said nothing yet runs.
pub(crate) fn state_of(log: &EventLog) -> SubscriptionState {
    log.head().status.unwrap_or(Status::Running).into()
}

/// Opens a reader where its subscriber wants to begin.
///
/// A named subscription that does not say begins after what it acknowledged. With at-most-once delivery whatever it
/// says, what was delivered to it once is not delivered again.
pub(super) fn open(
    log: &Arc<EventLog>,
    from: Option<StartAt>,
    name: Option<&SubscriptionName>,
    delivery: Delivery,
    by: &Acknowledger,
) -> Result<Cursor, Error> {
    if let Some(name) = name {
        log.check_subscription(name, by)?;
    }
    let acknowledged = name.and_then(|name| log.acknowledged(name));
    let start = match (from, acknowledged) {
        (None, Some(seq)) => Start::After(log.position(seq)),
        (None | Some(StartAt::Start), _) => Start::Beginning,
        (Some(StartAt::Now), _) => Start::Now,
        (Some(StartAt::After(position)), _) => Start::After(position),
    };
    let mut cursor = log.cursor(start);
    if let (Delivery::AtMostOnce, Some(name)) = (delivery, name) {
        if let Some(seq) = acknowledged.filter(|seq| *seq > cursor.position().seq()) {
            cursor = log.cursor(Start::After(log.position(seq)));
        }
        // Takes a place among those that the log remembers, or fails now rather than later.
        log.acknowledge_as(name, cursor.position().seq(), by)?;
    }
    Ok(cursor.with_delivery(delivery))
}
