//! The standard flags of a program that serves its workflows.

mod observed;
mod tokens;

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use streamnest_gateway::TlsOptions;
use streamnest_log::MemoryStore;
use streamnest_log_disk::{DiskStore, Durability};
#[cfg(unix)]
use tokio::signal::unix;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
};
use tracing_subscriber::EnvFilter;

pub use self::tokens::TokenFlags;
use crate::{App, Error, OptionName, StreamingOptions, streaming::named};

/// The standard flags: where to listen, who may ask, what to log.
#[derive(Clone, Debug, Parser)]
#[command(version = concat!("(streamnest ", env!("CARGO_PKG_VERSION"), ")"), about = "Serves workflows over WebSocket, SSE and HTTP")]
#[non_exhaustive]
pub struct ServerFlags {
    /// A TOML file of options, under the names of `StreamingOptions`. For a program that does not give them itself.
    #[arg(long, value_name = "FILE", env = "STREAMNEST_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1 at the port of the program's options, 8080].
    #[arg(long, value_name = "ADDRESS:PORT", env = "STREAMNEST_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Whose tokens are taken.
    #[command(flatten)]
    pub tokens: TokenFlags,
    /// Listen where other machines can reach it, though nothing asks who they are. A server that takes tokens needs it not.
    #[arg(long)]
    pub insecure_no_auth: bool,
    /// A page of this origin may use the server, besides its own: `https://app.example.org`. May be given again.
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// A name under which the server may be asked, besides its address. May be given again.
    #[arg(long, value_name = "HOST")]
    pub allow_host: Vec<String>,
    /// Encrypt connections by the certificate in this PEM file, which may change.
    #[arg(long, value_name = "FILE", env = "STREAMNEST_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "STREAMNEST_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Where to keep the logs of executions, so that they survive the program. Default `data_dir` of the program's options, and
    /// else `streamnest-data/PROGRAM` in the directory in which the program is started.
    #[arg(long, value_name = "DIRECTORY", env = "STREAMNEST_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Keep the logs in memory only: nothing survives the program.
    #[arg(long, conflicts_with_all = ["data_dir", "durability", "repair"])]
    pub memory: bool,
    /// When an entry counts as kept: `sync` (it is on the disk; nothing that a client saw is ever lost), `interval=200ms` (a
    /// power cut takes at most that much) or `memory` (it takes what the system had not written yet). Default `disk.durability`
    /// of the program's options, `sync`.
    #[arg(long, value_name = "MODE")]
    pub durability: Option<Durability>,
    /// Mend a data directory that is damaged, as far as it can be, before it is opened. Damaged files are kept beside the mended ones.
    #[arg(long)]
    pub repair: bool,
    /// What to log on standard error, for example `info` or `streamnest_gateway=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "STREAMNEST_LOG", value_parser = log_filter)]
    pub log: String,
    /// How to log.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Send spans of executions and their nodes to the OTLP collector at this URL, `http://localhost:4318`, which takes them at
    /// `/v1/traces` below it [env: OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT with that path].
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// What the program is called there [default: its name] [env: OTEL_SERVICE_NAME].
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "NAME", requires = "otlp_endpoint")]
    pub otlp_service_name: Option<String>,
}

