//! The client against a scripted server over real sockets: cut, closed, silent, repeating itself, leaving things out.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the lints spare `#[test]` functions, but not what they call"
)]

mod ends;
mod heartbeats;
mod requests;
mod resume;
mod server;
mod tokens;
