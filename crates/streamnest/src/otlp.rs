//! Spans for whoever collects them: OTLP over HTTP, with the feature `otlp`.
//!
//! Every execution is a span, and every attempt of a node one within it, in the trace of whoever started the run. Spans of the
//! program's own code within a node, at `info` and above, belong to the node's.
//!
//! A program that serves by the [standard flags](crate::ServerFlags) needs only `--otlp-endpoint`, or the variables that OpenTelemetry
//! names. One that has a subscriber of its own adds the layer:
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

use std::{env, time::Duration};

use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

pub use self::export::OtlpExport;
use self::layer::{Gathered, Spans};
use crate::Error;

/// Where a collector takes spans, below its own URL (OpenTelemetry Protocol Exporter 1.5x, §Endpoint URLs for OTLP/HTTP).
const PATH: &str = "/v1/traces";
/// The URL of a collector, and the one at which it takes spans, which goes before it. What is empty is not set.
const VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Where spans go, and how many may wait.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OtlpOptions {
    /// Where the collector takes spans: `http://localhost:4318/v1/traces`, or `https`.
    pub traces_endpoint: String,
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
    /// Sends to the collector at this URL, `http://localhost:4318`, which takes spans at `/v1/traces` below it.
    pub fn new(endpoint: impl AsRef<str>) -> Self {
        let program = std::env::args_os().next().map(std::path::PathBuf::from);
        let name = program.as_deref().and_then(|path| path.file_stem()?.to_str());
        Self {
            traces_endpoint: format!("{}{PATH}", endpoint.as_ref().trim_end_matches('/')),
            service_name: name.unwrap_or("streamnest").into(),
            max_pending: 8_192,
            max_batch: 512,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
        }
    }

    /// Sets [`traces_endpoint`](Self::traces_endpoint), which is asked as it is.
    #[must_use]
    pub fn with_traces_endpoint(self, traces_endpoint: impl Into<String>) -> Self {
        Self { traces_endpoint: traces_endpoint.into(), ..self }
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

    /// What the variables say that OpenTelemetry names, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT`, and
    /// the variable that says it; `None` if they say nothing.
    pub(crate) fn of_environment() -> Option<(&'static str, Self)> {
        let said = |name| env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (name, value));
        let (name, url) = VARIABLES.into_iter().find_map(said)?;
        let options = Self::new(&url);
        let options = if name == VARIABLES[0] { options.with_traces_endpoint(url) } else { options };
        Some((name, options.with_service_name_of_environment()))
    }

    /// The name that `OTEL_SERVICE_NAME` says, if it does.
    pub(crate) fn with_service_name_of_environment(self) -> Self {
        match env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty()) {
            Some(name) => self.with_service_name(name),
            None => self,
        }
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
        let endpoint = &self.traces_endpoint;
        let is_web = endpoint.starts_with("http://") || endpoint.starts_with("https://");
        match endpoint.split_once("://").filter(|(_, rest)| is_web && !rest.starts_with('/')) {
            Some((_, rest)) if rest.contains('@') => refused(
                "the endpoint holds a name or a password; give them by OTEL_EXPORTER_OTLP_HEADERS".into(),
            ),
            Some((_, rest)) if !rest.is_empty() => Ok(()),
            _ => refused(format!("`{endpoint}` is no URL of a collector; write http://localhost:4318")),
        }
    }
}

/// Begins to send. The layer belongs into the program's subscriber; what it gathers is sent by a task of this runtime, until the
/// export is [shut down](OtlpExport::shut_down).
///
/// The layer looks at spans of executions and nodes and at others at `info` and above, and lets nothing else be recorded that no
/// other layer asks for.
///
/// # Errors
/// [`Error::Otlp`] if an option is wrong.
pub fn start<S>(options: OtlpOptions) -> Result<(impl Layer<S> + Send + Sync, OtlpExport), Error>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    options.validate()?;
    let (sender, receiver) = tokio::sync::mpsc::channel(options.max_pending);
    let spans = Spans::new(sender);
    let export = OtlpExport::start(&options, receiver, spans.dropped())?;
    Ok((spans.with_filter(Gathered), export))
}
