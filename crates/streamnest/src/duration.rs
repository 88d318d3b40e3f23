//! Durations as people write them.

use std::time::Duration;

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
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
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
