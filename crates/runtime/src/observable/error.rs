//! Why a view ended early, or has a hole.

use std::sync::Arc;

use streamnest_core::ExecutionId;
use streamnest_log::Gap;

use crate::NodeError;

/// What a view missed. It goes on after it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Missed {
    /// A range of entries of one execution.
    Entries {
        /// The execution.
        execution: ExecutionId,
        /// The range, and why.
        gap: Gap,
    },
    /// Executions that a view over many does not follow, because it follows as many as it may.
    Executions {
        /// How many since this was told last.
        count: u64,
    },
    /// What one execution says from here on, because its log cannot be read any more. A view over many goes on.
    Unreadable {
        /// The code of the error, which the server's trace tells whole.
        code: &'static str,
    },
}

/// Why a view cannot be had, ended early, or has a hole.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// There is no execution of that id.
    #[error("there is no execution `{id}` to be viewed; start it first, or check the id")]
    UnknownExecution {
        /// The id.
        id: ExecutionId,
    },
    /// A stream's reader missed something; the stream goes on.
    #[error("view missed {}; read sooner, or raise the bounds of `LogOptions::retention`", describe(.0))]
    Missed(Missed),
    /// A function of the chain or the subscriber itself panicked.
    #[error("subscriber `{subscriber}` panicked, so its subscription ended; the log and everyone else go on")]
    SubscriberPanicked {
        /// The subscriber's name.
        subscriber: String,
    },
    /// Items have more keys than groups may be open.
    #[error(
        "items have more than {limit} keys, the limit of this `group_by`; raise it, or use a coarser key"
    )]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// Groups that nobody hears yet were to keep more items than they may.
    #[error(
        "groups that nobody hears keep {limit} items, as many as they may; call `for_each` on each group when it is given, or drop it"
    )]
    UnheardGroups {
        /// The limit.
        limit: usize,
    },
    /// A handler went on failing.
    #[error(
        "handler failed {attempts} times for one item, the last time: {error}; subscribe again from the position before it"
    )]
    HandlerGaveUp {
        /// How often it was tried.
        attempts: u32,
        /// What it said last. It is no [`Error`](std::error::Error) itself; what caused it is its [`source`](NodeError::source).
        error: Arc<NodeError>,
    },
    /// A criterion or option makes no sense.
    #[error("`{option}` is {value}; it must be {legal}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is legal.
        legal: &'static str,
    },
    /// A node has a name that is none.
    #[error(transparent)]
    Name(#[from] streamnest_core::Error),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] streamnest_log::Error),
}

fn describe(missed: &Missed) -> String {
    match missed {
        Missed::Entries { execution, gap } => {
            format!("entries {} to {} of execution `{execution}` ({})", gap.from, gap.to, gap.reason.as_str())
        }
        Missed::Executions { count } => {
            format!("{count} executions, because it follows `LogOptions::max_fan_in` others")
        }
        Missed::Unreadable { code } => {
            format!("the rest of an execution, whose log is unreadable (`{code}`)")
        }
    }
}

impl ViewError {
    /// A stable identifier, listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownExecution { .. } => "unknown_execution",
            Self::Missed(_) => "view_missed",
            Self::SubscriberPanicked { .. } => "subscriber_panicked",
            Self::TooManyGroups { .. } => "too_many_groups",
            Self::UnheardGroups { .. } => "unheard_groups",
            Self::HandlerGaveUp { .. } => "handler_gave_up",
            Self::Option { .. } => "invalid_option",
            Self::Name(error) => error.code(),
            Self::Log(error) => error.code(),
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Missed(_) | Self::HandlerGaveUp { .. } => true,
            Self::Log(error) => error.is_retryable(),
            _ => false,
        }
    }
}
