//! What a log may refuse.

use streamnest_core::{LogName, Position, Seq, StoreError};

/// Why a log did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is a log of that name already.
    #[error("there is a log `{name}` already; choose another name")]
    AlreadyExists {
        /// Its name.
        name: LogName,
    },
    /// As many logs are kept as may be, and none of them has ended.
    #[error(
        "{limit} executions are running, the limit of `LogOptions::max_logs`; raise it, or try again later"
    )]
    TooManyLogs {
        /// The limit.
        limit: usize,
    },
    /// The logs keep as much as they may together, and none of them has ended.
    #[error(
        "running executions keep more than {limit} bytes, the limit of `LogOptions::max_total_bytes`; raise it, or try again later"
    )]
    TooMuchKept {
        /// The limit, in bytes.
        limit: usize,
    },
    /// As many readers wait for logs that do not exist yet as may.
    #[error("{limit} readers wait for executions that do not exist, the limit of `LogOptions::max_waiters`")]
    TooManyWaiters {
        /// The limit.
        limit: usize,
    },
    /// A log remembers as many named subscriptions as it may.
    #[error(
        "execution has {limit} named subscriptions, the limit of `LogOptions::max_subscriptions`; reuse a name, or delete one"
    )]
    TooManySubscriptions {
        /// The limit.
        limit: usize,
    },
    /// One user has named as many subscriptions of a log as it may.
    #[error(
        "you have {limit} named subscriptions of this execution, the limit of `LogOptions::max_subscriptions_per_user`; reuse a name, or delete one"
    )]
    TooManySubscriptionsOfUser {
        /// The limit.
        limit: usize,
    },
    /// A named subscription is somebody else's.
    #[error(
        "subscription `{subscription}` is somebody else's; choose another name, or use a token that may cancel the execution"
    )]
    SubscriptionOfAnother {
        /// Its name.
        subscription: String,
    },
    /// A log has as many attributes as it may.
    #[error("log has {limit} attributes, the limit of `LogOptions::max_attributes`; remove some first")]
    TooManyAttributes {
        /// The limit.
        limit: usize,
    },
    /// A log's attributes take as many bytes as they may.
    #[error(
        "log's attributes take {limit} bytes, the limit of `LogOptions::max_attribute_bytes`; remove some first"
    )]
    AttributesTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// There is no stream of that name.
    #[error("there is no stream `{name}`; make it first")]
    UnknownStream {
        /// The name of its log.
        name: LogName,
    },
    /// The stream was deleted, and lives on unseen for those that were forked from it.
    #[error("stream `{name}` was deleted; it is kept for its forks only")]
    StreamDeleted {
        /// The name of its log.
        name: LogName,
    },
    /// An execution cannot be deleted while it runs.
    #[error("`{name}` is an execution that still runs; close it first")]
    StillRunning {
        /// The name of its log.
        name: LogName,
    },
    /// There is a stream of that name that is not the one to be made.
    #[error(
        "there is a stream `{name}` of another content type, lifetime, source or state already; choose another name, or delete it first"
    )]
    StreamExists {
        /// The name of its log.
        name: LogName,
    },
    /// As many streams are kept as may be.
    #[error(
        "{limit} streams are kept, the limit of `StreamOptions::max_streams`; delete some, or give them a lifetime"
    )]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
    /// One user has made as many streams as it may have.
    #[error(
        "you have {limit} streams, the limit of `StreamOptions::max_streams_per_user`; delete some, or give them a lifetime"
    )]
    TooManyStreamsOfUser {
        /// The limit.
        limit: usize,
    },
    /// A stream takes nothing more.
    #[error("stream is closed and takes nothing more; append to another one")]
    StreamClosed,
    /// A writer's own sequence does not go on.
    #[error(
        "`Stream-Seq` is not greater than the last one, compared as bytes; this was appended before or out of order"
    )]
    SequenceRegression,
    /// A producer was replaced by a newer session of itself.
    #[error(
        "producer is fenced off by its epoch {epoch}; stop it, or go on with a greater epoch from sequence 0"
    )]
    ProducerFenced {
        /// The newest epoch.
        epoch: u64,
    },
    /// A producer left requests out.
    #[error("producer sent sequence {received} where {expected} was to come; send that first")]
    ProducerGap {
        /// The sequence that was to come.
        expected: u64,
        /// The sequence that came.
        received: u64,
    },
    /// A producer's new session does not begin at its beginning.
    #[error("producer's epoch {epoch} is new and has to begin with sequence 0")]
    ProducerEpochStart {
        /// The new epoch.
        epoch: u64,
    },
    /// A stream remembers as many producers as it may.
    #[error(
        "stream has {limit} producers, the limit of `StreamOptions::max_producers`; go on with one of their ids"
    )]
    TooManyProducers {
        /// The limit.
        limit: usize,
    },
    /// One append is over the limit.
    #[error(
        "append has {size} bytes, over the limit of {limit}; send less at once, or raise `StreamOptions::max_append_bytes`"
    )]
    AppendTooLarge {
        /// Its size, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A stream holds as much as it may.
    #[error(
        "stream may not hold more than {limit} bytes, the limit of `StreamOptions::max_stream_bytes`; begin another one"
    )]
    StreamFull {
        /// The limit, in bytes.
        limit: u64,
    },
    /// All streams together hold as much as they may.
    #[error(
        "streams may not hold more than {limit} bytes together, the limit of `StreamOptions::max_total_bytes` or of `LogOptions::max_total_bytes` in memory; delete some"
    )]
    StreamsFull {
        /// The limit, in bytes.
        limit: u64,
    },
    /// A position is of another incarnation of the log.
    #[error("position {position} is of another incarnation of this stream; read from the start")]
    StalePosition {
        /// The position.
        position: Position,
    },
    /// A position was never handed out.
    #[error("position {position} is beyond the end, which is {tail}")]
    BeyondEnd {
        /// The position.
        position: Position,
        /// The end.
        tail: Position,
    },
    /// The entries asked for are no longer kept.
    #[error("what follows that position is no longer kept; read on after {first}")]
    Trimmed {
        /// Before the first entry that is kept.
        first: Position,
    },
    /// The entries asked for are kept, but not as they were written.
    #[error("what follows that position is damaged and is not served; read on after {first}")]
    Damaged {
        /// After the last entry that is damaged.
        first: Position,
    },
    /// The stream that is to be forked was deleted.
    #[error("stream `{name}` was deleted, so it cannot be forked any more; fork one of its forks")]
    ForkSourceDeleted {
        /// The name of its log.
        name: LogName,
    },
    /// A fork is to have another content type than its source.
    #[error("stream's content type is `{kept}`; send that, or leave it out where it is inherited")]
    ContentTypeMismatch {
        /// The content type of the source.
        kept: String,
    },
    /// A fork is to begin past the append in which it is to begin.
    #[error(
        "sub-offset {sub_offset} is past the end of the append that follows the offset; take the next offset"
    )]
    ForkSubOffset {
        /// The sub-offset.
        sub_offset: u64,
    },
    /// A fork of a fork of a fork, and so on.
    #[error(
        "stream is a fork of {limit} others, the limit of `StreamOptions::max_fork_depth`; fork one of those"
    )]
    ForkTooDeep {
        /// The limit.
        limit: usize,
    },
    /// An acknowledgement is ahead of the log.
    #[error("sequence {seq} cannot be acknowledged, the log ends at {last}")]
    AcknowledgedAhead {
        /// The sequence that was acknowledged.
        seq: Seq,
        /// The last visible entry.
        last: Seq,
    },
    /// An event is too large.
    #[error(
        "event is {size} bytes, over the limit of {limit} bytes; raise `LogOptions::max_event_bytes` or send a reference"
    )]
    EventTooLarge {
        /// The size of its payload, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The log takes no more entries.
    #[error("execution has ended at sequence {last} and takes no more entries")]
    Sealed {
        /// Its last entry.
        last: Seq,
    },
    /// The log was removed before it ended.
    #[error("execution was removed from the registry before it ended; start a new one")]
    Removed,
    /// A bound leaves no room to work.
    #[error("option `{option}` is zero, which leaves no room; leave it out for its default")]
    InvalidOption {
        /// The option.
        option: &'static str,
    },
    /// A filter names what cannot be an event type or a node.
    #[error(transparent)]
    Filter(streamnest_core::Error),
    /// The store refused or broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// A stable identifier, listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlreadyExists { .. } => "conflict",
            Self::TooManyLogs { .. } => "too_many_executions",
            Self::TooMuchKept { .. } => "too_many_bytes",
            Self::TooManyWaiters { .. } => "too_many_waiters",
            Self::TooManySubscriptions { .. } => "too_many_subscription_names",
            Self::TooManySubscriptionsOfUser { .. } => "too_many_subscription_names_of_user",
            Self::SubscriptionOfAnother { .. } => "subscription_of_another",
            Self::TooManyAttributes { .. } | Self::AttributesTooLarge { .. } => "too_many_attributes",
            Self::UnknownStream { .. } => "unknown_stream",
            Self::StreamDeleted { .. } | Self::ForkSourceDeleted { .. } => "stream_deleted",
            Self::StillRunning { .. } => "still_running",
            Self::StreamExists { .. } => "stream_exists",
            Self::TooManyStreams { .. } => "too_many_streams",
            Self::TooManyStreamsOfUser { .. } => "too_many_streams_of_user",
            Self::StreamClosed => "stream_closed",
            Self::SequenceRegression => "sequence_regression",
            Self::ProducerFenced { .. } => "producer_fenced",
            Self::ProducerGap { .. } => "producer_gap",
            Self::ProducerEpochStart { .. } => "producer_epoch_start",
            Self::TooManyProducers { .. } => "too_many_producers",
            Self::AppendTooLarge { .. } => "append_too_large",
            Self::StreamFull { .. } => "stream_full",
            Self::StreamsFull { .. } => "streams_full",
            Self::StalePosition { .. } => "stale_position",
            Self::BeyondEnd { .. } => "position_beyond_end",
            Self::Trimmed { .. } => "trimmed",
            Self::Damaged { .. } => "damaged",
            Self::ContentTypeMismatch { .. } => "content_type_mismatch",
            Self::ForkSubOffset { .. } => "fork_sub_offset",
            Self::ForkTooDeep { .. } => "fork_too_deep",
            Self::AcknowledgedAhead { .. } => "acknowledged_ahead",
            Self::EventTooLarge { .. } => "event_too_large",
            Self::Sealed { .. } => "sealed",
            Self::Removed => "removed",
            Self::InvalidOption { .. } => "invalid_option",
            Self::Filter(_) => "invalid_filter",
            Self::Store(error) => error.code(),
        }
    }

    /// Whether there is no room for another attribute, while those that the log has may go on.
    pub const fn refuses_attributes(&self) -> bool {
        matches!(
            self,
            Self::TooManyAttributes { .. }
                | Self::AttributesTooLarge { .. }
                | Self::Store(streamnest_core::StoreError::IndexFull { .. })
        )
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::TooManyLogs { .. } | Self::TooMuchKept { .. } | Self::TooManyWaiters { .. } => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }
}
