//! What all connections of one gateway share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use streamnest_core::ExecutionControl;
use streamnest_log::{Registry, durable::Streams};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AccessPolicy, Error, GatewayOptions,
    auth::Authenticator,
    directory::{Directory, Signal},
    guard::Access,
    http::Idempotency,
    people::People,
};

/// How often a shutdown looks whether executions still run.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How many executions it looks at in one piece.
const LOOK_AT: usize = 256;

/// The state of a gateway.
pub(crate) struct Shared {
    pub(crate) control: Arc<dyn ExecutionControl>,
    pub(crate) logs: Registry,
    pub(crate) streams: Streams,
    pub(crate) options: GatewayOptions,
    pub(crate) access: Access,
    /// `None` asks nobody who they are.
    pub(crate) auth: Option<Authenticator>,
    pub(crate) policy: Arc<dyn AccessPolicy>,
    pub(crate) people: Arc<People>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) idempotency: Idempotency,
    /// Owns every task that the gateway spawns.
    pub(crate) tasks: TaskTracker,
    /// The server takes no new work.
    pub(crate) draining: CancellationToken,
    /// What goes on is told to end.
    pub(crate) ending: CancellationToken,
    /// What still goes on is dropped.
    pub(crate) abort: CancellationToken,
    seats: Arc<AtomicUsize>,
    event_views: Arc<AtomicUsize>,
    stream_readers: Arc<AtomicUsize>,
}

/// WebSockets over the limit that may be open at once, each for long enough to be told so.
const SPARE_SEATS: usize = 256;

/// One open connection, event stream or view of many executions, counted until it is dropped.
pub(crate) struct Seat {
    taken: Arc<AtomicUsize>,
    over: bool,
}

impl Seat {
    /// Whether it is one more than may be.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    pub(crate) fn new(
        control: Arc<dyn ExecutionControl>,
        logs: Registry,
        options: GatewayOptions,
        policy: Arc<dyn AccessPolicy>,
    ) -> Result<Self, Error> {
        Ok(Self {
            control,
            streams: Streams::new(logs.clone(), options.streams.clone()),
            logs,
            access: Access::new(&options),
            auth: options.authentication.clone().map(Authenticator::new).transpose()?,
            policy,
            people: Arc::default(),
            directory: Arc::default(),
            idempotency: Idempotency::new(options.max_idempotency_keys, options.idempotency_ttl),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            ending: CancellationToken::new(),
            abort: CancellationToken::new(),
            seats: Arc::default(),
            event_views: Arc::default(),
            stream_readers: Arc::default(),
            options,
        })
    }

    /// Takes a place for a connection or an event stream; `None` if even the spare ones are taken.
    pub(crate) fn seat(&self) -> Option<Seat> {
        let limit = self.options.max_connections;
        let before = self.seats.fetch_add(1, Ordering::AcqRel);
        let seat = Seat { taken: self.seats.clone(), over: before >= limit };
        (before < limit.saturating_add(SPARE_SEATS)).then_some(seat)
    }

    /// Takes a place for a view of many executions; `None` if all are taken.
    pub(crate) fn event_view(&self) -> Option<Seat> {
        let before = self.event_views.fetch_add(1, Ordering::AcqRel);
        let seat = Seat { taken: self.event_views.clone(), over: false };
        (before < self.options.max_event_subscriptions).then_some(seat)
    }

    /// Takes a place for a reader that waits for more of a stream; `None` if all are taken.
    pub(crate) fn stream_reader(&self) -> Option<Seat> {
        let before = self.stream_readers.fetch_add(1, Ordering::AcqRel);
        let seat = Seat { taken: self.stream_readers.clone(), over: false };
        (before < self.options.max_stream_readers).then_some(seat)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Shuts down: no new work; what runs may go on for the grace time; then every connection is told to end, and
    /// what does not is dropped.
    pub(crate) async fn shut_down(&self) {
        self.drain().await;
        self.end().await;
    }

    /// Takes no new work, and waits until no execution runs or the grace time is over.
    pub(crate) async fn drain(&self) {
        // It may have begun before, and been dropped.
        if !self.is_draining() {
            tracing::info!(connections = self.directory.len(), "server drains");
        }
        self.draining.cancel();
        self.directory.tell_all(Signal::Drain);
        let finished = async {
            while self.runs_something() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(self.options.drain_grace, finished).await.is_err() {
            tracing::warn!(grace = ?self.options.drain_grace, "executions still run after the grace time");
        }
    }

    /// Ends every connection; returns when all are gone.
    pub(crate) async fn end(&self) {
        self.ending.cancel();
        self.directory.tell_all(Signal::End);
        self.tasks.close();
        let patience = self.options.drain_jitter + self.options.close_timeout;
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "connections did not end by themselves and are dropped");
            self.abort.cancel();
            self.directory.tell_all(Signal::Abort);
            self.tasks.wait().await;
        }
    }

    fn runs_something(&self) -> bool {
        let mut after = None;
        loop {
            let page = self.control.executions(LOOK_AT, after.as_ref());
            if page.executions.iter().any(|execution| !execution.status.is_terminal()) {
                return true;
            }
            match page.next {
                Some(next) if !page.executions.is_empty() => after = Some(next),
                _ => return false,
            }
        }
    }
}
