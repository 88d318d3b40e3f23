//! How long a stream lives (§5.1).

use std::time::Duration;

use streamnest_core::{Lifetime, Timestamp};

use super::{Invalid, header};

/// The longest time-to-live: a hundred years, in seconds.
const MAX_SECONDS: u64 = 100 * 366 * 86_400;

/// Reads the two headers, of which one may be there.
///
/// # Errors
/// [`Invalid::Header`], [`Invalid::Headers`].
pub fn parse(ttl: Option<&str>, expires_at: Option<&str>) -> Result<Option<Lifetime>, Invalid> {
    match (ttl, expires_at) {
        (Some(_), Some(_)) => Err(Invalid::Headers {
            reason: "`Stream-TTL` and `Stream-Expires-At` exclude each other; send one",
        }),
        (Some(ttl), None) => {
            let legal = "whole seconds in decimal, without sign or leading zeros, at most a hundred years";
            let is_decimal = !ttl.is_empty() && ttl.bytes().all(|byte| byte.is_ascii_digit());
            let is_plain = is_decimal && (ttl == "0" || !ttl.starts_with('0'));
            let seconds = if is_plain { ttl.parse::<u64>().ok() } else { None };
            let seconds = seconds.filter(|seconds| *seconds <= MAX_SECONDS);
            let seconds = seconds.ok_or_else(|| Invalid::header(header::TTL, ttl, legal))?;
            Ok(Some(Lifetime::Sliding(Duration::from_secs(seconds))))
        }
        (None, Some(text)) => {
            let legal = "a time as in RFC 3339, for example 2030-01-31T12:00:00Z";
            let time = Timestamp::from_rfc3339(text);
            Ok(Some(Lifetime::Until(time.ok_or_else(|| Invalid::header(header::EXPIRES_AT, text, legal))?)))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_headers_says_how_long_a_stream_lives() {
        assert_eq!(parse(None, None), Ok(None));
        assert_eq!(parse(Some("3600"), None), Ok(Some(Lifetime::Sliding(Duration::from_secs(3600)))));
        assert_eq!(parse(Some("0"), None), Ok(Some(Lifetime::Sliding(Duration::ZERO))));
        let until = parse(None, Some("1970-01-01T01:00:01.5+01:00"));
        assert_eq!(until, Ok(Some(Lifetime::Until(Timestamp::from_micros(1_500_000)))));
        assert!(parse(Some("1"), Some("2030-01-31T12:00:00Z")).is_err());
    }

    #[test]
    fn a_time_to_live_is_written_in_one_way() {
        for ttl in
            ["", "-1", "+1", "01", "00", "1.0", "1e3", "abc", " 1", "99999999999", "99999999999999999999"]
        {
            assert!(parse(Some(ttl), None).is_err(), "{ttl}");
        }
    }
}
