//! The standard flags of a program that serves its workflows.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
};

use clap::{Parser, ValueEnum};
use tokio::{net::TcpListener, signal};
use tracing_subscriber::{EnvFilter, util::SubscriberInitExt as _};

use crate::{App, Error};

/// The standard flags: where to listen, who may ask, what to log.
#[derive(Clone, Debug, Parser)]
#[command(version, about = "Serves workflows over WebSocket, SSE and HTTP")]
#[non_exhaustive]
pub struct ServerFlags {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", env = "STREAMNEST_LISTEN")]
    pub listen: SocketAddr,
    /// Listen where other machines can reach it, though nothing asks who they are.
    #[arg(long)]
    pub insecure_no_auth: bool,
    /// A page of this origin may use the server, besides its own: `https://app.example.org`. May be given again.
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// A name under which the server may be asked, besides its address. May be given again.
    #[arg(long, value_name = "HOST")]
    pub allow_host: Vec<String>,
    /// What to log on standard error, for example `info` or `streamnest_gateway=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "STREAMNEST_LOG", value_parser = log_filter)]
    pub log: String,
    /// How to log.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[non_exhaustive]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

impl ServerFlags {
    /// Reads the arguments of the program. Ends it with a message if they cannot be understood.
    pub fn from_args() -> Self {
        Self::parse()
    }

    /// Serves `app` until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// [`Error::Listen`], [`Error::NotLoopback`], [`Error::Gateway`].
    pub async fn serve(self, app: &App) -> Result<(), Error> {
        self.start_log();
        let address = self.listen;
        if !address.ip().is_loopback() && !self.insecure_no_auth {
            return Err(Error::NotLoopback { address });
        }
        app.gateway().allow(self.allow_origin, self.allow_host)?;
        let listening = async {
            let listener = TcpListener::bind(address).await?;
            let bound = listener.local_addr()?;
            Ok((listener, bound))
        };
        let (listener, bound) = listening.await.map_err(|source| Error::Listen { address, source })?;
        // Whoever started the program with port 0 reads the port here; a closed pipe is no reason to stop.
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "listening on http://{bound}").and_then(|()| stdout.flush());
        drop(stdout);
        app.serve(listener, stop_signal()).await
    }

    fn start_log(&self) {
        let filter = EnvFilter::new(&self.log);
        let colours = std::io::stderr().is_terminal();
        let log =
            tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
        // A program that has set its own subscriber keeps it.
        let _ = match self.log_format {
            LogFormat::Text => log.finish().try_init(),
            LogFormat::Json => log.json().finish().try_init(),
        };
    }
}

/// Checks a log filter, so that a wrong one is told and not passed over.
fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.into()).map_err(|error| error.to_string())
}

/// Completes at SIGTERM, or at Ctrl-C.
async fn stop_signal() {
    let interrupt = async {
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
