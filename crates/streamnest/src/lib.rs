#![doc = include_str!("../../../README.md")]
//!
//! ---
//!
//! This crate is the facade and the place where the parts are put together. A program depends on it alone:
//! [`prelude`] has what a workflow needs, [`Streamnest`] builds the [`App`] that runs it.

mod app;
mod error;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod prelude;
#[doc(hidden)]
pub mod private;
mod server;
mod store;
mod streaming;

#[doc(hidden)]
pub use private as __private;

pub use app::{App, AppBuilder, Streamnest};
pub use error::{Error, StreamingError};
pub use server::{LogFormat, ServerFlags, TokenFlags};
pub use streaming::{
    AuthOptions, CorsOptions, HeartbeatOptions, OptionName, StreamingModule, StreamingOptions,
    WebSocketOptions,
};
pub use streamnest_core as core;
pub use streamnest_gateway as gateway;
pub use streamnest_log as log;
pub use streamnest_log_disk as log_disk;
pub use streamnest_macros::{
    State, injectable, module, node, stream_all, stream_event, stream_progress, stream_token, workflow,
};
pub use streamnest_models as models;
pub use streamnest_modules as modules;
pub use streamnest_runtime as runtime;
pub use streamnest_runtime::FeatureOptions;

/// The guide's snippets, compiled and run with the documentation's examples.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/asking-people.md")]
    struct AskingPeople;
    #[doc = include_str!("../../../docs/guide/attributes.md")]
    struct Attributes;
    #[doc = include_str!("../../../docs/guide/first-workflow.md")]
    struct FirstWorkflow;
    #[doc = include_str!("../../../docs/guide/modules.md")]
    struct Modules;
    #[doc = include_str!("../../../docs/operation.md")]
    struct Operation;
    #[doc = include_str!("../../../docs/guide/services.md")]
    struct Services;
    #[doc = include_str!("../../../docs/guide/state-and-routes.md")]
    struct StateAndRoutes;
}
