//! What generated code names. Not part of the public interface: it changes with the macros.

pub use serde;
pub use serde_json;
pub use streamnest_core::{Delivery, EventType, OnDisconnect, Priority};
pub use streamnest_macros::workflow_configured;
pub use streamnest_modules::{Given, Injectable, Module, ModuleDefinition, Provider, ProviderScope};
pub use streamnest_runtime::{
    EventFilter, EventOptions, Granularity, InputError, InputReader, NodeBuilder, NodeContext, NodeKind,
    NodeResult, ProgressFormat, ProgressOptions, Reducer, RetryOn, RetryOptions, SchemaBuilder, State,
    StateUpdate, TokenFilter, TokenFormat, TokenOptions, WithWorkflows, Workflow, WorkflowBuilder, items,
    reduce, stream_tokens,
};
