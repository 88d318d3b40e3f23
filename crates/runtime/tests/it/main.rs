//! What the runtime promises, through its public interface.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the lints spare `#[test]` functions, but not what they call"
)]

// First, for macros are known only to what follows.
#[macro_use]
#[path = "../../../../tests/src/forward.rs"]
mod forward;

mod asks;
mod branches;
mod cancel;
mod engine;
mod event_processing;
mod events;
mod graph;
mod items;
mod load;
mod moments;
mod nodes;
mod observables;
mod operators;
mod panics;
mod progress;
mod property;
mod reference;
mod retry;
mod scope;
mod stores;
mod stream_handler;
mod subgraph;
mod support;
mod threads;
mod token_streaming;
mod tokens;
mod wrong;
