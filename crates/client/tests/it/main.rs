//! The client against a scripted server over real sockets: cut, closed, silent, repeating itself, leaving things out.

// The lints spare `#[test]` functions, but not what they call.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod ends;
mod heartbeats;
mod requests;
mod resume;
mod server;
mod tokens;
