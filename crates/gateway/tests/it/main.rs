//! The gateway as its clients see it: real sockets, and an engine that does what a test tells it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "clippy knows the test functions as tests, and not what they share"
)]

// First, for macros are known only to what follows.
#[macro_use]
#[path = "../../../../tests/src/forward.rs"]
mod forward;

mod access;
mod attacks;
mod auth;
#[expect(unreachable_pub, reason = "it is public where it stands, among what the tests across crates share")]
#[path = "../../../../tests/src/awake.rs"]
mod awake;
mod close;
mod commands;
mod compact;
mod compression;
mod cors;
mod drain;
mod durable;
mod engine;
mod heads;
mod http;
mod http2;
mod key_urls;
mod limits;
mod metrics;
mod mounted;
mod rates;
mod resume;
mod rubbish;
mod server;
mod shares;
mod socket;
mod sockets;
mod sse;
mod subscribe;
mod tls;
mod token;
#[expect(unreachable_pub, reason = "as `awake`")]
#[path = "../../../../tests/src/unplugged.rs"]
mod unplugged;
mod withheld;
