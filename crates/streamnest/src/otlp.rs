//! Spans for whoever collects them: OTLP over HTTP, with the feature `otlp`.
//!
//! Every execution is a span, and every attempt of a node one within it, in the trace of whoever started the run. Spans of the
//! program's own code within a node, at `info` and above, belong to the node's.
//!
//! A program that serves by the [standard flags](crate::ServerFlags) needs only `--otlp-endpoint`. One that has a subscriber of
//! its own adds the layer:
//!
//! ```no_run
//! use streamnest::otlp::{self, OtlpOptions};
//! use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};
//!
//! # async fn example() -> Result<(), streamnest::Error> {
//! let (layer, export) = otlp::start(OtlpOptions::new("http://localhost:4318"))?;
//! tracing_subscriber::registry().with(layer).init();
//! // … serve …
//! export.shut_down().await;
//! # Ok(())
//! # }
//! ```

mod export;
mod layer;

use std::time::Duration;

pub(crate) use self::layer::Gathered;
pub use self::{export::OtlpExport, layer::OtlpLayer};
use crate::Error;

/// Where spans go, and how many may wait.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OtlpOptions {
    /// The collector: `http://localhost:4318`, or `https`. Without a path it is asked at `/v1/traces` (OTLP 1.5, §HTTP request).
    pub endpoint: String,
    /// What the program is called. Default the name under which it was started.
    pub service_name: String,
    /// Spans that may wait to be sent; of more the newest are dropped, and the log says how many. Default 8,192.
    pub max_pending: usize,
    /// Spans of one request at most. Default 512.
    pub max_batch: usize,
    /// How long spans are gathered before they are sent. Default 1 s.
    pub interval: Duration,
    /// How long one request may take, and the last ones at the end. Default 10 s.
    pub timeout: Duration,
}

impl OtlpOptions {
    /// Sends to this collector.
    pub fn new(endpoint: impl Into<String>) -> Self {
        let program = std::env::args_os().next().map(std::path::PathBuf::from);
        let name = program.as_deref().and_then(|path| path.file_stem()?.to_str());
        Self {
            endpoint: endpoint.into(),
            service_name: name.unwrap_or("streamnest").into(),
            max_pending: 8_192,
            max_batch: 512,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
        }
    }

    /// Sets [`service_name`](Self::service_name).
    #[must_use]
    pub fn with_service_name(self, service_name: impl Into<String>) -> Self {
        Self { service_name: service_name.into(), ..self }
    }

    /// Sets [`max_pending`](Self::max_pending).
    #[must_use]
    pub fn with_max_pending(self, max_pending: usize) -> Self {
        Self { max_pending, ..self }
    }

    /// Sets [`max_batch`](Self::max_batch).
    #[must_use]
    pub fn with_max_batch(self, max_batch: usize) -> Self {
        Self { max_batch, ..self }
    }

    /// Sets [`interval`](Self::interval).
    #[must_use]
    pub fn with_interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn validate(&self) -> Result<(), Error> {
        let refused = |reason: String| Err(Error::Otlp { reason });
        let zero = [
            ("max_pending", self.max_pending == 0),
            ("max_batch", self.max_batch == 0),
            ("interval", self.interval.is_zero()),
            ("timeout", self.timeout.is_zero()),
        ];
        if let Some((option, _)) = zero.into_iter().find(|(_, is_zero)| *is_zero) {
            return refused(format!(
                "`OtlpOptions::{option}` is zero, which leaves no room; leave it out for its default"
            ));
        }
        let is_web = self.endpoint.starts_with("http://") || self.endpoint.starts_with("https://");
        match self.endpoint.split_once("://").filter(|(_, rest)| is_web && !rest.is_empty()) {
            Some((_, rest)) if rest.contains('@') => refused(
                "the endpoint holds a name or a password; give them by OTEL_EXPORTER_OTLP_HEADERS".into(),
            ),
            Some(_) => Ok(()),
            None => {
                refused(format!("`{}` is no URL of a collector; write http://localhost:4318", self.endpoint))
            }
        }
    }
}

/// Begins to send. The layer belongs into the program's subscriber; what it gathers is sent by a task of this runtime, until the
/// export is [shut down](OtlpExport::shut_down).
///
/// # Errors
/// [`Error::Otlp`] if an option is wrong.
pub fn start(options: OtlpOptions) -> Result<(OtlpLayer, OtlpExport), Error> {
    options.validate()?;
    let (sender, receiver) = tokio::sync::mpsc::channel(options.max_pending);
    let layer = OtlpLayer::new(sender);
    let export = OtlpExport::start(&options, receiver, layer.dropped())?;
    Ok((layer, export))
}
