//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{connection::Transport, error::Error};

/// Measures a server of token fountains from the outside, and prints one line of JSON per run.
#[derive(Parser, Debug)]
#[command(name = "streamnest-bench", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Few executions, many connections: every token goes to all of them.
    FanOut {
        /// Executions; connection i follows execution i modulo this.
        #[arg(long, default_value_t = 1)]
        executions: u32,
        #[command(flatten)]
        load: Load,
    },
    /// As many executions as connections, each with its own.
    Chat {
        #[command(flatten)]
        load: Load,
    },
    /// Connections that wait: the server's memory per connection.
    Idle {
        /// Also subscribe each of them to one execution that is silent.
        #[arg(long)]
        subscribe: bool,
        /// A file of tokens, one a line, each connection shows the next; for a server that asks. The first one starts the
        /// silent execution.
        #[arg(long, value_name = "FILE")]
        access_tokens: Option<PathBuf>,
        #[command(flatten)]
        load: Load,
    },
    /// Connections that never read beside others that do.
    Stalled {
        /// How many never read; `--connections` is how many do.
        #[arg(long, default_value_t = 100)]
        stalled: u32,
        /// Receive buffer in bytes of those that never read, so that the server and not the kernel holds what they are owed.
        #[arg(long, default_value_t = 4096)]
        receive_buffer: u32,
        #[command(flatten)]
        load: Load,
    },
    /// A finished run, read from its start, then read again with drops and resumes.
    Resume {
        /// How often each connection drops and resumes in the second part.
        #[arg(long, default_value_t = 4)]
        drops: u32,
        /// Where they drop follows from this.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        load: Load,
    },
    /// Servers of the Durable Streams protocol beside each other, turn by turn: appends, catch-up and live latency, as a Markdown
    /// table.
    Streams(StreamOptions),
    /// What compressing each connection's messages costs beside compressing blocks for all, as a Markdown table.
    Deflate(DeflateOptions),
    /// The figures of docs/benchmarks.md, server and floor in turn, as a Markdown table.
    Table(TableOptions),
    /// Runs the floor alone, as a server.
    Floor(FloorOptions),
}

/// What servers of streams are given.
#[derive(Args, Clone, Debug)]
pub(crate) struct StreamOptions {
    /// A server that runs already, `http://127.0.0.1:8080`; may be repeated. The first is compared with the others.
    #[arg(long, required = true)]
    pub(crate) url: Vec<String>,
    /// How often each figure is measured; the table gives the median, the smallest and the largest.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How long each figure is measured.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// The size of an append, in bytes.
    #[arg(long, default_value_t = 200)]
    pub(crate) bytes: usize,
    /// The size of the stream of large appends that is read, in MiB.
    #[arg(long, default_value_t = 64)]
    pub(crate) megabytes: usize,
    /// How many appends of that size the stream of small ones has that is read.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) small_appends: usize,
}

/// What is compressed.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeflateOptions {
    /// Tokens that are compressed in each round.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tokens: u32,
    /// How often each way is measured; the table gives the median, the smallest and the largest.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Connections whose memory is measured.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
}

/// What the connections are and what they are given.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// Start this program with `--listen 127.0.0.1:0`, and end it afterwards.
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,
    /// One more argument for that program; may be repeated.
    #[arg(long = "server-arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) server_arguments: Vec<String>,
    /// Measure a server that runs already, `http://127.0.0.1:8080`.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The process of that server, for its CPU time and memory.
    #[arg(long, requires = "url")]
    pub(crate) server_pid: Option<u32>,
    /// Measure the floor instead of a server.
    #[arg(long)]
    pub(crate) floor: bool,
    /// The floor wakes at multiples of so many microseconds, as a timer wheel does; 0: exactly when a token is due.
    #[arg(long, default_value_t = 1000)]
    pub(crate) tick_us: u64,
    /// By which tokens connections show who they are, if they do.
    #[arg(skip)]
    pub(crate) access_tokens: Option<PathBuf>,
    /// How entries reach the clients.
    #[arg(long, value_enum, default_value_t = Transport::WebSocket)]
    pub(crate) transport: Transport,
    /// Connections.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// Tokens per second of each execution; 0: as fast as it goes, and the window is the whole run.
    #[arg(long, default_value_t = 50)]
    pub(crate) rate: u32,
    /// Tokens of each execution; for a rate above 0 in fan-out and chat it follows from the times.
    #[arg(long)]
    pub(crate) tokens: Option<u64>,
    /// Bytes of a token.
    #[arg(long, default_value_t = 33, value_parser = clap::value_parser!(u32).range(33..=1_000_000))]
    pub(crate) token_bytes: u32,
    /// Tokens that wait for a flush; the workflow's own default if not given.
    #[arg(long)]
    pub(crate) buffer_size: Option<u32>,
    /// The subscription's flush window in milliseconds; the server's default if not given.
    #[arg(long)]
    pub(crate) flush_window_ms: Option<u32>,
    /// Seconds between the last subscription and the window.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warm_up: f64,
    /// Seconds of the window in which is measured.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
}

