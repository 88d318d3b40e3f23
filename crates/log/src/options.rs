//! The bounds of the logs.

use std::time::Duration;

use serde::Deserialize;
use streamnest_core::duration;

use crate::Error;

/// The bounds of all logs of one [`Registry`](crate::Registry).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LogOptions {
    /// What is kept of each execution in memory.
    pub retention: Retention,
    /// Entries that a log keeps at hand in front of its store; older ones are read back from it. Default 4,096: a
    /// minute of a fast model, so that a reader who reconnects is served from memory.
    pub hot_entries: usize,
    /// Bytes of entries that a stream which is no execution keeps at hand in front of its store, and at least the newest
    /// entry. Default 1 MiB.
    pub hot_bytes: usize,
    /// Bytes of entries that may wait for the store to make them durable before a producer waits. Default 1 MiB.
    pub max_pending_bytes: usize,
    /// The largest payload of one event, in bytes. Default 256 KiB, the most that one read returns by default.
    pub max_event_bytes: usize,
    /// Logs that are kept at once, running and finished. When it is reached the oldest finished one is evicted.
    /// Default 16,384.
    pub max_logs: usize,
    /// Bytes that all logs may keep together. When they keep more, finished ones are evicted, oldest first, and when the
    /// running ones alone keep more, no log is made. Default 1 GiB.
    pub max_total_bytes: usize,
    /// How long a finished log is kept. Default 1 h.
    #[serde(deserialize_with = "duration::deserialize")]
    pub finished_ttl: Duration,
    /// How long a stream that nobody uses stays in memory in front of a store that keeps it. Default 60 s. When there is no room,
    /// those that were used last the longest ago leave before.
    #[serde(deserialize_with = "duration::deserialize")]
    pub stream_idle_ttl: Duration,
    /// Readers that may wait at once for logs that do not exist yet. Default 4,096.
    pub max_waiters: usize,
    /// Named subscriptions that one log remembers an acknowledged position for. Default 256.
    pub max_subscriptions: usize,
    /// Those of them that one user has named, where clients are asked who they are. Default 64.
    pub max_subscriptions_per_user: usize,
    /// How long a named subscription is remembered that nobody uses, once others need its place. Default 7 days.
    #[serde(deserialize_with = "duration::deserialize")]
    pub subscription_ttl: Duration,
    /// Attributes that one log has at most: producers, named subscriptions, keys of `emit_once` and more. Default 16,384.
    pub max_attributes: usize,
    /// Bytes that the keys and values of one log's attributes take at most. Default 2 MiB.
    pub max_attribute_bytes: usize,
    /// How far behind the tail, in entries, a reader may be before it is moved past at-most-once entries. Default
    /// 1,024.
    pub at_most_once_lag: u64,
    /// Logs that one fan-in cursor follows at once. Default 16,384.
    pub max_fan_in: usize,
    /// Readers that an append wakes itself; more are woken by [`Registry::maintain`](crate::Registry::maintain), after all
    /// writers that are ready have written. Default 0: an append costs the same however many read, and a thousand runs
    /// with a reader each take turns by the batch.
    pub wake_inline: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            hot_entries: 4_096,
            hot_bytes: 1 << 20,
            max_pending_bytes: 1 << 20,
            max_event_bytes: 256 << 10,
            max_logs: 16_384,
            max_total_bytes: 1 << 30,
            finished_ttl: Duration::from_secs(3600),
            stream_idle_ttl: Duration::from_secs(60),
            max_waiters: 4_096,
            max_subscriptions: 256,
            max_subscriptions_per_user: 64,
            subscription_ttl: Duration::from_secs(7 * 24 * 3600),
            max_attributes: 16_384,
            max_attribute_bytes: 2 << 20,
            at_most_once_lag: 1_024,
            max_fan_in: 16_384,
            wake_inline: 0,
        }
    }
}

/// What is kept of an execution in memory: the newest entries within all three bounds. Beyond them it is forgotten, and a
/// [`Gap`](crate::Gap) to whoever has not read it; but a store that outlives the process keeps all of an execution, for as long as
/// its own options say, and then `max_bytes` alone counts, and what is beyond it is read back.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Retention {
    /// Entries. Default 262,144.
    pub max_entries: u64,
    /// Bytes of memory, payloads and encodings together. Default 64 MiB.
    pub max_bytes: usize,
    /// Age. Default 24 h.
    #[serde(deserialize_with = "duration::deserialize")]
    pub max_age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { max_entries: 262_144, max_bytes: 64 << 20, max_age: Duration::from_secs(24 * 3600) }
    }
}

/// Writes a setter for each field.
macro_rules! setters {
    ($type:ident { $($setter:ident $field:ident: $value:ty,)* }) => {
        impl $type {
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
    LogOptions {
        with_retention retention: Retention,
        with_hot_entries hot_entries: usize,
        with_hot_bytes hot_bytes: usize,
        with_max_pending_bytes max_pending_bytes: usize,
        with_max_event_bytes max_event_bytes: usize,
        with_max_logs max_logs: usize,
        with_max_total_bytes max_total_bytes: usize,
        with_finished_ttl finished_ttl: Duration,
        with_stream_idle_ttl stream_idle_ttl: Duration,
        with_max_waiters max_waiters: usize,
        with_max_subscriptions max_subscriptions: usize,
        with_max_subscriptions_per_user max_subscriptions_per_user: usize,
        with_subscription_ttl subscription_ttl: Duration,
        with_max_attributes max_attributes: usize,
        with_max_attribute_bytes max_attribute_bytes: usize,
        with_at_most_once_lag at_most_once_lag: u64,
        with_max_fan_in max_fan_in: usize,
        with_wake_inline wake_inline: usize,
    }
}

setters! {
    Retention {
        with_max_entries max_entries: u64,
        with_max_bytes max_bytes: usize,
        with_max_age max_age: Duration,
    }
}

impl LogOptions {
    /// Checks that every bound leaves room to work.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] names the first bound that is zero.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            ("retention.max_entries", self.retention.max_entries == 0),
            ("retention.max_bytes", self.retention.max_bytes == 0),
            ("retention.max_age", self.retention.max_age.is_zero()),
            ("hot_entries", self.hot_entries == 0),
            ("hot_bytes", self.hot_bytes == 0),
            ("max_pending_bytes", self.max_pending_bytes == 0),
            ("max_event_bytes", self.max_event_bytes == 0),
            ("max_logs", self.max_logs == 0),
            ("max_total_bytes", self.max_total_bytes == 0),
        ];
        match checks.iter().find(|(_, bad)| *bad) {
            Some((option, _)) => Err(Error::InvalidOption { option }),
            None => Ok(()),
        }
    }
}
