//! Where an entry stands in its log, and where a reader does.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The number of an entry in its log: dense, 1, 2, 3 …; 0 is before the first.
///
/// At most 2^53 − 1, so that a JSON number holds it exactly (RFC 8259 §6). Only a log's writer assigns one, by
/// counting on with [`next`](Self::next).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Seq(u64);

impl Seq {
    /// Before the first entry.
    pub const BEFORE_FIRST: Self = Self(0);
    /// The first entry.
    pub const FIRST: Self = Self(1);
    /// The largest sequence number, 2^53 − 1.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The sequence number after this one.
    ///
    /// # Panics
    /// After 2^53 − 1 entries in one log, which at a million a second takes 285 years.
    #[must_use]
    pub const fn next(self) -> Self {
        assert!(self.0 < Self::MAX.0, "a log holds at most 2^53 - 1 entries");
        Self(self.0 + 1)
    }

    /// The sequence number `count` entries further on, at most [`Seq::MAX`].
    #[must_use]
    pub fn forward(self, count: u64) -> Self {
        Self(self.0.saturating_add(count).min(Self::MAX.0))
    }

    /// How many entries lie after `earlier`, up to and including this one; 0 if `earlier` is not earlier.
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Seq {
    type Error = Error;
    fn try_from(number: u64) -> Result<Self, Error> {
        if number > Self::MAX.0 {
            return Err(Error::SeqTooLarge { number });
        }
        Ok(Self(number))
    }
}

impl From<Seq> for u64 {
    fn from(seq: Seq) -> u64 {
        seq.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The incarnation of a log's content, at most 16 decimal digits and never 0.
///
/// It changes whenever entries that were visible may be gone, so that a [`Seq`] is never reused with other
/// content within one epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Epoch(u64);

impl Epoch {
    const MAX: u64 = 9_999_999_999_999_999;

    /// Makes an epoch of a number from 1 to 9,999,999,999,999,999; larger ones wrap around to stay in range.
    ///
    /// A store that forgets takes the microseconds since 1970 at which it was made.
    pub const fn new(number: u64) -> Self {
        Self(if number == 0 { 1 } else { (number - 1) % Self::MAX + 1 })
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The fencing number of a log's writer: an append by an older term than the newest seen is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Term(pub u64);

impl Term {
    /// The first writer's term.
    pub const FIRST: Self = Self(1);
}

/// A point in one log: after the entry `seq` of the incarnation `epoch`.
///
/// On the wire it is `<epoch, 16 digits>_<seq, 16 digits>`, zero-padded, so that it sorts as text in log order.
/// Clients only echo it. It is no secret and grants nothing.
///
/// ```
/// use streamnest_core::{Epoch, Position, Seq};
/// let position = Position::new(Epoch::new(7), Seq::FIRST);
/// assert_eq!(position.to_string(), "0000000000000007_0000000000000001");
/// assert_eq!("0000000000000000_0000000000000000".parse(), Ok(Position::BEFORE_FIRST));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    epoch: u64,
    seq: Seq,
}

impl Position {
    /// Before the first entry of any log, all zeros.
    pub const BEFORE_FIRST: Self = Self { epoch: 0, seq: Seq::BEFORE_FIRST };
    /// The length of the wire form, in bytes.
    pub const TEXT_LENGTH: usize = 33;

    /// After the entry `seq` of `epoch`.
    pub const fn new(epoch: Epoch, seq: Seq) -> Self {
        Self { epoch: epoch.0, seq }
    }

    /// The incarnation, or `None` for [`Position::BEFORE_FIRST`], which is of every one.
    pub const fn epoch(self) -> Option<Epoch> {
        if self.epoch == 0 { None } else { Some(Epoch(self.epoch)) }
    }

    /// The last entry before this point.
    pub const fn seq(self) -> Seq {
        self.seq
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}_{:016}", self.epoch, self.seq.0)
    }
}

impl FromStr for Position {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let (epoch, seq) = text.split_once('_')?;
            let number = |part: &str| -> Option<u64> {
                let digits = part.len() == 16 && part.bytes().all(|b| b.is_ascii_digit());
                if digits { part.parse().ok() } else { None }
            };
            let (epoch, seq) = (number(epoch)?, Seq::try_from(number(seq)?).ok()?);
            // Epoch 0 exists only as "before the first".
            if epoch == 0 && seq != Seq::BEFORE_FIRST { None } else { Some(Self { epoch, seq }) }
        };
        parse().ok_or_else(|| Error::Position { text: text.chars().take(64).collect() })
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back_what_they_write_and_sort_as_text() {
        let epoch = Epoch::new(1_795_000_000_000_000);
        let texts: Vec<String> =
            [1, 2, 9, 10, 99, 1_000_000].map(|n| Position::new(epoch, Seq(n)).to_string()).into();
        assert!(texts.is_sorted());
        for text in texts {
            assert_eq!(text.len(), Position::TEXT_LENGTH);
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_malformed_position_is_refused() {
        for text in [
            "",
            "1_1",
            "0000000000000001-0000000000000001",
            "0000000000000000_0000000000000001",
            "0000000000000001_9999999999999999",
            "+000000000000001_0000000000000001",
            "0000000000000001_0000000000000001_",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_epoch_is_never_zero() {
        assert_eq!(Epoch::new(0).get(), 1);
        assert_eq!(Epoch::new(Epoch::MAX + 1).get(), 1);
        assert_eq!(Epoch::new(Epoch::MAX).get(), Epoch::MAX);
    }
}
