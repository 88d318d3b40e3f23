//! What all connections of one gateway share.

use std::{
    net::IpAddr,
    sync::{
        Arc, Once, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Extensions;
use streamnest_core::{ExecutionControl, ExecutionSummary};
use streamnest_log::{Registry, durable::Streams};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AccessPolicy, Error, GatewayOptions, Revocation,
    access::Visitor,
    auth::{Authenticator, Surroundings},
    compression::Compressor,
    directory::{Directory, Signal},
    guard::Access,
    http::{Idempotency, Refusal},
    limits::{ClientAddress, Crowds, Limits, OfConnection, OfCrowd, OfStream, TrustedProxies},
    metrics::{Counted, Metrics, Transport},
    people::People,
    tls::Tls,
    views::{Full, Place, Views},
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
    /// Empty, connections are not encrypted.
    tls: OnceLock<Tls>,
    /// Empty, it asks nobody who they are.
    auth: OnceLock<Authenticator>,
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
    pub(crate) metrics: Metrics,
    pub(crate) compressor: Compressor,
    pub(crate) limits: Limits,
    pub(crate) crowds: Arc<Crowds>,
    pub(crate) trusted_proxies: TrustedProxies,
    /// Whether it was said that requests come without an address.
    misses_addresses: Once,
    seats: Arc<AtomicUsize>,
    /// Connections and WebSockets that are only to be told that they may not be.
    turned_away: Arc<AtomicUsize>,
    event_views: Arc<Views>,
    stream_readers: Arc<AtomicUsize>,
    /// Whether `/echo` is there.
    #[cfg(feature = "echo")]
    pub(crate) echoes: std::sync::atomic::AtomicBool,
}

/// Connections that may be open at once only to be told that they are too many.
const MAX_TURNED_AWAY: usize = 256;
/// When somebody comes back who was told that all places are taken.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One open connection, event stream or waiting reader, counted until it is dropped.
pub(crate) struct Seat {
    taken: Arc<AtomicUsize>,
    /// Set for one that may not be: when to come back.
    turned_away: Option<Duration>,
    address: Option<ClientAddress>,
    _counted: Option<Counted>,
    _crowd: Option<OfStream>,
}

impl Seat {
    /// When to come back, if it is one more than may be.
    pub(crate) const fn turned_away(&self) -> Option<Duration> {
        self.turned_away
    }

    /// From where its client comes, if that is known.
    pub(crate) const fn address(&self) -> Option<ClientAddress> {
        self.address
    }

    /// A place among `limit` that `taken` counts; `None` if all are taken.
    fn among(taken: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let before = taken.fetch_add(1, Ordering::AcqRel);
        let seat =
            Self { taken: taken.clone(), turned_away: None, address: None, _counted: None, _crowd: None };
        (before < limit).then_some(seat)
    }
}

/// Why there is no place.
pub(crate) struct Refused {
    pub(crate) refusal: Box<Refusal>,
    retry_after: Duration,
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
        let metrics = Metrics::new();
        // Where a program has two gateways to one registry, the first one counts its runs.
        logs.observe(Arc::new(metrics.runs().clone()));
        let (auth, tls) = (OnceLock::new(), OnceLock::new());
        if let Some(options) = &options.tls {
            let _ = tls.set(Tls::new(options.clone())?);
        }
        let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
        let people = Arc::<People>::default();
        if let Some(authentication) = &options.authentication {
            let surroundings = Surroundings {
                tasks: tasks.clone(),
                ending: ending.clone(),
                readings: metrics.readings().clone(),
                people: people.clone(),
            };
            let _ = auth.set(Authenticator::new(authentication.clone(), surroundings)?);
        }
        Ok(Self {
            control,
            streams: Streams::new(logs.clone(), options.streams.clone()),
            logs,
            access: Access::new(&options),
            tls,
            auth,
            policy,
            people,
            directory: Arc::default(),
            idempotency: Idempotency::new(options.max_idempotency_keys, options.idempotency_ttl),
            tasks,
            draining: CancellationToken::new(),
            ending,
            abort: CancellationToken::new(),
            metrics,
            compressor: Compressor::new(options.compression.clone()),
            limits: Limits::new(options.rate_limit.as_ref(), options.max_write_bytes),
            crowds: Arc::default(),
            trusted_proxies: options.read_trusted_proxies()?,
            misses_addresses: Once::new(),
            seats: Arc::default(),
            turned_away: Arc::default(),
            event_views: Arc::default(),
            stream_readers: Arc::default(),
            #[cfg(feature = "echo")]
            echoes: false.into(),
            options,
        })
    }

    /// What encrypts connections; `None` leaves them as they are.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.get()
    }

    /// Encrypts connections from here on; whether nothing did so before.
    pub(crate) fn encrypt(&self, tls: Tls) -> bool {
        self.tls.set(tls).is_ok()
    }

    /// What asks clients who they are; `None` asks nobody.
    pub(crate) fn auth(&self) -> Option<&Authenticator> {
        self.auth.get()
    }

    /// Asks clients who they are from here on; whether nothing did so before.
    pub(crate) fn authenticate(&self, authenticator: Authenticator) -> bool {
        self.auth.set(authenticator).is_ok()
    }

    /// Takes no token any more that `revocation` is about, and ends the connections that were opened with one; how many.
    pub(crate) fn revoke(&self, revocation: &Revocation) -> Result<usize, Error> {
        let Some(auth) = self.auth() else { return Ok(0) };
        let now = self.logs.now();
        auth.revoke(revocation, now)?;
        let connections = self.people.expel(|principal| revocation.concerns(principal, now));
        // Not whose: who has pasted a token would find it here.
        let tenant = revocation.of_tenant().map(tracing::field::display);
        tracing::info!(kind = revocation.kind(), tenant, connections, "tokens revoked");
        Ok(connections)
    }

    /// What key sets need to be read anew.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            tasks: self.tasks.clone(),
            ending: self.ending.clone(),
            readings: self.metrics.readings().clone(),
            people: self.people.clone(),
        }
    }

    /// Takes a place for a connection or an event stream that a request asks for.
    ///
    /// # Errors
    /// There is none, or its address may not open one more now.
    pub(crate) fn seat(&self, asked: &Extensions, transport: Transport) -> Result<Seat, Refused> {
        let address = asked.get::<ClientAddress>().copied();
        self.limits.connect(address).map_err(|exceeded| Refused {
            retry_after: exceeded.retry_after,
            refusal: Box::new(exceeded.into()),
        })?;
        let refused = |refusal| Refused { retry_after: RETRY_AFTER, refusal: Box::new(refusal) };
        // A connection counts since it was accepted, and one stream that comes by it counts with it.
        let lent = asked.get::<OfConnection>().and_then(OfConnection::lend);
        let crowd = match (lent, address, self.options.max_connections_per_address) {
            (Some(lent), _, _) => Some(lent),
            (None, Some(address), Some(limit)) => {
                let entered = self.crowds.enter(address, limit);
                Some(entered.ok_or_else(|| refused(Refusal::crowded(limit)))?.into())
            }
            _ => None,
        };
        let limit = self.options.max_connections;
        let seat = Seat::among(&self.seats, limit);
        let mut seat = seat.ok_or_else(|| refused(Refusal::too_many_connections(limit)))?;
        (seat.address, seat._crowd) = (address, crowd);
        seat._counted = Some(self.metrics.connect(transport));
        Ok(seat)
    }

    /// Takes a place for a WebSocket that is only told why it may not be: a page cannot read the answer to its handshake. `None`
    /// if even of those there are too many.
    pub(crate) fn turn_away(&self, refused: &Refused) -> Option<Seat> {
        let mut seat = self.turned_away()?;
        self.metrics.refused(refused.refusal.code());
        seat.turned_away = Some(refused.retry_after);
        Some(seat)
    }

    /// A request came without an address: another program accepted its connection and does not tell. Says once which limits have no
    /// effect by that.
    pub(crate) fn misses_address(&self) {
        self.misses_addresses.call_once(|| {
            let options = self.options.by_address(self.auth().is_none()).join(", ");
            if !options.is_empty() {
                tracing::warn!(
                    options,
                    "requests come without an address, so these options have no effect; serve the routes by \
                     `into_make_service_with_connect_info::<SocketAddr>()`"
                );
            }
        });
    }

    /// Takes a place for a connection that is only told so. `None` if even of those there are too many.
    pub(crate) fn turned_away(&self) -> Option<Seat> {
        Seat::among(&self.turned_away, MAX_TURNED_AWAY)
    }

    /// Counts a connection that was accepted from `peer`, unless a proxy speaks for many.
    ///
    /// # Errors
    /// As many of its address are open as may be.
    pub(crate) fn crowd(&self, peer: IpAddr) -> Result<Option<Arc<OfCrowd>>, Refusal> {
        let Some(limit) = self.options.max_connections_per_address else { return Ok(None) };
        if self.trusted_proxies.contain(peer) {
            return Ok(None);
        }
        let entered = self.crowds.enter(ClientAddress::new(peer), limit);
        entered.map(|entered| Some(Arc::new(entered))).ok_or_else(|| Refusal::crowded(limit))
    }

    /// Takes a place for a view of many executions. Where nobody is asked who they are, nobody has a share.
    pub(crate) fn event_view(&self, visitor: &Visitor) -> Result<Place, Full> {
        let who = visitor.owner();
        let share = who.as_ref().map(|_| self.options.max_event_subscriptions_per_user);
        self.event_views.enter(who.unwrap_or_default(), self.options.max_event_subscriptions, share)
    }

    /// Takes a place for a reader that waits for more of a stream; `None` if all are taken.
    pub(crate) fn stream_reader(&self) -> Option<Seat> {
        Seat::among(&self.stream_readers, self.options.max_stream_readers)
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
            let runs =
                |execution: &ExecutionSummary| !execution.status.is_terminal() && !execution.is_external();
            if page.executions.iter().any(runs) {
                return true;
            }
            match page.next {
                Some(next) if !page.executions.is_empty() => after = Some(next),
                _ => return false,
            }
        }
    }
}
