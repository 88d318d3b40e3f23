//! The bounds of token streams.

use std::time::Duration;

use serde::Deserialize;
use streamnest_core::duration;

use super::TokenStreamingError;
use crate::options::setters;

/// The bounds of a [`TokenStreamingService`](super::TokenStreamingService).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenStreamingOptions {
    /// Token streams that may be open at once. Default 10,000.
    pub max_streams: usize,
    /// Nodes that the streams of one execution may name, one after the other too. Default 1,024.
    pub max_nodes: usize,
    /// How long a stream may be silent before it is closed, and how long an execution that this service opened may have
    /// no stream open before it ends. Default 5 min.
    #[serde(deserialize_with = "duration::deserialize")]
    pub stale_after: Duration,
    /// How often statistics are told while they change. Default 1 s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub statistics_interval: Duration,
}

impl Default for TokenStreamingOptions {
    fn default() -> Self {
        Self {
            max_streams: 10_000,
            max_nodes: 1_024,
            stale_after: Duration::from_secs(300),
            statistics_interval: Duration::from_secs(1),
        }
    }
}

setters! {
    TokenStreamingOptions {
        with_max_streams max_streams: usize,
        with_max_nodes max_nodes: usize,
        with_stale_after stale_after: Duration,
        with_statistics_interval statistics_interval: Duration,
    }
}

impl TokenStreamingOptions {
    /// Checks that every bound leaves room to work.
    ///
    /// # Errors
    /// [`TokenStreamingError::Option`] names the first one that does not.
    pub fn validate(&self) -> Result<(), TokenStreamingError> {
        let zero = [
            ("TokenStreamingOptions::max_streams", self.max_streams == 0),
            ("TokenStreamingOptions::max_nodes", self.max_nodes == 0),
            ("TokenStreamingOptions::stale_after", self.stale_after.is_zero()),
            ("TokenStreamingOptions::statistics_interval", self.statistics_interval.is_zero()),
        ];
        match zero.into_iter().find(|(_, zero)| *zero) {
            Some((option, _)) => Err(TokenStreamingError::Option { option }),
            None => Ok(()),
        }
    }
}
