//! Why a test cannot go on.

use std::{io, path::PathBuf, time::Duration};

use streamnest::{core::ControlError, runtime::EventsError};

/// Why a test cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The application does not begin.
    #[error(transparent)]
    App(#[from] streamnest::Error),
    /// The run does not start, or is not there.
    #[error(transparent)]
    Start(#[from] ControlError),
    /// An answer to a question is refused.
    #[error(transparent)]
    Answer(ControlError),
    /// What the run said cannot be read.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// A run said nothing for longer than the test waits.
    #[error(
        "run said nothing for {patience:?}; it waits for what does not come, or needs `TestAppBuilder::patience`. It said:\n{said}"
    )]
    Stuck {
        /// How long it was waited for.
        patience: Duration,
        /// What it said before.
        said: String,
    },
    /// A run came to its end before it said what was waited for.
    #[error("run ended without `{pattern}`. It said:\n{said}")]
    Ended {
        /// What was waited for.
        pattern: String,
        /// What it said.
        said: String,
    },
    /// There is no golden run to compare with.
    #[error(
        "there is no golden run at {path:?}; look at the run, and write it by `STREAMNEST_GOLDEN=update`"
    )]
    NoGolden {
        /// Where it would be.
        path: PathBuf,
    },
    /// A run is not the golden one.
    #[error(
        "run differs from {path:?}; if that is right, write it anew by `STREAMNEST_GOLDEN=update`\n{difference}"
    )]
    NotGolden {
        /// Where the golden run is.
        path: PathBuf,
        /// Lines of the golden run that are missing, with `-`, and new ones, with `+`.
        difference: String,
    },
    /// A golden run cannot be read or written.
    #[error("golden run {path:?} cannot be read or written")]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// A stable identifier, listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::App(error) => error.code(),
            Self::Start(error) | Self::Answer(error) => error.code(),
            Self::Events(_) => "events_missed",
            Self::Stuck { .. } => "run_stuck",
            Self::Ended { .. } => "run_ended",
            Self::NoGolden { .. } => "no_golden",
            Self::NotGolden { .. } => "not_golden",
            Self::Io { .. } => "golden_io",
        }
    }

    /// Whether the same call may succeed later: a test that failed fails again.
    pub const fn is_retryable(&self) -> bool {
        false
    }
}
