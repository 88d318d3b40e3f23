//! What a token may be used for.

use std::{fmt, str::FromStr};

use crate::Error;

/// What a token may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum Scope {
    /// `read`: list and follow executions and streams.
    Read = 1,
    /// `start`: start executions, and answer what they ask.
    Start = 2,
    /// `cancel`: stop executions, and forget those that have ended.
    Cancel = 4,
    /// `produce`: make executions and streams from outside, and append to them.
    Produce = 8,
    /// `admin`: everything within the tenant, whatever the patterns say.
    Admin = 16,
    /// `operate`: see how the whole server fares, which is more than any tenant; nothing else.
    Operate = 32,
}

impl Scope {
    const ALL: [Self; 6] = [Self::Read, Self::Start, Self::Cancel, Self::Produce, Self::Admin, Self::Operate];

    /// The word in a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Start => "start",
            Self::Cancel => "cancel",
            Self::Produce => "produce",
            Self::Admin => "admin",
            Self::Operate => "operate",
        }
    }
}

impl FromStr for Scope {
    type Err = Error;

    /// The word in a token.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], which has the words that there are.
    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or_else(|| Error::InvalidOption {
            option: "authentication.default_scopes",
            reason: format!("names {word:?}; legal are {}", Self::ALL.map(Self::as_str).join(", ")),
        })
    }
}

/// Several of them.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scopes(u8);

impl Scopes {
    pub(crate) fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |all, scope| all | *scope as u8))
    }

    pub(crate) const fn has(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }
}

/// Words that are none of ours are other programs'.
impl<'a> FromIterator<&'a str> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'a str>>(words: I) -> Self {
        let known = |word: &str| Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
        Self(words.into_iter().filter_map(known).fold(0, |all, scope| all | scope as u8))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::as_str))
            .finish()
    }
}
