//! The bounds of streams.

use serde::Deserialize;

use crate::Error;

/// The bounds of all [`Streams`](super::Streams) of one registry.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StreamOptions {
    /// Streams that there may be at once, those included that were deleted while forks of them are left, and executions of programs
    /// outside until they have ended, after which they are kept as any other. Default 8,192. Each that is in memory takes one of the places that [`LogOptions::max_logs`](crate::LogOptions::max_logs) allows.
    pub max_streams: usize,
    /// Streams of one user, and executions of programs outside that it made and that have not ended, that there may be at once; where nobody is asked who
    /// they are, only [`max_streams`](Self::max_streams) counts. Default 1,024.
    pub max_streams_per_user: usize,
    /// The most bytes of one append; one that is larger is refused. Default 4 MiB.
    pub max_append_bytes: usize,
    /// The most bytes that are appended to one stream. Default 1 GiB.
    pub max_stream_bytes: u64,
    /// The most bytes that all streams hold together, executions that have ended left out. Default 16 GiB.
    pub max_total_bytes: u64,
    /// Idempotent producers that one stream remembers, for as long as it lives. Default 1,024.
    pub max_producers: usize,
    /// Forks of forks: how many streams a reader may have to go through. Default 64.
    pub max_fork_depth: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            max_streams: 8_192,
            max_streams_per_user: 1_024,
            max_append_bytes: 4 << 20,
            max_stream_bytes: 1 << 30,
            max_total_bytes: 16 << 30,
            max_producers: 1_024,
            max_fork_depth: 64,
        }
    }
}

/// Writes a setter for each field.
macro_rules! setters {
    ($($setter:ident $field:ident: $value:ty,)*) => {
        impl StreamOptions {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(self, $field: $value) -> Self {
                    Self { $field, ..self }
                }
            )*
        }
    };
}

setters! {
    with_max_streams max_streams: usize,
    with_max_streams_per_user max_streams_per_user: usize,
    with_max_append_bytes max_append_bytes: usize,
    with_max_stream_bytes max_stream_bytes: u64,
    with_max_total_bytes max_total_bytes: u64,
    with_max_producers max_producers: usize,
    with_max_fork_depth max_fork_depth: usize,
}

impl StreamOptions {
    /// Checks that every bound leaves room to work.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] names the first bound that is zero.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            ("streams.max_streams", self.max_streams == 0),
            ("streams.max_streams_per_user", self.max_streams_per_user == 0),
            ("streams.max_append_bytes", self.max_append_bytes == 0),
            ("streams.max_stream_bytes", self.max_stream_bytes == 0),
            ("streams.max_total_bytes", self.max_total_bytes == 0),
            ("streams.max_producers", self.max_producers == 0),
            ("streams.max_fork_depth", self.max_fork_depth == 0),
        ];
        match checks.iter().find(|(_, bad)| *bad) {
            Some((option, _)) => Err(Error::InvalidOption { option }),
            None => Ok(()),
        }
    }
}
