//! The log through its public interface.

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

mod acknowledging;
mod attributes;
mod cancelling;
mod conformance;
mod durability;
mod durable;
mod encoding;
mod fan_in;
mod gaps;
mod model;
mod pace;
mod registry;
mod retention;
mod slow_store;
mod stress;
mod support;
mod waking;
