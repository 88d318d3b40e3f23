//! An execution as a client follows it.

mod up;

use std::fmt;

use futures_core::Stream;
use futures_util::stream;
use serde_json::Value;
use streamnest_core::{BoxFuture, Class, Delivery, ExecutionId, Position, Seq};
use streamnest_protocol::native::{
    EntryFrame, Frame, Gap, GapReason, Heartbeat, ServerFrame, Snapshot, StartAt, StatusResponse,
    SubscribeExecution, SubscriptionConfirmed, SubscriptionName,
};
use tokio::time::sleep;

pub(crate) use self::up::unexpected;
use self::up::{RENEW, SUBSCRIBE, Up, open};
use crate::{
    Client, Error, backoff,
    tracker::{Tracker, Verdict},
};

/// The code by which a server ends what a renewed token may not read.
const FORBIDDEN: &str = "forbidden";

/// What a subscription gives to its caller.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item {
    /// An entry: each once, in order.
    Entry(EntryFrame),
    /// Entries that do not come.
    Gap(Gap),
    /// What entries said, in place of them, for a [replay](crate::Subscribe::replay) that is compact.
    Snapshot(Box<Snapshot>),
    /// What the server's program sent to this connection; it is in no log, and lost if the connection is.
    Message(Value),
}

/// What became of a subscription's connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections that were greeted and subscribed.
    pub connections: u64,
    /// Attempts to come back after a connection was lost, whatever became of them.
    pub reconnects: u64,
    /// Connections on which it went on after an entry or a gap that its caller had.
    pub resumes: u64,
    /// Entries given to the caller.
    pub entries: u64,
    /// Entries that arrived again and were dropped.
    pub duplicates: u64,
    /// Gaps given to the caller.
    pub gaps: u64,
    /// Snapshots given to the caller.
    pub snapshots: u64,
}

/// An execution as a client follows it: each entry once, in order, across lost connections.
///
/// It owns its connection and reads it while [`next`](Self::next) is awaited; there is no task and no queue behind it.
/// A caller that is slow is a slow reader to the server, which closes in the end; then the next call resumes.
pub struct Subscription {
    client: Client,
    command: SubscribeExecution,
    tracker: Tracker,
    link: Link,
    /// Failures to come back, and connections that brought nothing new, in a row.
    attempts: u32,
    /// The last entry that the caller has worked on.
    acknowledged: Option<Seq>,
    statistics: Statistics,
}

/// Whether there is a connection.
enum Link {
    Up(Box<Up>),
    /// One is waited for and opened. Kept here, so that a caller who looks in for short moments only gets one too.
    Down(BoxFuture<'static, Result<(Up, SubscriptionConfirmed), Error>>),
    /// The terminal status was given, or it cannot go on.
    Ended,
}

/// What to do about a frame.
enum Taken {
    Item(Item),
    Nothing,
    End,
}

/// What becomes of a subscription that lost its connection.
enum Lost {
    /// It will try again.
    ForNow(Error),
    /// It has ended.
    ForGood(Error),
}

impl Subscription {
    pub(crate) async fn connect(client: Client, command: SubscribeExecution) -> Result<Self, Error> {
        let (up, confirmed) = open(&client, command.clone()).await?;
        let dense = command.events.is_empty() && command.nodes.is_empty();
        Ok(Self {
            client,
            command,
            // For `now` and for a named subscription only the server knows where that is.
            tracker: Tracker::new(confirmed.position, dense),
            link: Link::Up(Box::new(up)),
            attempts: 0,
            acknowledged: None,
            statistics: Statistics { connections: 1, ..Statistics::default() },
        })
    }

    /// The execution.
    pub const fn execution_id(&self) -> &ExecutionId {
        &self.command.execution_id
    }

    /// After the last entry that was given: subscribe from here to go on, also in another process.
    pub const fn position(&self) -> Position {
        self.tracker.position()
    }

    /// What became of its connections so far.
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// The name of the present connection, by which the server's program can send to it; `None` while there is none.
    pub fn connection_id(&self) -> Option<&str> {
        match &self.link {
            Link::Up(up) => Some(up.socket.connection_id()),
            _ => None,
        }
    }

