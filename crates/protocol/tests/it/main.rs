//! The wire format as a client sees it: golden files, an independent reader, properties, and the JSON Schema.

// The lints spare `#[test]` functions, but not what they call.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod close_codes;
mod commands;
mod golden;
mod properties;
mod samples;
mod schema;
mod sse;
mod websocket;
