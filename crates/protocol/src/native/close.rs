//! Why a server closes a WebSocket, and what a client does then.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The codes with which a server closes a connection. A connection that ends early is never closed with 1000.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
#[non_exhaustive]
pub enum CloseCode {
    /// Whole: everything that was owed has been sent, or the client closed.
    Normal = 1000,
    /// The server drains or restarts.
    GoingAway = 1001,
    /// A message of the client is over the limit.
    TooLarge = 1009,
    /// Too many frames that could not be read.
    TooManyBadFrames = 4400,
    /// The token is missing, bad or expired.
    Unauthenticated = 4401,
    /// The origin or the action is forbidden.
    Forbidden = 4403,
    /// No authentication within the deadline.
    AuthenticationTimeout = 4408,
    /// A newer connection of the same user took this one's place.
    Replaced = 4409,
    /// A rate or connection limit was reached.
    RateLimited = 4429,
    /// The client answered no ping in time.
    PongTimeout = 4440,
    /// The client made no progress reading.
    SlowReader = 4441,
}

/// What a client does after a connection has ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reconnect {
    /// Nothing: the same would happen again.
    No,
    /// Connects again after a jittered backoff, and resumes from its position.
    Jittered,
    /// Connects again once it has a new token.
    WithNewToken,
    /// Connects again after the time that the close reason names; see [`CloseCode::retry_after`].
    AfterDelay,
}

/// The reason of a close with [`CloseCode::RateLimited`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetryAfter {
    retry_after_ms: u64,
}

impl CloseCode {
    /// Every code, in ascending order.
    pub const ALL: [Self; 11] = [
        Self::Normal,
        Self::GoingAway,
        Self::TooLarge,
        Self::TooManyBadFrames,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::AuthenticationTimeout,
        Self::Replaced,
        Self::RateLimited,
        Self::PongTimeout,
        Self::SlowReader,
    ];

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The code of a number; `None` for one that Streamnest does not send.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// What it means, in words that fit a close reason.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Normal => "everything that was owed has been sent",
            Self::GoingAway => "server drains or restarts; resume elsewhere",
            Self::TooLarge => "message is over the limit",
            Self::TooManyBadFrames => "too many bad frames",
            Self::Unauthenticated => "token is missing, bad or expired",
            Self::Forbidden => "origin or action is forbidden",
            Self::AuthenticationTimeout => "no authentication within the deadline",
            Self::Replaced => "replaced by a newer connection of the same user",
            Self::RateLimited => "rate or connection limit was reached",
            Self::PongTimeout => "no pong within the timeout",
            Self::SlowReader => "made no progress reading; resume from the last position",
        }
    }

    /// What a client does then.
    pub const fn reconnect(self) -> Reconnect {
        match self {
            Self::Normal | Self::TooLarge | Self::TooManyBadFrames | Self::Forbidden | Self::Replaced => {
                Reconnect::No
            }
            Self::GoingAway | Self::AuthenticationTimeout | Self::PongTimeout | Self::SlowReader => {
                Reconnect::Jittered
            }
            Self::Unauthenticated => Reconnect::WithNewToken,
            Self::RateLimited => Reconnect::AfterDelay,
        }
    }

    /// The reason to close with [`CloseCode::RateLimited`]: `{"retryAfterMs":1500}`.
    pub fn retry_after_reason(delay: Duration) -> String {
        let retry_after_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        serde_json::to_string(&RetryAfter { retry_after_ms }).unwrap_or_default()
    }

    /// The time that such a reason names; `None` if it names none.
    pub fn retry_after(reason: &str) -> Option<Duration> {
        let reason: RetryAfter = serde_json::from_str(reason).ok()?;
        Some(Duration::from_millis(reason.retry_after_ms))
    }
}

impl Reconnect {
    /// What a client does after a close with `code`, also one that Streamnest does not send itself; `None` is a
    /// connection that ended without a close frame.
    ///
    /// The codes by which a WebSocket library says that the two sides cannot speak with each other (RFC 6455 §7.4.1:
    /// 1002, 1003, 1007, 1008, 1010) would come again. Everything else is taken for an accident of the network or of
    /// something in between.
    pub fn after(code: Option<u16>) -> Self {
        match (code, code.and_then(CloseCode::from_code)) {
            (_, Some(known)) => known.reconnect(),
            (Some(1002 | 1003 | 1007 | 1008 | 1010), None) => Self::No,
            _ => Self::Jittered,
        }
    }
}
