//! What models ask for their tokens.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use streamnest_core::{Cost, Usage};

/// Digits after the point of a price in USD: what is below a nano-USD is no price.
const DECIMALS: usize = 9;
/// Prices are for so many tokens.
const MILLION: u128 = 1_000_000;

/// The price of one model: what it asks for a million tokens of prompts and of answers.
///
/// Written as `MODEL=INPUT/OUTPUT`, in USD for a million tokens:
///
/// ```
/// use streamnest_runtime::ModelPrice;
///
/// let price: ModelPrice = "large-1=2.50/10".parse()?;
/// assert_eq!(price, ModelPrice::new("large-1", 2_500_000_000, 10_000_000_000));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ModelPrice {
    model: String,
    /// In nano-USD for a million tokens.
    input: u64,
    output: u64,
}

impl ModelPrice {
    /// A price in nano-USD (10⁻⁹ USD) for a million tokens, of prompts and of answers.
    pub fn new(model: impl Into<String>, input_nano_usd: u64, output_nano_usd: u64) -> Self {
        Self { model: model.into(), input: input_nano_usd, output: output_nano_usd }
    }

    /// The model's name, as it gives it itself.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What a call comes to, in nano-USD, rounded to the nearest.
    fn of(&self, usage: &Usage) -> u64 {
        let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let all = part(usage.input_tokens, self.input).saturating_add(part(usage.output_tokens, self.output));
        u64::try_from(all.saturating_add(MILLION / 2) / MILLION).unwrap_or(u64::MAX)
    }
}

impl FromStr for ModelPrice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "price {text:?} is none; write `MODEL=INPUT/OUTPUT` in USD for a million tokens, for example `large-1=2.50/10`"
            )
        };
        // A name may hold either sign.
        let (model, prices) = text.rsplit_once('=').ok_or_else(invalid)?;
        let (input, output) = prices.split_once('/').ok_or_else(invalid)?;
        let nano_usd = |text: &str| nano_usd(text.trim()).ok_or_else(invalid);
        match model.trim() {
            "" => Err(invalid()),
            model => Ok(Self::new(model, nano_usd(input)?, nano_usd(output)?)),
        }
    }
}

/// An amount of USD, read digit by digit, for no binary fraction is a tenth.
fn nano_usd(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > DECIMALS {
        return None;
    }
    format!("{whole}{fraction:0<DECIMALS$}").parse().ok()
}

impl fmt::Display for ModelPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_u64.pow(DECIMALS as u32);
        let usd = |nano: u64| format!("{}.{:0DECIMALS$}", nano / one, nano % one);
        let (input, output) = (usd(self.input), usd(self.output));
        let short = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
        write!(f, "{}={}/{}", self.model, short(&input), short(&output))
    }
}

impl fmt::Debug for ModelPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl<'de> Deserialize<'de> for ModelPrice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Adds a call of `model` to `cost`; without `usage` it did not tell what it used.
pub(crate) fn add(cost: &mut Cost, prices: &[ModelPrice], model: &str, usage: Option<&Usage>) {
    cost.calls += 1;
    let Some(usage) = usage else {
        cost.unreported += 1;
        return;
    };
    cost.input_tokens = cost.input_tokens.saturating_add(usage.input_tokens);
    cost.output_tokens = cost.output_tokens.saturating_add(usage.output_tokens);
    cost.estimated |= usage.estimated;
    match prices.iter().find(|price| price.model == model) {
        Some(price) => {
            cost.nano_usd = Some(cost.nano_usd.unwrap_or_default().saturating_add(price.of(usage)));
        }
        None => cost.unpriced += 1,
    }
}

#[cfg(test)]
mod tests;
