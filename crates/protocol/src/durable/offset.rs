//! Where a reader begins.

use std::str::FromStr;

use streamnest_core::Position;

use super::error::{Invalid, cut};

/// A reader's offset (§8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offset {
    /// `-1`, or all zeros: before the first message.
    Beginning,
    /// `now`: after the last message there is.
    Now,
    /// After a position that was handed out.
    After(Position),
}

impl FromStr for Offset {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "-1" => Ok(Self::Beginning),
            "now" => Ok(Self::Now),
            _ => match text.parse() {
                Ok(Position::BEFORE_FIRST) => Ok(Self::Beginning),
                Ok(position) => Ok(Self::After(position)),
                Err(_) => Err(Invalid::Offset { text: cut(text) }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use streamnest_core::{Epoch, Seq};

    use super::*;

    #[test]
    fn sentinels_and_positions_are_offsets() {
        assert_eq!("-1".parse(), Ok(Offset::Beginning));
        assert_eq!("0000000000000000_0000000000000000".parse(), Ok(Offset::Beginning));
        assert_eq!("now".parse(), Ok(Offset::Now));
        let position = Position::new(Epoch::new(7), Seq::FIRST);
        assert_eq!(position.to_string().parse(), Ok(Offset::After(position)));
    }

    #[test]
    fn anything_else_is_none() {
        for text in
            ["", "-2", "NOW", "0,1", "0 1", "../7", "0000000000000007_1", "9999999999999999_9999999999999999"]
        {
            assert!(matches!(text.parse::<Offset>(), Err(Invalid::Offset { .. })), "{text}");
        }
    }
}