/// What is measured.
pub(crate) enum Subject<'a> {
    Url(&'a str),
    Server(&'a Path),
    Floor,
}

impl Load {
    pub(crate) fn subject(&self) -> Result<Subject<'_>, Error> {
        match (&self.url, &self.server, self.floor) {
            (Some(url), None, false) => Ok(Subject::Url(url)),
            (None, Some(path), false) => Ok(Subject::Server(path)),
            (None, None, true) => Ok(Subject::Floor),
            _ => Err(Error::Usage("name what is measured by one of --server, --url and --floor")),
        }
    }
}

/// A way to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    FanOut { executions: u32 },
    Chat,
    Idle { subscribe: bool },
    Stalled { stalled: u32, receive_buffer: u32 },
    Resume { drops: u32, seed: u64 },
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FanOut { .. } => "fan-out",
            Self::Chat => "chat",
            Self::Idle { .. } => "idle",
            Self::Stalled { .. } => "stalled",
            Self::Resume { .. } => "resume",
        }
    }
}

impl Command {
    /// The mode and its load; `None` for the commands that are none.
    pub(crate) fn load(self) -> Option<(Mode, Load)> {
        Some(match self {
            Self::FanOut { executions, load } => (Mode::FanOut { executions }, load),
            Self::Chat { load } => (Mode::Chat, load),
            Self::Idle { subscribe, access_tokens, load } => {
                (Mode::Idle { subscribe }, Load { access_tokens, ..load })
            }
            Self::Stalled { stalled, receive_buffer, load } => {
                (Mode::Stalled { stalled, receive_buffer }, load)
            }
            Self::Resume { drops, seed, load } => (Mode::Resume { drops, seed }, load),
            Self::Table(_) | Self::Floor(_) | Self::Streams(_) | Self::Deflate(_) => return None,
        })
    }
}

/// What the table is made of.
#[derive(Args, Clone, Debug)]
pub(crate) struct TableOptions {
    /// The server: the example `token-fountain`, built with `--release`.
    #[arg(long, value_name = "PATH")]
    pub(crate) server: PathBuf,
    /// One more argument for it; may be repeated.
    #[arg(long = "server-arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) server_arguments: Vec<String>,
    /// How often each figure is measured; the table gives the median, the smallest and the largest.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Seconds of each window.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Only the figures whose name contains this.
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// A divisor of all numbers of connections, for a quick look.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) shrink: u32,
}

/// How the floor runs alone.
#[derive(Args, Clone, Debug)]
pub(crate) struct FloorOptions {
    /// The port; 0: any.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Wake at multiples of so many microseconds; 0: exactly when a token is due.
    #[arg(long, default_value_t = 1000)]
    pub(crate) tick_us: u64,
    /// Bytes of frames kept per stream.
    #[arg(long, default_value_t = 4 << 20)]
    pub(crate) history: u64,
    /// Send server-sent events instead of WebSocket frames.
    #[arg(long)]
    pub(crate) sse: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn exactly_one_subject_is_measured() {
        let subject = |line: &str| {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            let (_, load) = arguments.command.load().unwrap();
            load.subject().is_ok()
        };
        assert!(subject("bench chat --floor"));
        assert!(subject("bench chat --url http://127.0.0.1:1 --server-pid 1"));
        assert!(!subject("bench chat"));
        assert!(!subject("bench chat --floor --server x"));
    }
}