/// What is told of a file that cannot be taken, for programs that have a `--config` of their own.
const OTHER_CONFIG: &str = "if `--config` is this program's own flag, give the options in code, be they the defaults: \
                            `StreamingModule::for_root`, or `AppBuilder::options`";

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
        Self::of(env::args_os().collect()).unwrap_or_else(|error| error.exit())
    }

    /// The options of the file that the program is given, or else the defaults: they are read when the program is put together,
    /// before its other flags have their effect. A program that has other flags than these, for it mounts the routes into one of
    /// its own, may have a `--config` that is another matter: then only the variable counts, which is ours by its name. Where it is
    /// its only flag nobody can tell, so that the refusal of a file that is none of ours says how to.
    pub(crate) fn options_of_file() -> Result<StreamingOptions, Error> {
        if let Some(path) = Self::config_in(env::args_os().collect()) {
            return StreamingOptions::from_file(path).map_err(|error| match error {
                Error::ConfigFile { path, reason } => {
                    Error::ConfigFile { reason: format!("{}\n{OTHER_CONFIG}", reason.trim_end()), path }
                }
                other => other,
            });
        }
        match env::var_os("STREAMNEST_CONFIG") {
            Some(path) => StreamingOptions::from_file(PathBuf::from(path)),
            None => Ok(StreamingOptions::default()),
        }
    }

    fn config_in(arguments: Vec<OsString>) -> Option<PathBuf> {
        Self::of(arguments).ok().and_then(|flags| flags.config)
    }

    /// Reads `arguments`, the first of which is the program. What it says of itself goes by that name.
    fn of(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        let program = arguments.first().map(Path::new).and_then(Path::file_stem).and_then(OsStr::to_str);
        let command = Self::command().display_name(program.unwrap_or("streamnest"));
        let mut matches = command.try_get_matches_from(arguments)?;
        Self::from_arg_matches_mut(&mut matches)
    }

    /// Serves `app` until SIGTERM or Ctrl-C, then drains. A second one ends that at once.
    ///
    /// # Errors
    /// [`Error::Listen`], [`Error::NotLoopback`], [`Error::KeyFile`], [`Error::OptionRefused`], [`Error::OptionAlone`],
    /// [`Error::Gateway`].
    pub async fn serve(self, app: &App) -> Result<(), Error> {
        let observed = self.observe()?;
        let served = self.serve_observed(app).await;
        observed.end().await;
        served
    }

    async fn serve_observed(self, app: &App) -> Result<(), Error> {
        if self.config.is_some() && self.config.as_deref() != app.config() {
            return Err(Error::ConfigNotRead);
        }
        if let Some(authentication) = self.tokens.clone().options() {
            let keys = authentication.keys();
            let set = authentication.read().and_then(|options| {
                options.map_or(Ok(()), |options| Ok(app.gateway().authenticate(options)?))
            });
            set.map_err(|error| by_flag(error, &keys))?;
        }
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let set = app.gateway().encrypt(TlsOptions::new(certificate, key));
            set.map_err(|error| by_flag(error.into(), &[]))?;
        }
        raise_descriptors();
        let address = self.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, app.port()).into());
        if !address.ip().is_loopback() && !self.insecure_no_auth && !app.gateway().authenticates() {
            return Err(Error::NotLoopback { address });
        }
        let allowed = app.gateway().allow(self.allow_origin.clone(), self.allow_host.clone());
        allowed.map_err(|error| by_flag(error.into(), &[]))?;
        app.check_effects()?;
        self.keep_logs(app).await?;
        let listening = async {
            let listener = bind(address)?;
            let bound = listener.local_addr()?;
            Ok((listener, bound, StopSignals::new()?))
        };
        let (listener, bound, mut signals) =
            listening.await.map_err(|source| Error::Listen { address, source })?;
        announce(if app.gateway().encrypts() { "https" } else { "http" }, bound);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = app.serve(listener, async {
            let _ = stopped.await;
        });
        let asked_twice = async {
            signals.next().await;
            tracing::info!("stopping, and waiting for what runs; ask once more to stop now");
            drop(stop);
            signals.next().await;
        };
        tokio::select! {
            result = served => result,
            () = asked_twice => {
                tracing::warn!("stopped before everything had come to its end");
                Ok(())
            }
        }
    }

    /// Opens the data directory, unless the program or a flag says otherwise.
    async fn keep_logs(&self, app: &App) -> Result<(), Error> {
        let asked = self.data_dir.is_some() || self.durability.is_some() || self.repair;
        if self.memory && !app.has_own_store() {
            return match app.open_choice() {
                Some(late) => app.keep_in(Arc::new(MemoryStore::new(late.clock()))).await,
                None => Ok(()),
            };
        }
        let Some(late) = app.open_choice() else {
            return match app.has_own_store() {
                true if asked => Err(Error::StoreChosen),
                true => Ok(()),
                // It was served before, or that was tried.
                false if app.logs().is_persistent() => Ok(()),
                // What was started is in memory, and would be gone with the program though nobody said so.
                false => Err(Error::LogsUsed),
            };
        };
        let named = self.data_dir.as_deref().or_else(|| late.directory());
        let path = named.map_or_else(default_data_dir, Path::to_owned);
        let mut options = late.disk().clone();
        options.durability = self.durability.unwrap_or(options.durability);
        if self.repair {
            DiskStore::repair(&path)?;
        }
        let store = DiskStore::open(&path, late.clock(), options)?;
        tracing::info!(directory = %path.display(), "logs are kept in a data directory");
        app.keep_in(Arc::new(store)).await
    }
}

