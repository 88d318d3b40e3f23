//! Points in time, and where they come from.

use std::{cell::Cell, fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A point in time, in whole microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Displayed as RFC 3339 in UTC with six decimals: `2026-11-21T05:29:39.000042Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The length of the RFC 3339 form, in bytes.
    pub const TEXT_LENGTH: usize = 27;

    /// The point `micros` microseconds after 1970.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time that has passed since `earlier`, zero if it has not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The point `duration` later, at most the last one there is.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Reads an RFC 3339 date and time, from 1970 on: `2030-01-31T12:00:00.5+01:00`. What is finer than a microsecond is
    /// cut off. `None` if it is none.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', 't', ' '])?;
        let split = time.find(['Z', 'z', '+', '-'])?;
        let (time, zone) = time.split_at(split);
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let is_date = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        // A leap second is the first one of the next minute here.
        if !is_date || hour > 23 || minute > 59 || second > 60 || !is_digits(fraction) {
            return None;
        }
        let micros = fraction
            .bytes()
            .chain([b'0'; 6])
            .take(6)
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let offset = match zone.split_at(1) {
            ("Z" | "z", "") => 0,
            (sign @ ("+" | "-"), zone) => {
                let [hours, minutes] = numbers(zone, ':', [2, 2])?;
                let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
                if sign == "+" { seconds } else { -seconds }
            }
            _ => return None,
        };
        let seconds =
            days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        u64::try_from(seconds * 1_000_000 + micros).ok().map(Self)
    }

    /// This point in RFC 3339, as ASCII. Years after 9999 are shown as 9999.
    pub fn to_rfc3339(self) -> [u8; Self::TEXT_LENGTH] {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        // Frames that follow each other say times of one second.
        let (known, mut text) = LAST_SECOND.get();
        if known != Some(seconds) {
            text = Self::second_to_rfc3339(seconds);
            LAST_SECOND.set((Some(seconds), text));
        }
        write_pairs(&mut text, [20, 22, 24], [micros / 10_000, micros / 100 % 100, micros % 100]);
        text
    }

    fn second_to_rfc3339(seconds: u64) -> [u8; Self::TEXT_LENGTH] {
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let year = year.min(9999);
        let pairs = [year / 100, year % 100, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60];
        write_pairs(&mut text, [0, 2, 5, 8, 11, 14, 17], pairs);
        text
    }
}

thread_local! {
    /// The second that was written last, and its text.
    static LAST_SECOND: Cell<(Option<u64>, [u8; Timestamp::TEXT_LENGTH])> =
        const { Cell::new((None, [0; Timestamp::TEXT_LENGTH])) };
}

/// Writes numbers of two digits to their places.
fn write_pairs<const N: usize>(text: &mut [u8], places: [usize; N], pairs: [u64; N]) {
    for (at, pair) in places.into_iter().zip(pairs) {
        if let Some([tens, ones]) = text.get_mut(at..at + 2) {
            (*tens, *ones) = (b'0' + (pair / 10) as u8, b'0' + (pair % 10) as u8);
        }
    }
}

/// Year, month and day of a day count since 1970; the proleptic Gregorian calendar by Howard Hinnant's
/// `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>), for days that are not negative.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// The day count since 1970 of a date; the same author's `days_from_civil`, for years that are not negative.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Numbers of fixed widths with a separator between them.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == width && is_digits(part))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_rfc3339()).unwrap_or_default())
    }
}

/// Where the time comes from, so that tests can hold it.
///
/// Only wall time: what is measured or waited for uses the async runtime's own clock, which tests can pause.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc3339() {
        // Checked against `date -u -d @N`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_795_238_979, "2026-11-21T05:29:39.000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(Timestamp::from_micros(seconds * 1_000_000).to_string(), text);
        }
        assert_eq!(Timestamp::from_micros(42).to_string(), "1970-01-01T00:00:00.000042Z");
    }

    #[test]
    fn rfc3339_reads_back_and_zones_count() {
        for micros in [0, 42, 951_782_400_000_000, 1_795_238_979_123_456, 4_107_542_399_999_999] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::from_rfc3339(&time.to_string()), Some(time));
        }
        let read = |text| Timestamp::from_rfc3339(text).map(Timestamp::as_micros);
        assert_eq!(read("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(read("1969-12-31t23:30:00.25-00:45"), Some(900_250_000));
        assert_eq!(read("1970-01-01 00:00:60Z"), Some(60_000_000));
        assert_eq!(read("1970-01-01T00:00:00.0000019z"), Some(1));
    }

    #[test]
    fn what_is_no_rfc3339_is_refused() {
        for text in [
            "",
            "now",
            "2030-01-31",
            "2030-01-31T12:00:00",
            "2030-02-29T00:00:00Z",
            "2030-13-01T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:00Z",
            "2030-1-1T00:00:00Z",
            "2030-01-01T00:00:00.Z",
            "2030-01-01T00:00:00+1",
            "2030-01-01T00:00:00+25:00",
            "1969-12-31T23:59:59Z",
            "2030-01-01T00:00:00Zx",
            "2030-01-01T00:00:00é",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }
}
