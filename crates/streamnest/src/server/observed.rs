//! What a program tells of itself: log lines, and spans.

use std::io::{self, IsTerminal as _};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{LogFormat, ServerFlags};
use crate::Error;
#[cfg(feature = "otlp")]
use crate::otlp::OtlpOptions;

/// What goes on as long as the program serves.
pub(super) struct Observed {
    #[cfg(feature = "otlp")]
    export: Option<crate::otlp::OtlpExport>,
}

impl Observed {
    /// Tells what is left to be told.
    pub(super) async fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(export) = self.export {
            export.shut_down().await;
        }
    }
}

/// Whether something may be logged, whatever the filter says: at `trace` the WebSocket library tells every message word by word,
/// also those in which a token stands.
fn may_be_told(metadata: &Metadata<'_>) -> bool {
    *metadata.level() != Level::TRACE || !metadata.target().starts_with("tungstenite")
}

impl ServerFlags {
    /// Begins to log, and to send spans if that is asked for. A program that has set its own subscriber keeps it.
    pub(super) fn observe(&self) -> Result<Observed, Error> {
        #[cfg(feature = "otlp")]
        if let Some(endpoint) = &self.otlp_endpoint {
            return self.observe_with_spans(endpoint);
        }
        #[cfg(feature = "otlp")]
        if let Some((variable, options)) = OtlpOptions::of_environment() {
            return Ok(self.observe_by_environment(variable, options));
        }
        self.log_alone();
        Ok(Observed {
            #[cfg(feature = "otlp")]
            export: None,
        })
    }

    /// Logs, if the program has no subscriber of its own.
    fn log_alone(&self) {
        let log = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(&self.log))
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr);
        let _ = match self.log_format {
            LogFormat::Text => log.finish().with(filter_fn(may_be_told)).try_init(),
            LogFormat::Json => log.json().finish().with(filter_fn(may_be_told)).try_init(),
        };
    }

    /// Logs and sends spans; `None` if the program has a subscriber of its own.
    #[cfg(feature = "otlp")]
    fn log_and_send(&self, options: OtlpOptions) -> Result<Option<Observed>, Error> {
        use tracing_subscriber::{Layer as _, filter::FilterExt as _};

        let (spans, export) = crate::otlp::start(options)?;
        let log =
            tracing_subscriber::fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
        let log = match self.log_format {
            LogFormat::Text => log.boxed(),
            LogFormat::Json => log.json().boxed(),
        };
        let log = log.with_filter(EnvFilter::new(&self.log).and(filter_fn(may_be_told)));
        let subscriber = tracing_subscriber::registry().with(log).with(spans);
        Ok(subscriber.try_init().is_ok().then_some(Observed { export: Some(export) }))
    }

    #[cfg(feature = "otlp")]
    fn observe_with_spans(&self, endpoint: &str) -> Result<Observed, Error> {
        let mut options = OtlpOptions::new(endpoint).with_service_name_of_environment();
        if let Some(name) = &self.otlp_service_name {
            options = options.with_service_name(name);
        }
        self.log_and_send(options)?.ok_or_else(|| {
            let reason = "this program has a subscriber of its own; add `otlp::start`'s layer to that, \
                          and leave `--otlp-endpoint` out";
            Error::Otlp { reason: reason.into() }
        })
    }

    /// As the flag asks for, but a variable may be meant for other programs too: where it has no effect, the log tells.
    #[cfg(feature = "otlp")]
    fn observe_by_environment(&self, variable: &str, options: OtlpOptions) -> Observed {
        match self.log_and_send(options) {
            Ok(Some(observed)) => return observed,
            Ok(None) => tracing::warn!(
                variable,
                "no spans are sent by the standard flags: this program has a subscriber of its own, to which \
                 the layer of `otlp::start` can be added"
            ),
            Err(error) => {
                self.log_alone();
                tracing::warn!(variable, %error, "no spans are sent");
            }
        }
        Observed { export: None }
    }
}
