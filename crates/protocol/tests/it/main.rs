//! The wire format as a client sees it: golden files, an independent reader, properties, and the JSON Schema.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the lints spare `#[test]` functions, but not what they call"
)]

mod close_codes;
mod commands;
mod golden;
mod properties;
mod samples;
mod schema;
mod sse;
mod websocket;
