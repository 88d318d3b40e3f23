//! What a program with workflows needs: `use streamnest::prelude::*;`.

pub use std::sync::Arc;

pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};
pub use streamnest_core::{
    Delivery, Event, EventType, ExecutionId, Priority, ScopeExt, Signal, Status, TokenDelta,
};
pub use streamnest_gateway::{StreamingWebSocketGateway, WebSocketBridgeService, WebSocketError};
pub use streamnest_macros::{
    State, injectable, module, node, stream_all, stream_event, stream_progress, stream_token, workflow,
};
pub use streamnest_models::{
    ChatModel, ChatModelExt, ChatRequest, Delta, OfflineModel, OfflineOptions, ScriptedModel,
};
pub use streamnest_modules::{Injectable, Module, ModuleDefinition, Provider, ProviderScope, Scoped};
pub use streamnest_runtime::{
    Batching, Emit, EventStreamProcessorService, FilterCriteria, Goto, NodeContext, NodeError, NodeResult,
    Observable, ProgressMetadata, Question, Run, StreamHandler, StreamUpdate, Subscriber, Subscription,
    TextMeter, TokenMetadata, TokenOptions, TokenStreamingError, TokenStreamingService, ViewError,
    WithWorkflows,
};

pub use crate::{App, StreamingError, StreamingModule, StreamingOptions, Streamnest};
