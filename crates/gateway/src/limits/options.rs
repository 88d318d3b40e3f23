//! How often clients may do what they do.

use std::time::Duration;

use crate::Error;

/// The longest window, a day.
const MAX_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// The most that may be allowed within a window.
const MAX_COUNT: u32 = 100_000_000;

/// How often clients may do what they do, within a window of time. What is `None` is not limited.
///
/// Whoever was quiet for a window has all of it again; whoever used it up gets it back evenly over a window. A refusal says
/// when to come back: over HTTP 429 with `Retry-After`, over WebSocket by `retryAfterMs`.
///
/// A user is a principal, or where nobody is asked who they are, an address. An address is one of IPv4, or a /64 network of
/// IPv6, which is what one subscriber has.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RateLimitOptions {
    /// The window. Default 60 s, at most a day.
    pub window: Duration,
    /// WebSockets and event streams that one address may open. Default 600: a classroom behind one address, each of them with
    /// a page that comes back.
    pub max_connections: Option<u32>,
    /// Messages that one WebSocket may send, pings included. A refused one is answered by an error, and a connection that
    /// goes on regardless is closed with 4429. Default 6,000: an acknowledgement for each of 100 entries a second.
    pub max_requests_per_connection: Option<u32>,
    /// HTTP requests and WebSocket messages of one user. Default 30,000. What is refused for its host or origin does not count,
    /// nor does what browsers ask first (CORS): that costs the server next to nothing, and a page elsewhere would use up what the
    /// user's own pages have.
    pub max_requests_per_user: Option<u32>,
    /// Executions that one user may start or make. Default 600.
    pub max_executions_per_user: Option<u32>,
    /// Bytes of logs that one user may read again each second, over all its connections. Readers over WebSocket and as event
    /// streams, those of `/v1/stream` too, are slowed down to it, and other reads refused. As much as a second allows, or
    /// [`max_write_bytes`](crate::GatewayOptions::max_write_bytes) if that is more, may come at once; a read of more than that is
    /// made good before the next. What comes live in small pieces is not counted. Default 32 MiB.
    pub replay_bytes_per_second: Option<u32>,
    /// Addresses and users that each of the limits remembers at once; beyond it newcomers share one place. Default 65,536,
    /// which takes about 5 MiB for each limit.
    pub max_keys: usize,
}

impl Default for RateLimitOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            max_connections: Some(600),
            max_requests_per_connection: Some(6_000),
            max_requests_per_user: Some(30_000),
            max_executions_per_user: Some(600),
            replay_bytes_per_second: Some(32 << 20),
            max_keys: 65_536,
        }
    }
}

/// Writes a setter for each field.
macro_rules! setters {
    ($($setter:ident $field:ident: $value:ty,)*) => {
        impl RateLimitOptions {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(self, $field: $value) -> Self {
                    Self { $field, ..self }
                }
            )*
        }
    };
}

setters! {
    with_window window: Duration,
    with_max_connections max_connections: Option<u32>,
    with_max_requests_per_connection max_requests_per_connection: Option<u32>,
    with_max_requests_per_user max_requests_per_user: Option<u32>,
    with_max_executions_per_user max_executions_per_user: Option<u32>,
    with_replay_bytes_per_second replay_bytes_per_second: Option<u32>,
    with_max_keys max_keys: usize,
}

impl RateLimitOptions {
    /// Only the window, and nothing limited within it yet: a gateway takes it with at least one limit.
    pub fn unlimited() -> Self {
        Self {
            max_connections: None,
            max_requests_per_connection: None,
            max_requests_per_user: None,
            max_executions_per_user: None,
            replay_bytes_per_second: None,
            ..Self::default()
        }
    }

    /// Checks every option.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let invalid = |option, reason: String| Err(Error::InvalidOption { option, reason });
        if self.window < Duration::from_millis(1) || self.window > MAX_WINDOW {
            return invalid(
                "rate_limit.window",
                format!("is {:?}, outside 1 ms to {MAX_WINDOW:?}", self.window),
            );
        }
        if self.max_keys == 0 {
            return invalid(
                "rate_limit.max_keys",
                "is zero, which leaves no room; leave it out for its default".into(),
            );
        }
        let counts = [
            ("rate_limit.max_connections", self.max_connections),
            ("rate_limit.max_requests_per_connection", self.max_requests_per_connection),
            ("rate_limit.max_requests_per_user", self.max_requests_per_user),
            ("rate_limit.max_executions_per_user", self.max_executions_per_user),
        ];
        if self.replay_bytes_per_second.is_none() && counts.iter().all(|(_, count)| count.is_none()) {
            let reason = "limits nothing; give at least one of `max_connections`, `max_requests_per_connection`, \
                          `max_requests_per_user`, `max_executions_per_user` and `replay_bytes_per_second`, or leave it out";
            return invalid("rate_limit", reason.into());
        }
        for (option, count) in counts {
            if count.is_some_and(|count| count == 0 || count > MAX_COUNT) {
                return invalid(option, format!("is outside 1 to {MAX_COUNT}; leave it out for no limit"));
            }
        }
        if self.replay_bytes_per_second.is_some_and(|bytes| bytes < 1 << 10) {
            let reason = "is under the least of 1,024 bytes; leave it out for no limit".into();
            return invalid("rate_limit.replay_bytes_per_second", reason);
        }
        Ok(())
    }
}
