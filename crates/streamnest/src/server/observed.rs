//! What a program tells of itself: log lines, and spans.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, util::SubscriberInitExt as _};

use super::{LogFormat, ServerFlags};
use crate::Error;

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

impl ServerFlags {
    /// Begins to log, and to send spans if that is asked for. A program that has set its own subscriber keeps it.
    pub(super) fn observe(&self) -> Result<Observed, Error> {
        #[cfg(feature = "otlp")]
        if let Some(endpoint) = &self.otlp_endpoint {
            return self.observe_with_spans(endpoint);
        }
        let colours = io::stderr().is_terminal();
        let log = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(&self.log))
            .with_ansi(colours)
            .with_writer(io::stderr);
        let _ = match self.log_format {
            LogFormat::Text => log.finish().try_init(),
            LogFormat::Json => log.json().finish().try_init(),
        };
        Ok(Observed {
            #[cfg(feature = "otlp")]
            export: None,
        })
    }

    #[cfg(feature = "otlp")]
    fn observe_with_spans(&self, endpoint: &str) -> Result<Observed, Error> {
        use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};

        use crate::otlp::{self, Gathered, OtlpOptions};

        let mut options = OtlpOptions::new(endpoint);
        if let Some(name) = &self.otlp_service_name {
            options = options.with_service_name(name);
        }
        let (spans, export) = otlp::start(options)?;
        let log =
            tracing_subscriber::fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
        let log = match self.log_format {
            LogFormat::Text => log.boxed(),
            LogFormat::Json => log.json().boxed(),
        };
        let log = log.with_filter(EnvFilter::new(&self.log));
        let subscriber = tracing_subscriber::registry().with(log).with(spans.with_filter(Gathered));
        match subscriber.try_init() {
            Ok(()) => Ok(Observed { export: Some(export) }),
            Err(_) => {
                let reason = "this program has a subscriber of its own; add `otlp::start`'s layer to that, \
                              and leave `--otlp-endpoint` out";
                Err(Error::Otlp { reason: reason.into() })
            }
        }
    }
}
