//! Why an application does not start.

mod streaming;

use std::{error::Error as StdError, fmt, io, net::SocketAddr, path::PathBuf};

use streamnest_modules::BoxError;

pub use self::streaming::StreamingError;
use crate::OptionName;

/// Why an application cannot be built or does not listen.
///
/// Its `Debug` form is its message and causes, so that `fn main() -> Result<(), streamnest::Error>` tells a person.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A workflow is wrong.
    #[error(transparent)]
    Runtime(Box<streamnest_runtime::Error>),
    /// A bound of the logs is wrong.
    #[error(transparent)]
    Log(#[from] streamnest_log::Error),
    /// A bound of the token streams is wrong.
    #[error(transparent)]
    TokenStreaming(Box<streamnest_runtime::TokenStreamingError>),
    /// A bound of the processing of events is wrong.
    #[error(transparent)]
    EventProcessing(Box<streamnest_runtime::ViewError>),
    /// The modules are wrong, or one of their providers cannot be made or does not begin.
    #[error(transparent)]
    Modules(Box<streamnest_modules::Error>),
    /// An option is given in two places.
    #[error("option `{option}` is given, and so is `{beneath}`, which is the same; give one of them")]
    OptionTwice {
        /// The option, by its name in [`StreamingOptions`](crate::StreamingOptions).
        option: &'static str,
        /// The option of the part beneath.
        beneath: &'static str,
    },
    /// An option has no effect without another.
    #[error("option {option} has no effect without {needs}; give that too, or leave it out")]
    OptionAlone {
        /// The option.
        option: OptionName,
        /// What gives the other one.
        needs: &'static str,
    },
    /// An option that a file or a flag gives leaves no room to work, or is not what it has to be.
    #[error("option {option} {reason}")]
    OptionRefused {
        /// The option.
        option: OptionName,
        /// What is wrong with it.
        reason: String,
    },
    /// An option has no effect in this program.
    #[error("option `{option}` has no effect: {reason}; leave it out")]
    OptionUnused {
        /// The option.
        option: &'static str,
        /// Why it has none.
        reason: &'static str,
    },
    /// The file of options cannot be read, or names what there is not.
    #[error("cannot take the options of {}: {reason}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// A program is given a file of options and gives them itself.
    #[error("`--config` is given, but this program says its options itself; leave it out")]
    ConfigNotRead,
    /// Spans cannot be sent to a collector.
    #[cfg(feature = "otlp")]
    #[error("cannot send spans: {reason}")]
    Otlp {
        /// What is wrong.
        reason: String,
    },
    /// The gateway cannot be made, or stopped.
    #[error(transparent)]
    Gateway(#[from] streamnest_gateway::Error),
    /// The file of a key for tokens cannot be read.
    #[error("cannot read the key file {}; check `--jwt-secret-file`, `--jwt-public-key-file` or the options of their names", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The data directory cannot be opened.
    #[error(
        "cannot keep logs there; choose another directory by `--data-dir`, or go without by `--memory`: {0}"
    )]
    DataDirectory(#[source] streamnest_log_disk::Error),
    /// A bound of the data directory is wrong.
    #[error(transparent)]
    Disk(streamnest_log_disk::Error),
    /// A flag says where the logs are kept, and the program has said so already.
    #[error(
        "`--data-dir`, `--durability` and `--repair` have no effect: the program itself says where its logs are kept; leave them out"
    )]
    StoreChosen,
    /// Logs were used before the program listened, so they are in memory, and the flags do not say `--memory`.
    #[error(
        "logs were used before `listen` opened a data directory, so they are in memory and would be lost; start executions after `listen`, keep them from the first by `AppBuilder::data_dir`, or go without by `--memory`"
    )]
    LogsUsed,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another by `--listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The address is reachable by others, and nothing would ask who they are.
    #[error(
        "{address} is reachable by other machines, and this server asks nobody who they are; let it take tokens by \
         `--jwt-secret-file` or `--jwks-file`, listen on 127.0.0.1, or accept that by `--insecure-no-auth`"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
}

/// Errors that name much are boxed: this one is returned from `main`.
macro_rules! boxed {
    ($($variant:ident($error:ty),)*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(Box::new(error))
            }
        })*
    };
}

boxed! {
    Runtime(streamnest_runtime::Error),
    TokenStreaming(streamnest_runtime::TokenStreamingError),
    EventProcessing(streamnest_runtime::ViewError),
}

impl Error {
    /// A stable identifier, listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Runtime(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::TokenStreaming(error) => error.code(),
            Self::EventProcessing(error) => error.code(),
            Self::Gateway(error) => error.code(),
            #[cfg(feature = "otlp")]
            Self::Otlp { .. } => "otlp",
            Self::KeyFile { .. } => "key_file",
            Self::OptionRefused { .. } => "invalid_option",
            Self::OptionAlone { .. } => "option_alone",
            Self::OptionUnused { .. } => "option_unused",
            Self::ConfigFile { .. } => "config_file",
            Self::ConfigNotRead => "config_not_read",
            Self::Modules(error) => error.code(),
            Self::OptionTwice { .. } => "option_twice",
            Self::DataDirectory(error) | Self::Disk(error) => error.code(),
            Self::StoreChosen => "store_chosen",
            Self::LogsUsed => "logs_used",
            Self::Listen { .. } => "listen",
            Self::NotLoopback { .. } => "not_loopback",
        }
    }
}

impl From<streamnest_log_disk::Error> for Error {
    /// A wrong option has nothing to do with the directory.
    fn from(error: streamnest_log_disk::Error) -> Self {
        match error {
            streamnest_log_disk::Error::InvalidOption { .. } => Self::Disk(error),
            error => Self::DataDirectory(error),
        }
    }
}

impl From<streamnest_modules::Error> for Error {
    /// What a part of Streamnest itself refuses is told as that part tells it.
    fn from(error: streamnest_modules::Error) -> Self {
        let streamnest_modules::Error::ProviderFailed { provider, module, source } = error else {
            return Self::Modules(Box::new(error));
        };
        own(source).unwrap_or_else(|source| {
            Self::Modules(Box::new(streamnest_modules::Error::ProviderFailed { provider, module, source }))
        })
    }
}

/// The error of a part of Streamnest, or what it is instead.
fn own(source: BoxError) -> Result<Error, BoxError> {
    fn is<E: StdError + Into<Error> + 'static>(source: BoxError) -> Result<Error, BoxError> {
        source.downcast::<E>().map(|error| (*error).into())
    }
    is::<Error>(source)
        .or_else(is::<streamnest_log::Error>)
        .or_else(is::<streamnest_runtime::Error>)
        .or_else(is::<streamnest_runtime::TokenStreamingError>)
        .or_else(is::<streamnest_runtime::ViewError>)
        .or_else(is::<streamnest_gateway::Error>)
        .or_else(is::<streamnest_log_disk::Error>)
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // Many a message already ends with its cause.
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests;
