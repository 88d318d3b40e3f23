//! The cursor of live reads (§10.1): it lets caches answer many readers at once, and never the same one forever.

use std::time::Duration;

use streamnest_core::Timestamp;

/// 2024-10-09T00:00:00Z, from which intervals are counted.
const EPOCH: Timestamp = Timestamp::from_micros(1_728_432_000_000_000);
/// How long an interval is.
const INTERVAL: Duration = Duration::from_secs(20);
/// The greatest jitter, in seconds.
const MAX_JITTER: u64 = 3_600;
/// The greatest cursor that is one: 2^53 − 1, so that every client can count it.
const MAX_CURSOR: u64 = (1 << 53) - 1;

/// The cursor of a response at `now` to a reader that echoed `echoed`. `random` is any number.
///
/// Never goes back: a reader that is not behind gets one that is 1 to 3,600 seconds of intervals further on. What is no
/// cursor is as if it were not there.
pub fn cursor(now: Timestamp, echoed: Option<&str>, random: u64) -> u64 {
    let current = now.since(EPOCH).as_secs() / INTERVAL.as_secs();
    let echoed =
        echoed.and_then(|text| text.parse().ok()).filter(|echoed: &u64| *echoed < MAX_CURSOR - MAX_JITTER);
    match echoed {
        Some(echoed) if echoed >= current => {
            let jitter = 1 + random % MAX_JITTER;
            echoed + (jitter / INTERVAL.as_secs()).max(1)
        }
        _ => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_counts_intervals_and_never_goes_back() {
        let now = Timestamp::from_micros(EPOCH.as_micros() + 1_000 * 20_000_000 + 1);
        assert_eq!(cursor(now, None, 0), 1_000);
        assert_eq!(cursor(now, Some("999"), 0), 1_000);
        for random in [0, 19, 20, 3_599, u64::MAX] {
            let next = cursor(now, Some("1000"), random);
            assert!((1_001..=1_180).contains(&next), "{random} gives {next}");
            assert!(cursor(now, Some(&next.to_string()), random) > next);
        }
        for text in ["", "x", "-1", "1e3", "18446744073709551615"] {
            assert_eq!(cursor(now, Some(text), 7), 1_000, "{text}");
        }
        assert_eq!(cursor(Timestamp::from_micros(0), None, 0), 0);
    }
}
