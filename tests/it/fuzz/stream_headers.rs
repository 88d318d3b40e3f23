//! The values of the headers of streams, beside readers that are written from the protocol's text and the RFCs that it names.

use std::time::Duration;

use proptest::{prelude::*, sample::Index};
use streamnest::core::{ExecutionId, Lifetime, Timestamp};
use streamnest_protocol::durable::{ContentType, Target, etag, header, lifetime, producer};

use super::{
    Verdict,
    damage::{damaged, damages},
    fuzz,
};

/// Good values of all the headers, which also come where they do not belong.
const VALUES: &[&str] = &[
    "0",
    "1",
    "00",
    "3600",
    "3162240000",
    "3162240001",
    "9007199254740991",
    "9007199254740992",
    "18446744073709551616",
    "worker-1",
    "true",
    "True",
    "false",
    "2030-01-31T12:00:00Z",
    "2028-02-29t23:59:60.123456789+05:30",
    "1970-01-01 00:00:00-00:00",
    "9999-12-31T23:59:59Z",
    "2100-02-29T00:00:00Z",
    "application/json",
    "Text/Plain; charset=utf-8",
    "application/octet-stream",
    "a/b;c=\"d;e\"",
    "\"a\"",
    "W/\"a\"",
    "\"b\", \"a\"",
    "*",
    "a",
    "a/b",
    "executions/run-1",
    "executions/a%2Fb",
    "%61/%2e%2e",
    "__ds/x",
    "caf%C3%A9",
    "",
];

fn value() -> impl Strategy<Value = String> {
    let whole = any::<Index>().prop_map(|which| (*which.get(VALUES)).to_owned());
    let whole = prop_oneof![12 => whole, 1 => any::<u64>().prop_map(|number| number.to_string()), 1 => any::<String>()];
    (whole, damages(2)).prop_map(|(text, damages)| damaged(&text, &damages))
}

/// A whole number in decimal, at most `most`.
pub(super) fn number(text: &str, most: u64) -> Option<u64> {
    let digit = |sum: u128, byte: u8| {
        byte.is_ascii_digit().then(|| (sum * 10 + u128::from(byte - b'0')).min(1 << 70))
    };
    let number = text.bytes().try_fold(0, digit).filter(|_| !text.is_empty())?;
    u64::try_from(number).ok().filter(|number| *number <= most)
}

/// RFC 3339 §5.6, with the calendar counted day by day.
fn time(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let two = |at: usize| number(std::str::from_utf8(bytes.get(at..at + 2)?).ok()?, 99);
    let is = |at: usize, legal: &[u8]| bytes.get(at).is_some_and(|byte| legal.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let (mut at, mut micros) = (19, 0);
    if is(at, b".") {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let fraction = bytes[at + 1..].iter().take(digits).chain([b'0'; 6].iter()).take(6);
        micros = fraction.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        at += 1 + digits;
    }
    let offset = match bytes.get(at)? {
        b'Z' | b'z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && is(at + 3, b":") => {
            let (hours, minutes) = (two(at + 1)?, two(at + 4)?);
            let seconds = i64::try_from(hours * 3600 + minutes * 60).unwrap();
            if hours > 23 || minutes > 59 {
                return None;
            }
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = |year, month| match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(is_leap(year)),
        _ => 31,
    };
    if !(1..=12).contains(&month)
        || !(1..=length(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // Years before 1970 have no time but what an offset brings over their end.
    let years = if year < 1969 { return None } else { 1969..year };
    let days = years.map(|year| 365 + u64::from(is_leap(year))).sum::<u64>()
        + (1..month).map(|month| length(year, month)).sum::<u64>()
        + day
        - 1;
    let days = i64::try_from(days).unwrap() - 365;
    let of_day = i64::try_from(hour * 3600 + minute * 60 + second).unwrap();
    u64::try_from((days * 86_400 + of_day - offset) * 1_000_000 + micros).ok()
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// The bytes of a path, percent-encoding undone.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// Where a path leads: to nothing, to an execution or to a stream of that name.
fn target(text: &str) -> Option<Result<String, String>> {
    let path = decoded(text).filter(|path| path.len() <= 480 && !path.chars().any(char::is_control))?;
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().any(|segment| ["", ".", ".."].contains(segment)) || segments[0] == "__ds" {
        return None;
    }
    let is_id = |id: &str| {
        id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:~".contains(&byte))
    };
    match &segments[..] {
        ["executions", id] => is_id(id).then(|| Ok((*id).into())),
        ["executions", ..] => None,
        _ => Some(Err(path)),
    }
}

#[test]
fn the_headers_of_streams_mean_what_their_specifications_say_and_nothing_else_is_taken() {
    let values = (value(), value(), value());
    fuzz("stream_headers", 4_000, &values, |(one, two, three)| {
        const MOST: u64 = (1 << 53) - 1;
        let legal = (1..=256)
            .contains(&one.len())
            .then(|| Some((number(&two, MOST)?, number(&three, MOST)?)))
            .flatten();
        let read = producer::parse(Some(&one), Some(&two), Some(&three));
        let read = read.map(|producer| producer.unwrap());
        prop_assert_eq!(read.as_ref().ok().map(|producer| (producer.epoch, producer.seq)), legal);
        prop_assert!(read.is_err() || read.is_ok_and(|producer| *producer.id == *one));
        prop_assert!(producer::parse(Some(&one), Some(&two), None).is_err());

        let century = 100 * 366 * 86_400;
        let seconds = number(&one, century).filter(|_| one == "0" || !one.starts_with('0'));
        let sliding = seconds.map(|seconds| Some(Lifetime::Sliding(Duration::from_secs(seconds))));
        prop_assert_eq!(lifetime::parse(Some(&one), None).ok(), sliding);
        let until = time(&one).map(|micros| Some(Lifetime::Until(Timestamp::from_micros(micros))));
        prop_assert_eq!(lifetime::parse(None, Some(&one)).ok(), until);

        let media = one.split(';').next().unwrap_or_default().trim();
        let is_printable = one.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte));
        let is_media =
            media.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
        let content_type = ContentType::new(&one);
        prop_assert_eq!(content_type.is_ok(), is_media && is_printable && one.len() <= 256);
        if let Ok(content_type) = &content_type {
            prop_assert_eq!(&ContentType::new(content_type.as_str()).unwrap(), content_type);
            prop_assert_eq!(content_type.is_json(), media.eq_ignore_ascii_case("application/json"));
        }

        let leads = target(&one);
        let read = match Target::new(&one) {
            Ok(Target::Execution(id)) => Some(Ok(id.to_string())),
            Ok(Target::Stream(path)) => Some(Err(path.as_str().to_owned())),
            Err(_) => None,
        };
        prop_assert_eq!(&read, &leads);
        if let Some(Ok(id)) = read {
            prop_assert!(ExecutionId::new(&id).is_ok());
        }

        let is_named =
            one.trim() == "*" || one.split(',').any(|tag| ["\"a\"", "W/\"a\""].contains(&tag.trim()));
        prop_assert_eq!(etag::is_match(&one, "\"a\""), is_named);
        prop_assert_eq!(header::is_closed(Some(&one)), one.to_lowercase() == "true" && one.is_ascii());
        let is_something = legal.is_some()
            || seconds.is_some()
            || until.is_some()
            || content_type.is_ok()
            || leads.is_some()
            || is_named;
        Ok(Verdict::of(is_something))
    });
}
