//! The disk store, on real files and on files that fail on purpose.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the lints spare `#[test]` functions, but not what they call"
)]

mod conformance;
mod faults;
mod forgotten;
mod full;
mod index;
mod killed;
mod registry;
mod room;
mod simulated;
mod streams;
mod support;
mod torn;
