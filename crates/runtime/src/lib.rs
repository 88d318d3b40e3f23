//! Runs workflows: the graph, its nodes, and what they stream into the log of their execution.
//!
//! A [`Workflow`] is a value whose methods are nodes. The [`Engine`] runs them along the graph's edges, branches at the same
//! time. What a node says through its [`NodeContext`], and what models say that are called inside it, becomes entries of
//! the execution's log while the node runs: tokens are filtered, processed and batched as [`TokenOptions`] tell, events
//! chosen by [`EventOptions`], progress told by [`ProgressOptions`].
//!
//! Follow one token: [`NodeContext::token`] → `output` (its place among what the node says) → `output/token_buffer`
//! (filter, processor, batch) → [`streamnest_log::Writer`].

mod asks;
mod context;
mod contribution;
mod definition;
mod engine;
mod error;
mod event_processing;
mod execution;
mod fingerprint;
mod graph;
mod history;
mod observable;
mod options;
mod output;
mod plan;
mod price;
mod question;
pub mod reduce;
mod run;
mod scheduler;
mod source;
mod state;
mod stopwatch;
mod stream_handler;
mod tasks;
mod token_streaming;
mod workflow;

pub use context::{Emit, Message, NodeContext, Quantity, TokenItem, stream_tokens};
pub use contribution::{FeatureOptions, WithWorkflows, WorkflowContribution};
pub use engine::{Engine, EngineBuilder, EngineOptions};
pub use error::{Error, NodeError, NodeResult};
pub use event_processing::{
    AggregatedEvents, EventCounts, EventStreamProcessorOptions, EventStreamProcessorService,
};
pub use graph::Graph;
pub use observable::{
    Batching, FilterCriteria, Group, Items, Missed, Observable, StreamUpdate, Subscriber, Subscription,
    ViewError,
};
pub use options::{
    EventFilter, EventOptions, Granularity, ProgressFormat, ProgressMetadata, ProgressOptions, TokenFilter,
    TokenFormat, TokenMetadata, TokenOptions,
};
pub use price::ModelPrice;
pub use question::Question;
pub use reduce::Reducer;
pub use run::{Events, EventsError, Run, RunError};
pub use state::{InputError, InputReader, SchemaBuilder, State, StateUpdate};
pub use stream_handler::{StreamHandler, TextMeter, TextStatistics};
pub use token_streaming::{
    ActiveTokenStream, TokenStatistics, TokenStream, TokenStreamingError, TokenStreamingOptions,
    TokenStreamingService,
};
pub use workflow::{
    ConditionOutcome, Goto, ItemList, NodeBuilder, NodeKind, NodeOutcome, Pick, RetryOn, RetryOptions, Step,
    Workflow, WorkflowBuilder, items,
};
