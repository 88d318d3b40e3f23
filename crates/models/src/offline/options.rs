//! What can be chosen about an offline model, and what is legal.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{Error, offline::NAME};

const ORDER: RangeInclusive<usize> = 1..=4;
const TOKENS_PER_SECOND: RangeInclusive<f64> = 0.001..=1_000_000.0;
const MAX_TOKENS: RangeInclusive<u32> = 1..=8192;
const TEMPERATURE: RangeInclusive<f64> = 0.0..=2.0;
/// More than any provider takes, and few enough to look for each at every token.
const MAX_STOP_SEQUENCES: usize = 16;
const STOP_BYTES: RangeInclusive<usize> = 1..=256;

/// What can be chosen about an [`OfflineModel`](crate::OfflineModel).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OfflineOptions {
    /// How many words back it looks to choose the next, 1 to 4; default 2, for 1 hardly makes sentences and 3 hardly
    /// makes new ones.
    pub order: usize,
    /// How many tokens it says in a second, 0.001 to 1,000,000, or 0 for as fast as it goes; default 0. The first comes
    /// at once. A reader that was slow finds what it missed ready, as with a provider.
    pub tokens_per_second: f64,
    /// The most tokens of an answer where the request does not say, 1 to 8,192; default 120, a paragraph.
    pub max_tokens: u32,
    /// How freely it chooses where the request does not say, 0 to 2; default 0.8. At 0 it takes the likeliest word each
    /// time, at 1 it follows the counts of its corpus, above it flattens them.
    pub temperature: f64,
    /// The seed where the request does not say; default 0. The prompt is part of the seed too.
    pub seed: u64,
    /// The prose to learn from, as plain text or Markdown, instead of the built-in one. Only paragraphs that end as a
    /// sentence does count.
    pub corpus: Option<String>,
}

impl Default for OfflineOptions {
    fn default() -> Self {
        Self { order: 2, tokens_per_second: 0.0, max_tokens: 120, temperature: 0.8, seed: 0, corpus: None }
    }
}

impl OfflineOptions {
    /// With this [`order`](Self::order).
    pub const fn with_order(mut self, order: usize) -> Self {
        self.order = order;
        self
    }

    /// With this rate: [`tokens_per_second`](Self::tokens_per_second).
    pub const fn with_tokens_per_second(mut self, tokens_per_second: f64) -> Self {
        self.tokens_per_second = tokens_per_second;
        self
    }

    /// With these [`max_tokens`](Self::max_tokens).
    pub const fn with_max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = max_tokens;
        self
    }

    /// With this [`temperature`](Self::temperature).
    pub const fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// With this [`seed`](Self::seed).
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With this [`corpus`](Self::corpus).
    pub fn with_corpus(mut self, corpus: impl Into<String>) -> Self {
        self.corpus = Some(corpus.into());
        self
    }

    /// Whether every option is in its range.
    pub(super) fn validate(&self) -> Result<(), Error> {
        within("order", self.order, &ORDER, "words")?;
        if self.tokens_per_second != 0.0 {
            within("tokens_per_second", self.tokens_per_second, &TOKENS_PER_SECOND, "(or 0 for no limit)")?;
        }
        check_max_tokens(self.max_tokens)?;
        check_temperature(self.temperature)
    }
}

pub(super) fn check_temperature(temperature: f64) -> Result<(), Error> {
    within("temperature", temperature, &TEMPERATURE, "")
}

pub(super) fn check_max_tokens(max_tokens: u32) -> Result<(), Error> {
    within("max_tokens", max_tokens, &MAX_TOKENS, "tokens")
}

pub(super) fn check_stop(stop: &[String]) -> Result<(), Error> {
    within("stop", stop.len(), &(0..=MAX_STOP_SEQUENCES), "sequences")?;
    stop.iter().try_for_each(|sequence| within("stop", sequence.len(), &STOP_BYTES, "bytes a sequence"))
}

/// Refuses a value outside its range; NaN is outside every one.
fn within<T: PartialOrd + ToString>(
    field: &'static str,
    value: T,
    legal: &RangeInclusive<T>,
    unit: &str,
) -> Result<(), Error> {
    if legal.contains(&value) {
        return Ok(());
    }
    Err(Error::OutOfRange {
        model: NAME.to_owned(),
        field,
        value: value.to_string(),
        legal: format!("{} to {} {unit}", legal.start().to_string(), legal.end().to_string())
            .trim_end()
            .to_owned(),
    })
}
