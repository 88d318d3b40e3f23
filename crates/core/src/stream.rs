//! What a stream of the Durable Streams protocol has besides its messages.

use std::{sync::Arc, time::Duration};

use crate::Timestamp;

/// How long a stream lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lifetime {
    /// Until nobody has read or written it for that long.
    Sliding(Duration),
    /// Until then.
    Until(Timestamp),
}

/// One request of an idempotent producer: the same request twice is appended once, and an older session is fenced off by
/// a newer one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Producer {
    /// Who, across restarts.
    pub id: Arc<str>,
    /// The session, which only grows; at most 2^53 − 1.
    pub epoch: u64,
    /// The how-manieth request of the session, from 0; at most 2^53 − 1.
    pub seq: u64,
}
