//! The names of the protocol's headers, in lower case (§13.2).

/// The offset after what a response holds, or of the tail.
pub const NEXT_OFFSET: &str = "stream-next-offset";
/// The response holds all that there was.
pub const UP_TO_DATE: &str = "stream-up-to-date";
/// The stream is closed, or is to be.
pub const CLOSED: &str = "stream-closed";
/// What a live reader echoes as `cursor`.
pub const CURSOR: &str = "stream-cursor";
/// The sliding lifetime, in seconds.
pub const TTL: &str = "stream-ttl";
/// The absolute end of life, RFC 3339.
pub const EXPIRES_AT: &str = "stream-expires-at";
/// A writer's own sequence, compared as bytes.
pub const SEQ: &str = "stream-seq";
/// The path of the stream that a new one is forked from.
pub const FORKED_FROM: &str = "stream-forked-from";
/// Where the fork diverges.
pub const FORK_OFFSET: &str = "stream-fork-offset";
/// How far past that offset, in messages or bytes.
pub const FORK_SUB_OFFSET: &str = "stream-fork-sub-offset";
/// Who appends idempotently.
pub const PRODUCER_ID: &str = "producer-id";
/// The producer's session.
pub const PRODUCER_EPOCH: &str = "producer-epoch";
/// The how-manieth request of the session.
pub const PRODUCER_SEQ: &str = "producer-seq";
/// The request that was to come.
pub const PRODUCER_EXPECTED_SEQ: &str = "producer-expected-seq";
/// The request that came instead.
pub const PRODUCER_RECEIVED_SEQ: &str = "producer-received-seq";
/// How `data` events are encoded, where they are not text.
pub const SSE_DATA_ENCODING: &str = "stream-sse-data-encoding";

/// What a page of another origin may send.
pub const SENT: &[&str] = &[
    CLOSED,
    TTL,
    EXPIRES_AT,
    SEQ,
    FORKED_FROM,
    FORK_OFFSET,
    FORK_SUB_OFFSET,
    PRODUCER_ID,
    PRODUCER_EPOCH,
    PRODUCER_SEQ,
];

/// What such a page may read of a response, besides what every page may.
pub const READ: &[&str] = &[
    NEXT_OFFSET,
    UP_TO_DATE,
    CLOSED,
    CURSOR,
    TTL,
    EXPIRES_AT,
    PRODUCER_EPOCH,
    PRODUCER_SEQ,
    PRODUCER_EXPECTED_SEQ,
    PRODUCER_RECEIVED_SEQ,
    SSE_DATA_ENCODING,
];

/// Whether the value of [`CLOSED`] means it: only `true` does, in any case; any other is as if it were not there (§4.1).
pub fn is_closed(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_closes_a_stream() {
        for value in ["true", "TRUE", "True"] {
            assert!(is_closed(Some(value)), "{value}");
        }
        for value in ["false", "yes", "1", "", " true"] {
            assert!(!is_closed(Some(value)), "{value:?}");
        }
        assert!(!is_closed(None));
    }
}
