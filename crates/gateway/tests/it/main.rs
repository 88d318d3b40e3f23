//! The gateway as its clients see it: real sockets, and an engine that does what a test tells it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "clippy knows the test functions as tests, and not what they share"
)]

mod access;
mod attacks;
mod auth;
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
mod withheld;
