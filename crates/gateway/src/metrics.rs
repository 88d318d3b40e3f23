//! What the operator sees: numbers, in the text format of OpenMetrics and Prometheus.
//!
//! Nothing here is touched for a token. What a connection writes is counted in the connection and added now and then; what
//! a run said is told once, when it has ended. `docs/operation.md` lists every metric.

mod render;
mod run;

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use streamnest_log::GapReason;

pub(crate) use self::render::{metrics, statistics};
use self::run::Runs;

/// One label and its value. The values are words of the protocol: their number is bounded by the code.
type Label = [(&'static str, String); 1];

/// How a client is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    WebSocket,
    EventStream,
    /// What is read of a stream by an answer that ends; no connection stays open for it.
    Http,
}

impl Transport {
    fn label(self) -> Label {
        let value = match self {
            Self::WebSocket => "websocket",
            Self::EventStream => "sse",
            Self::Http => "http",
        };
        [("transport", value.into())]
    }
}

/// One of something that a gauge counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What one connection has written, added to that of all now and then.
#[derive(Debug)]
pub(crate) struct Traffic {
    bytes: u64,
    writes: u64,
    all_bytes: Counter,
    all_writes: Counter,
}

impl Traffic {
    /// Counts one write of so many bytes, for this connection only.
    pub(crate) const fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.writes += 1;
    }

    /// Adds them to those of all.
    pub(crate) fn fold(&mut self) {
        if self.writes > 0 {
            self.all_bytes.inc_by(std::mem::take(&mut self.bytes));
            self.all_writes.inc_by(std::mem::take(&mut self.writes));
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.fold();
    }
}

/// Counts readings of key sets.
#[derive(Clone, Debug)]
pub(crate) struct Readings(Family<Label, Counter>);

impl Readings {
    fn new(all: Family<Label, Counter>) -> Self {
        let readings = Self(all);
        for outcome in ["succeeded", "failed"] {
            drop(readings.0.get_or_create(&[("outcome", outcome.into())]));
        }
        readings
    }

    pub(crate) fn succeeded(&self) {
        self.0.get_or_create(&[("outcome", "succeeded".into())]).inc();
    }

    pub(crate) fn failed(&self) {
        self.0.get_or_create(&[("outcome", "failed".into())]).inc();
    }
}

/// The numbers of a gateway.
pub(crate) struct Metrics {
    registry: Registry,
    connections: Family<Label, Gauge>,
    connected: Family<Label, Counter>,
    subscriptions: Gauge,
    sent_bytes: Family<Label, Counter>,
    writes: Family<Label, Counter>,
    reconnects: Family<Label, Counter>,
    resumes: Family<Label, Counter>,
    gaps: Family<Label, Counter>,
    refusals: Family<Label, Counter>,
    closes: Family<Label, Counter>,
    waits: Counter,
    lag: Histogram,
    runs: Runs,
    logs: Gauge,
    log_bytes: Gauge,
    compressed: Counter,
    readings: Readings,
    keys_age: Gauge,
    tasks: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("streamnest");
        let mut family = |name: &str, help: &str| {
            let family = Family::<Label, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let connected = family("connected", "Connections that were opened");
        let sent_bytes = family(
            "sent_bytes",
            "Bytes that were sent, by transport; what goes on adds its own with each heartbeat",
        );
        let writes = family(
            "writes",
            "Writes by which they were sent, by transport; a connection that lags sends more with each",
        );
        let reconnects = family("reconnects", "Connections that went on where another had stopped");
        let resumes = family("resumes", "Subscriptions that began at a position");
        let gaps = family("gaps", "Gaps that readers were told, by reason");
        let refusals = family("refusals", "Refused requests, by the code of the error");
        let closes = family("closes", "Connections that the server closed, by close code");
        let readings = family("key_set_readings", "Readings of key sets, by outcome");
        let connections = Family::<Label, Gauge>::default();
        registry.register("connections", "Open connections, by transport", connections.clone());
        let subscriptions = Gauge::default();
        registry.register("subscriptions", "Subscriptions of WebSockets", subscriptions.clone());
        // From a reader that is up to date to one that is at the end of a long log.
        let lag = Histogram::new([0.0, 1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]);
        registry.register(
            "lag_entries",
            "Entries that a subscription is behind, at each heartbeat",
            lag.clone(),
        );
        let runs = Runs::new(&mut registry);
        let (logs, log_bytes) = (Gauge::default(), Gauge::default());
        registry.register("logs", "Logs in memory", logs.clone());
        registry.register("log_bytes", "Bytes of memory that entries take", log_bytes.clone());
        let compressed = Counter::default();
        registry.register("compressed_blocks", "Blocks of logs that were compressed", compressed.clone());
        let waits = Counter::default();
        registry.register("accept_waits", "Times that all places of connections were taken", waits.clone());
        let keys_age = Gauge::default();
        registry.register("key_set_age_seconds", "Age of the oldest key set", keys_age.clone());
        let tasks = Gauge::default();
        registry.register("tasks", "Tasks of the program that have not ended", tasks.clone());
        // All are there from the start, so that a rate is known from the first connection on.
        for transport in [Transport::WebSocket, Transport::EventStream] {
            for family in [&connected, &reconnects, &resumes] {
                drop(family.get_or_create(&transport.label()));
            }
            drop(connections.get_or_create(&transport.label()));
        }
        for transport in [Transport::WebSocket, Transport::EventStream, Transport::Http] {
            for family in [&sent_bytes, &writes] {
                drop(family.get_or_create(&transport.label()));
            }
        }
        Self {
            registry,
            connections,
            connected,
            subscriptions,
            sent_bytes,
            writes,
            reconnects,
            resumes,
            gaps,
            refusals,
            closes,
            waits,
            lag,
            runs,
            logs,
            log_bytes,
            compressed,
            readings: Readings::new(readings),
            keys_age,
            tasks,
        }
    }

    /// A connection was opened; it counts until this is dropped.
    pub(crate) fn connect(&self, transport: Transport) -> Counted {
        self.connected.get_or_create(&transport.label()).inc();
        let gauge = self.connections.get_or_create_owned(&transport.label());
        gauge.inc();
        Counted(gauge)
    }

    /// What a connection writes is counted by this.
    pub(crate) fn traffic(&self, transport: Transport) -> Traffic {
        let label = transport.label();
        Traffic {
            bytes: 0,
            writes: 0,
            all_bytes: self.sent_bytes.get_or_create_owned(&label),
            all_writes: self.writes.get_or_create_owned(&label),
        }
    }

    /// Somebody subscribed; it counts until this is dropped.
    pub(crate) fn subscribe(&self) -> Counted {
        self.subscriptions.inc();
        Counted(self.subscriptions.clone())
    }

    /// A subscription began at a position, on a connection that had not resumed before if `is_first`.
    pub(crate) fn resumed(&self, transport: Transport, is_first: bool) {
        self.resumes.get_or_create(&transport.label()).inc();
        if is_first {
            self.reconnects.get_or_create(&transport.label()).inc();
        }
    }

    /// A reader was told a gap.
    pub(crate) fn gap(&self, reason: GapReason) {
        self.gaps.get_or_create(&[("reason", reason.as_str().into())]).inc();
    }

    /// A request was refused.
    pub(crate) fn refused(&self, code: &str) {
        self.refusals.get_or_create(&[("code", code.into())]).inc();
    }

    /// The server closed a connection.
    pub(crate) fn closed(&self, code: u16) {
        self.closes.get_or_create(&[("code", code.to_string())]).inc();
    }

    /// All places are taken: who comes waits until somebody leaves.
    pub(crate) fn waits(&self) {
        self.waits.inc();
    }

    /// A subscription is so far behind.
    pub(crate) fn lags(&self, entries: u64) {
        self.lag.observe(entries as f64);
    }

    /// What counts readings of key sets.
    pub(crate) const fn readings(&self) -> &Readings {
        &self.readings
    }

    /// Who is told of runs that end.
    pub(crate) const fn runs(&self) -> &Runs {
        &self.runs
    }
}

/// Seconds, as the format has them.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn each_gap_counts_as_what_its_reader_is_told() {
        let metrics = Metrics::new();
        for reason in [GapReason::Trimmed, GapReason::Epoch, GapReason::Lagged, GapReason::Damaged] {
            metrics.gap(reason);
        }
        let mut text = String::new();
        encode(&mut text, &metrics.registry).unwrap();
        for reason in ["trimmed", "epoch", "lagged", "damaged"] {
            assert!(text.contains(&format!("streamnest_gaps_total{{reason=\"{reason}\"}} 1\n")), "{text}");
        }
    }
}
