//! Why a token stream did not do what it was asked.

use std::sync::Arc;

use streamnest_core::{ControlError, ExecutionId, NodeName, WorkflowName};

/// Why a token stream did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenStreamingError {
    /// A node has a name that is none.
    #[error(transparent)]
    Name(#[from] streamnest_core::Error),
    /// The options of a stream make no sense.
    #[error(transparent)]
    TokenOptions(Arc<crate::Error>),
    /// A bound of the service leaves no room to work.
    #[error("option `{option}` is zero, which leaves no room; leave it out for its default")]
    Option {
        /// The option.
        option: &'static str,
    },
    /// No stream of that node is open.
    #[error(
        "no token stream of node `{node}` of execution `{execution}` is open; open one by `initialize_token_stream`"
    )]
    NotOpen {
        /// The execution.
        execution: ExecutionId,
        /// The node.
        node: NodeName,
    },
    /// A stream of that node is open already.
    #[error("a token stream of node `{node}` of execution `{execution}` is open; use it, or close it first")]
    AlreadyOpen {
        /// The execution.
        execution: ExecutionId,
        /// The node.
        node: NodeName,
    },
    /// The workflow of the execution has a node of that name, or one around it.
    #[error(
        "node `{node}` of execution `{execution}` is one of its workflow `{workflow}`, whose text a stream beside it would mix \
         with; choose another name, or stream by `ctx.token` in the node"
    )]
    NodeOfWorkflow {
        /// The execution.
        execution: ExecutionId,
        /// Its workflow.
        workflow: WorkflowName,
        /// The name.
        node: NodeName,
    },
    /// The stream was silent for too long and was closed.
    #[error(
        "token stream of node `{node}` of execution `{execution}` was silent for `TokenStreamingOptions::stale_after` and \
         was closed; open it again, or raise the option"
    )]
    Stale {
        /// The execution.
        execution: ExecutionId,
        /// The node.
        node: NodeName,
    },
    /// The function that maps tokens panicked. Its token went on as it was, and the stream was closed.
    #[error("processor of node `{node}` panicked, so its token stream was closed")]
    ProcessorPanicked {
        /// The node.
        node: NodeName,
    },
    /// A message was begun while as many were open as may be. The stream was closed.
    #[error(
        "token stream of node `{node}` has {limit} messages open, the limit of `EngineOptions::max_open_messages`, so it was \
         closed; end some first, or raise it"
    )]
    TooManyMessages {
        /// The node.
        node: NodeName,
        /// The limit.
        limit: usize,
    },
    /// As many streams are open as may be.
    #[error(
        "{limit} token streams are open, the limit of `TokenStreamingOptions::max_streams`; close some, or raise it"
    )]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
    /// The streams of an execution have named as many nodes as they may.
    #[error(
        "token streams of execution `{execution}` have named {limit} nodes, the limit of `TokenStreamingOptions::max_nodes`; \
         use a name again, or raise it"
    )]
    TooManyNodes {
        /// The execution.
        execution: ExecutionId,
        /// The limit.
        limit: usize,
    },
    /// The execution cannot be opened.
    #[error(transparent)]
    Execution(#[from] ControlError),
    /// The execution's log takes nothing more.
    #[error(transparent)]
    Log(#[from] streamnest_log::Error),
}

impl TokenStreamingError {
    /// A stable identifier, listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(error) => error.code(),
            Self::TokenOptions(error) => error.code(),
            Self::Option { .. } => "invalid_option",
            Self::NotOpen { .. } => "token_stream_not_open",
            Self::AlreadyOpen { .. } => "token_stream_already_open",
            Self::NodeOfWorkflow { .. } => "node_of_workflow",
            Self::Stale { .. } => "token_stream_stale",
            Self::ProcessorPanicked { .. } => "processor_panicked",
            Self::TooManyMessages { .. } => "too_many_open_messages",
            Self::TooManyStreams { .. } => "too_many_token_streams",
            Self::TooManyNodes { .. } => "too_many_token_nodes",
            Self::Execution(error) => error.code(),
            Self::Log(error) => error.code(),
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::TooManyStreams { .. } => true,
            Self::Execution(error) => error.is_retryable(),
            Self::Log(error) => error.is_retryable(),
            _ => false,
        }
    }
}
