//! Positions, in each syntax that there is: the native protocol's, a remembered event's, and the Durable Streams protocol's.

use proptest::prelude::*;
use streamnest::core::{Epoch, Position, Seq};
use streamnest_protocol::{durable::Offset, native::StartAt};

use super::{
    Verdict,
    damage::{damaged, damages},
    fuzz,
};

/// Positions and words, whole and damaged.
pub(super) fn texts() -> impl Strategy<Value = String> {
    let edges =
        [0, 1, 9, 10, (1 << 53) - 1, 1 << 53, 9_999_999_999_999_999, 10_000_000_000_000_000, u64::MAX];
    let number = || prop_oneof![prop::sample::select(edges.to_vec()), any::<u64>(), 0..10_u64.pow(16)];
    let position = (number(), number()).prop_map(|(epoch, seq)| format!("{epoch:016}_{seq:016}"));
    let word = prop::sample::select(vec!["start", "now", "-1", "0", "", "NOW", "-0", "-01", "end", "0_0"]);
    let whole = prop_oneof![6 => position, 2 => word.prop_map(String::from), 1 => any::<String>()];
    (whole, damages(2)).prop_map(|(text, damages)| damaged(&text, &damages))
}

/// What `docs/protocol.md` says of a position: two numbers of 16 digits, the second at most 2^53 - 1, and epoch 0 only before the
/// first entry.
pub(super) fn read(text: &str) -> Option<(u64, u64)> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes[at].is_ascii_digit().then(|| u64::from(bytes[at] - b'0'));
    let number = |from: usize| (from..from + 16).try_fold(0, |sum, at| Some(sum * 10 + digit(at)?));
    if bytes.len() != 33 || bytes[16] != b'_' {
        return None;
    }
    let (epoch, seq): (u64, u64) = (number(0)?, number(17)?);
    (seq < 1 << 53 && (epoch > 0 || seq == 0)).then_some((epoch, seq))
}

fn position((epoch, seq): (u64, u64)) -> Position {
    match epoch {
        0 => Position::BEFORE_FIRST,
        _ => Position::new(Epoch::new(epoch), Seq::try_from(seq).unwrap()),
    }
}

#[test]
fn a_text_is_a_position_in_each_syntax_just_if_it_is_written_as_the_page_says() {
    fuzz("positions", 5_000, &texts(), |text| {
        let legal = read(&text).map(position);
        prop_assert_eq!(text.parse::<Position>().ok(), legal);
        if let Some(position) = legal {
            prop_assert_eq!(position.to_string(), &*text);
        }
        let json = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(serde_json::from_str::<Position>(&json).ok(), legal);
        let native = match &*text {
            "start" => Some(StartAt::Start),
            "now" => Some(StartAt::Now),
            _ => legal.map(StartAt::After),
        };
        prop_assert_eq!(text.parse::<StartAt>().ok(), native);
        let offset = match (&*text, legal) {
            ("-1", _) | (_, Some(Position::BEFORE_FIRST)) => Some(Offset::Beginning),
            ("now", _) => Some(Offset::Now),
            (_, legal) => legal.map(Offset::After),
        };
        let read = text.parse::<Offset>();
        if let Err(refused) = &read {
            let message = refused.to_string();
            prop_assert!(message.len() < 500 && !message.chars().any(char::is_control), "{:?}", message);
        }
        prop_assert_eq!(read.ok(), offset);
        Ok(Verdict::of(legal.is_some()))
    });
}
