//! Durations as people write them: a whole number and a unit, such as `30s`.

use std::{fmt, time::Duration};

use serde::{Deserializer, de};

/// The units, longest first, and how many nanoseconds each has.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads `250ms`, `30s`, `24h`.
///
/// ```
/// use std::time::Duration;
/// use streamnest_core::duration::parse;
///
/// assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
/// assert!(parse("250").unwrap_err().contains("a number and a unit"));
/// ```
///
/// # Errors
/// What is wrong with it, and what is legal.
pub fn parse(text: &str) -> Result<Duration, String> {
    let at = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let legal = || {
        let units = UNITS.map(|(unit, _)| unit).join(", ");
        format!("`{text}` is no time; write a number and a unit, such as \"30s\" (units: {units})")
    };
    let number: u64 = number.parse().map_err(|_| legal())?;
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(legal)?;
    number.checked_mul(*nanos).map(Duration::from_nanos).ok_or_else(legal)
}

/// Reads one from a file of options: `#[serde(deserialize_with = "streamnest_core::duration::deserialize")]`.
///
/// # Errors
/// As [`parse`], and if it is no text.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Text;
    impl de::Visitor<'_> for Text {
        type Value = Duration;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time with its unit, such as \"30s\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            parse(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text)
}