    /// Waits for what comes next; `None` once the terminal status was given, or after an error that ends it.
    ///
    /// # Errors
    /// [`Error::Refused`] for a request other than to subscribe, and [`Error::Hole`]: it goes on, and after a hole
    /// resumes behind the last entry that was given. Any other ends it: [`Error::Closed`] with a code that forbids to
    /// come back, [`Error::GaveUp`], [`Error::Frame`], and [`Error::Refused`] if it may not subscribe again, or, with the code
    /// `forbidden`, if the token that it was renewed with may not read the execution: subscribe again from
    /// [`position`](Self::position) when there is one that may.
    ///
    /// # Cancel safety
    /// Safe: what was not returned is still to come.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        loop {
            let received = match &mut self.link {
                Link::Ended => return None,
                Link::Down(opening) => match opening.await {
                    Ok((up, confirmed)) => self.is_back(up, &confirmed),
                    Err(error) => Err(error),
                },
                Link::Up(up) => match up.send_due(&self.command, self.acknowledged).await {
                    Ok(()) if up.done => Ok(Taken::End),
                    Ok(()) => match up.next().await {
                        // A subscription that stood and is refused after all, for example because it waited too
                        // long, is lost with that.
                        Ok(Frame::Server { frame: ServerFrame::Error(refused), reply_to }) => {
                            match reply_to.as_deref() {
                                Some(SUBSCRIBE) => Err(refused.into()),
                                // The server closes the connection next, and says why.
                                Some(RENEW) => Ok(Taken::Nothing),
                                // By its new token it may not read this execution, which no other attempt changes.
                                None if refused.code == FORBIDDEN => Err(refused.into()),
                                _ => return Some(Err(refused.into())),
                            }
                        }
                        Ok(frame) => self.take(frame),
                        Err(error) => Err(error),
                    },
                    Err(error) => Err(error),
                },
            };
            match received {
                Ok(Taken::Item(item)) => return Some(Ok(item)),
                Ok(Taken::Nothing) => {}
                Ok(Taken::End) => {
                    if let Link::Up(up) = std::mem::replace(&mut self.link, Link::Ended) {
                        up.socket.close().await;
                    }
                    return None;
                }
                Err(error) => match self.lose(error) {
                    Lost::ForNow(error @ Error::Hole { .. }) | Lost::ForGood(error) => {
                        return Some(Err(error));
                    }
                    Lost::ForNow(_) => {}
                },
            }
        }
    }

    /// Tells the server that everything up to `sequence` has been worked on, so that a later subscription of the same
    /// name goes on after it. Told again after a lost connection.
    ///
    /// # Errors
    /// [`Error::Argument`] if the subscription has no name; the error that ended the subscription, if this found it.
    ///
    /// # Cancel safety
    /// Safe: once called, it is sent by the next call of [`next`](Self::next) at the latest.
    pub async fn acknowledge(&mut self, sequence: Seq) -> Result<(), Error> {
        if self.command.subscription.is_none() {
            let reason = "has no name; give it one with `Subscribe::subscription`".into();
            return Err(Error::Argument { what: "subscription", reason });
        }
        self.acknowledged = self.acknowledged.max(Some(sequence));
        if let Link::Up(up) = &mut self.link
            && let Err(error) = up.send_due(&self.command, self.acknowledged).await
            && let Lost::ForGood(error) = self.lose(error)
        {
            return Err(error);
        }
        Ok(())
    }

    /// The subscription as a stream that ends where [`next`](Self::next) gives `None`.
    pub fn into_stream(self) -> impl Stream<Item = Result<Item, Error>> + Send {
        stream::unfold(self, |mut subscription| async move {
            let item = subscription.next().await?;
            Some((item, subscription))
        })
    }

    fn is_back(&mut self, up: Up, confirmed: &SubscriptionConfirmed) -> Result<Taken, Error> {
        self.statistics.connections += 1;
        if self.statistics.entries + self.statistics.gaps + self.statistics.snapshots > 0 {
            self.statistics.resumes += 1;
        }
        self.link = Link::Up(Box::new(up));
        let (last, position) = (self.tracker.position(), confirmed.position);
        let passed =
            position.seq() > last.seq() && (position.epoch() == last.epoch() || last.epoch().is_none());
        if self.command.delivery != Some(Delivery::AtMostOnce) || !passed {
            return Ok(Taken::Nothing);
        }
        // What was sent to a named at-most-once subscription is never sent again, though it may have been lost with
        // the connection.
        self.take_gap(Gap {
            execution_id: confirmed.execution_id.clone(),
            subscription: confirmed.subscription.clone(),
            from: last.seq().forward(1),
            to: position.seq(),
            reason: GapReason::Lagged,
            position,
        })
    }

    /// Decides what becomes of a lost connection, and drops what is left of it.
    fn lose(&mut self, error: Error) -> Lost {
        self.attempts += 1;
        let options = self.client.options();
        let Some(delay) = backoff::delay(options, self.client.tokens(), self.attempts, &error) else {
            self.link = Link::Ended;
            return Lost::ForGood(error);
        };
        if self.attempts > options.max_attempts {
            self.link = Link::Ended;
            return Lost::ForGood(Error::GaveUp { attempts: options.max_attempts, last: Box::new(error) });
        }
        self.statistics.reconnects += 1;
        let from = Some(StartAt::After(self.tracker.position()));
        let (client, command) = (self.client.clone(), SubscribeExecution { from, ..self.command.clone() });
        self.link = Link::Down(Box::pin(async move {
            sleep(delay).await;
            open(&client, command).await
        }));
        Lost::ForNow(error)
    }

    fn take(&mut self, frame: Frame) -> Result<Taken, Error> {
        match frame {
            Frame::Entry(entry) => self.take_entry(entry),
            Frame::Server { frame: ServerFrame::Gap(gap), .. } => self.take_gap(gap),
            Frame::Server { frame: ServerFrame::Snapshot(snapshot), .. } => self.take_snapshot(snapshot),
            Frame::Server { frame: ServerFrame::Message(message), .. } => {
                Ok(Taken::Item(Item::Message(message)))
            }
            Frame::Server { frame: ServerFrame::Heartbeat(heartbeat), .. } => self.take_heartbeat(&heartbeat),
            Frame::Server { frame: ServerFrame::TokenExpiring(_), .. } => {
                if let Link::Up(up) = &mut self.link {
                    up.renewal = self.client.tokens().renew();
                }
                Ok(Taken::Nothing)
            }
            Frame::Server { frame: ServerFrame::StatusResponse(status), .. } => Ok(self.take_status(&status)),
            _ => Ok(Taken::Nothing),
        }
    }

    fn take_entry(&mut self, entry: EntryFrame) -> Result<Taken, Error> {
        if !self.is_ours(&entry.execution_id, entry.subscription.as_ref()) {
            return Ok(Taken::Nothing);
        }
        if entry.position.seq() != entry.sequence {
            let reason = "`position` is not after `sequence`".into();
            return Err(streamnest_protocol::Error::Field { frame: entry.class.as_str(), reason }.into());
        }
        let terminal =
            entry.class == Class::Status && entry.status()?.is_some_and(|s| s.status.is_terminal());
        if self.tracker.entry(entry.position)? == Verdict::Drop {
            self.statistics.duplicates += 1;
            return Ok(Taken::Nothing);
        }
        self.statistics.entries += 1;
        self.attempts = 0;
        if let Link::Up(up) = &mut self.link {
            up.done = terminal;
        }
        Ok(Taken::Item(Item::Entry(entry)))
    }

    fn take_gap(&mut self, gap: Gap) -> Result<Taken, Error> {
        if !self.is_ours(&gap.execution_id, gap.subscription.as_ref())
            || self.tracker.gap(&gap)? == Verdict::Drop
        {
            return Ok(Taken::Nothing);
        }
        self.statistics.gaps += 1;
        self.attempts = 0;
        if let Link::Up(up) = &mut self.link {
            // The gap may have swallowed the end of what is over.
            up.ask = up.over;
        }
        Ok(Taken::Item(Item::Gap(gap)))
    }

    fn take_snapshot(&mut self, snapshot: Box<Snapshot>) -> Result<Taken, Error> {
        if !self.is_ours(&snapshot.execution_id, snapshot.subscription.as_ref())
            || self.tracker.snapshot(&snapshot)? == Verdict::Drop
        {
            return Ok(Taken::Nothing);
        }
        self.statistics.snapshots += 1;
        self.attempts = 0;
        Ok(Taken::Item(Item::Snapshot(snapshot)))
    }

    fn take_heartbeat(&mut self, heartbeat: &Heartbeat) -> Result<Taken, Error> {
        self.attempts = 0;
        let ours =
            heartbeat.positions.iter().find(|at| self.is_ours(&at.execution_id, at.subscription.as_ref()));
        match (ours, &self.link) {
            (Some(at), _) => self.tracker.heartbeat(at.position).map(|()| Taken::Nothing),
            (None, Link::Up(up)) if up.leaving => Ok(Taken::End),
            (None, _) => Err(Error::Dropped { execution_id: self.command.execution_id.clone() }),
        }
    }

    /// Whether anything is to come of an execution that had ended before it was subscribed to. Its terminal status
    /// passes every filter, so nothing is only where the server stands at the end of the log, and so do we.
    fn take_status(&mut self, status: &StatusResponse) -> Taken {
        let ours =
            status.subscriptions.iter().find(|at| self.is_ours(&at.execution_id, at.subscription.as_ref()));
        match (ours, &mut self.link) {
            (Some(at), _) if at.lag == 0 && at.position == self.tracker.position() => Taken::End,
            (None, Link::Up(up)) => {
                up.leaving = true;
                Taken::Nothing
            }
            _ => Taken::Nothing,
        }
    }

    fn is_ours(&self, execution_id: &ExecutionId, subscription: Option<&SubscriptionName>) -> bool {
        *execution_id == self.command.execution_id && subscription == self.command.subscription.as_ref()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("command", &self.command)
            .field("position", &self.position())
            .field("connection_id", &self.connection_id())
            .field("statistics", &self.statistics)
            .finish_non_exhaustive()
    }
}