/// The flags that say what a file says under another name.
const FLAGS: &[(&str, &str)] = &[
    ("gateway.allowed_hosts", "--allow-host"),
    ("gateway.cors.origin", "--allow-origin"),
    ("gateway.tls", "--tls-cert"),
    ("gateway.authentication.secret_key_file", "--jwt-secret-file"),
    ("gateway.authentication.public_key_file", "--jwt-public-key-file"),
    ("gateway.authentication.jwks_file", "--jwks-file"),
    ("gateway.authentication.jwks_url", "--jwks-url"),
    ("gateway.authentication.jwks_ca_file", "--jwks-ca-file"),
    ("gateway.authentication.expires_in", "--jwt-expires-in"),
    ("gateway.authentication.cookie", "--jwt-cookie"),
];

/// What is refused, by the name of the flag that gave it. `keys` are those that were given for tokens: one of them stands for all.
fn by_flag(error: Error, keys: &[&'static str]) -> Error {
    named(error, keys, |key| {
        let key = if key == "gateway.authentication" { keys.first()? } else { key };
        let flag = FLAGS.iter().find(|(name, _)| *name == key)?;
        Some(OptionName::new(flag.1))
    })
}

/// Connections that may wait to be accepted, as far as the system lets them (`net.core.somaxconn`): so many clients come back at
/// once when a server was started again. Who does not find a place tries again after a second, and then after longer.
const BACKLOG: u32 = 4_096;

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The port of a server that has just stopped is free, though connections of it may linger. Elsewhere this means something else.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Lets the program have as many files and connections open as the system allows it at all. What is usual without asking, 1,024,
/// is a bound for programs that look at each of them in turn.
fn raise_descriptors() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let limit = getrlimit(Resource::Nofile);
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
}

/// Where a program keeps its logs if nobody says: beside where it is started, under its own name.
fn default_data_dir() -> PathBuf {
    let program = env::args_os().next();
    let name =
        program.as_deref().map(Path::new).and_then(Path::file_stem).unwrap_or(OsStr::new("streamnest"));
    Path::new("streamnest-data").join(name)
}

/// Checks a log filter, so that a wrong one is told and not passed over.
fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.into()).map_err(|error| error.to_string())
}

/// Prints where the server listens. Whoever started the program with port 0 reads the port here.
fn announce(scheme: &str, bound: SocketAddr) {
    let mut stdout = io::stdout().lock();
    // A closed pipe is no reason to stop.
    let _ = writeln!(stdout, "listening on {scheme}://{}", to_be_opened(bound)).and_then(|()| stdout.flush());
}

/// The address by which this machine reaches what listens on `bound`: nobody can open `0.0.0.0`.
fn to_be_opened(mut bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => bound.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => bound.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    bound
}

/// SIGTERM and Ctrl-C, as often as they come.
struct StopSignals {
    #[cfg(unix)]
    terminate: unix::Signal,
    #[cfg(unix)]
    interrupt: unix::Signal,
}

impl StopSignals {
    /// From now on none ends the process by itself.
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(unix::SignalKind::terminate())?,
            interrupt: unix::signal(unix::SignalKind::interrupt())?,
        })
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next one.
    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests;
