//! What keeps a measurement from being made.

use std::{io, path::PathBuf};

/// Why there is no figure. A figure that did not hold is not an error, but a report with `"ok": false`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("{what} failed")]
    System {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot read {path}; is the server still running")]
    Accounting {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path} does not say `{field}`")]
    AccountingField { path: String, field: &'static str },
    #[error("cannot start the server {path:?}")]
    Spawn {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the server {path:?} ended or said nothing before `listening on http://…`; its first line was {line:?}"
    )]
    NotListening { path: PathBuf, line: String },
    #[error("{address:?} is no address of the form http://127.0.0.1:8080")]
    Address { address: String },
    #[error("no C compiler: cannot run {compiler:?} for the floor; install one or name it in CC")]
    NoCompiler {
        compiler: String,
        #[source]
        source: io::Error,
    },
    #[error("the C compiler refused the floor:\n{message}")]
    Compiler { message: String },
    #[error("cannot write the floor to {path:?}")]
    FloorFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the server answered {status} to {request}: {body}")]
    Refused { request: String, status: u16, body: String },
    #[error("the answer to {request} is no HTTP response")]
    NotHttp { request: String },
    #[error("{what}: {done} of {wanted} connections after {seconds} s; the first that failed: {reason}")]
    Connections { what: &'static str, done: usize, wanted: usize, seconds: u64, reason: String },
    #[error(
        "{wanted} open files are needed and the limit is {limit}; raise the hard limit of RLIMIT_NOFILE or ask for fewer connections"
    )]
    OpenFiles { wanted: u64, limit: u64 },
    #[error("the fountain's last token was due before the end of the window; the run is too short")]
    WindowMissed,
    #[error("{0}")]
    Usage(&'static str),
    #[error("a frame cannot be compressed")]
    Deflate(#[source] flate2::CompressError),
    #[error("cannot write the report")]
    Report(#[source] serde_json::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl Error {
    /// For `map_err` on a system call.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
