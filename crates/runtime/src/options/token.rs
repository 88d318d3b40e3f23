//! `#[stream_token]`.

use std::time::Duration;

use serde_json::{Map, Value};
use streamnest_core::MessageId;

use super::setters;

/// How a node's tokens become frames: filter → processor → batch.
///
/// Whatever these say, nothing is lost but what a filter drops: at the end of a message, at an error and at a cancel the
/// rest is flushed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenOptions {
    /// Whether the node streams tokens at all; it runs either way. Default true.
    pub enabled: bool,
    /// Flush as soon as this many tokens wait. `None` takes the engine's `default_buffer_size`, which is 50.
    pub buffer_size: Option<usize>,
    /// At most this many tokens are joined into one frame. Default 10.
    pub batch_size: usize,
    /// The longest a token waits. Default 40 ms, which is smooth to the eye. The first token of a message never waits, and what is
    /// due within a millisecond goes as soon as its node pauses.
    pub flush_interval: Duration,
    /// What a frame carries. Default text.
    pub format: TokenFormat,
    /// Whether the model's own metadata travels in the frame. Default false.
    pub include_metadata: bool,
    /// Maps each token that the filter lets pass, before tokens are joined. Default none.
    pub processor: Option<fn(&str, &TokenMetadata) -> String>,
    /// Which tokens get a frame. Default all.
    pub filter: TokenFilter,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            buffer_size: None,
            batch_size: 10,
            flush_interval: Duration::from_millis(40),
            format: TokenFormat::default(),
            include_metadata: false,
            processor: None,
            filter: TokenFilter::default(),
        }
    }
}

impl TokenOptions {
    /// Sets [`buffer_size`](Self::buffer_size).
    #[must_use]
    pub fn with_buffer_size(self, buffer_size: usize) -> Self {
        Self { buffer_size: Some(buffer_size), ..self }
    }

    /// Sets [`processor`](Self::processor).
    #[must_use]
    pub fn with_processor(self, processor: fn(&str, &TokenMetadata) -> String) -> Self {
        Self { processor: Some(processor), ..self }
    }
}

setters! {
    TokenOptions {
        with_enabled enabled: bool,
        with_batch_size batch_size: usize,
        with_flush_interval flush_interval: Duration,
        with_format format: TokenFormat,
        with_include_metadata include_metadata: bool,
        with_filter filter: TokenFilter,
    }
}

/// What a token frame carries besides its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TokenFormat {
    /// The text.
    #[default]
    Text,
    /// The text, and the JSON value that it is so far: at most every 200 ms, and at the end of the message.
    Json,
    /// The text, its role, its log-probability and its kind, as far as the model gave them.
    Structured,
}

/// Which tokens get a frame. Dropped tokens still count in `index`, and `filtered` tells how many there were.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TokenFilter {
    /// Drops tokens of fewer characters. Default none.
    pub min_length: Option<usize>,
    /// Drops tokens of more characters. Default none.
    pub max_length: Option<usize>,
    /// Drops tokens that this regular expression matches nowhere (syntax of the `regex` crate). Default none.
    pub pattern: Option<String>,
    /// Lets no blank token have a frame of its own: it travels with the next one, and a last one is flushed alone, so
    /// that the text stays whole. Default false.
    pub exclude_whitespace: bool,
}

impl TokenFilter {
    /// Sets [`min_length`](Self::min_length).
    #[must_use]
    pub fn with_min_length(self, min_length: usize) -> Self {
        Self { min_length: Some(min_length), ..self }
    }

    /// Sets [`max_length`](Self::max_length).
    #[must_use]
    pub fn with_max_length(self, max_length: usize) -> Self {
        Self { max_length: Some(max_length), ..self }
    }

    /// Sets [`pattern`](Self::pattern). It is compiled when the application is built; a bad one is an error then.
    #[must_use]
    pub fn with_pattern(self, pattern: &str) -> Self {
        Self { pattern: Some(pattern.into()), ..self }
    }

    /// Sets [`exclude_whitespace`](Self::exclude_whitespace).
    #[must_use]
    pub fn with_exclude_whitespace(self, exclude_whitespace: bool) -> Self {
        Self { exclude_whitespace, ..self }
    }
}

/// What a processor may know of a token.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct TokenMetadata {
    /// Its index in its message, from 0.
    pub index: u64,
    /// Its message.
    pub message: MessageId,
    /// Which pass through the node, from 1.
    pub visit: u32,
    /// Who speaks, if the model told.
    pub role: Option<String>,
    /// What the token belongs to, if the model told.
    pub kind: Option<String>,
    /// The natural logarithm of its probability, if the model told.
    pub logprob: Option<f64>,
    /// What else the model said about it.
    pub metadata: Option<Map<String, Value>>,
}
