//! Why a store could not be opened.

use std::{io, sync::Arc};

/// Why a data directory could not be opened, verified or repaired.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the directory open.
    #[error(
        "data directory `{path}` is in use by another process; stop that one, or choose another directory"
    )]
    Locked {
        /// The directory.
        path: String,
    },
    /// The directory is of a format that this release does not know.
    #[error(
        "data directory `{path}` has format {found:?}, and this release reads `{known}`; use the release that wrote it, or another directory"
    )]
    Format {
        /// The directory.
        path: String,
        /// What its `FORMAT` file says, cut after 64 characters.
        found: String,
        /// What it would have to say.
        known: &'static str,
    },
    /// The directory holds other files, and is none of ours.
    #[error(
        "directory `{path}` is no data directory: it has no `FORMAT` file but holds `{file}`; choose an empty one"
    )]
    Foreign {
        /// The directory.
        path: String,
        /// One of its files.
        file: String,
    },
    /// A segment is gone.
    #[error(
        "segment `{file}` is missing from `{path}`; bring it back, or repair the store, which gives up what it held"
    )]
    MissingSegment {
        /// The directory.
        path: String,
        /// The file that should be there.
        file: String,
    },
    /// A file cannot be read or written.
    #[error("`{file}` in `{path}`: {source}")]
    Io {
        /// The directory.
        path: String,
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// An option leaves no room to work.
    #[error("`DiskOptions::{option}` is out of range; legal is {legal}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// What would be legal.
        legal: &'static str,
    },
}

impl Error {
    /// A stable identifier, listed in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "data_directory_locked",
            Self::Format { .. } => "data_format_unknown",
            Self::Foreign { .. } => "data_directory_foreign",
            Self::MissingSegment { .. } => "segment_missing",
            Self::Io { .. } => "data_directory_io",
            Self::InvalidOption { .. } => "invalid_option",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Io { .. })
    }
}
