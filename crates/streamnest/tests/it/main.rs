//! What needs the feature `otlp`: spans, as a collector gets them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "clippy knows the test functions as tests, and not what they share"
)]

mod by_environment;
mod collector;
mod spans;
