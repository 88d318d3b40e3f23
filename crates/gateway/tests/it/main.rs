//! The gateway as its clients see it: real sockets, and an engine that does what a test tells it.

mod close;
mod commands;
mod drain;
mod engine;
mod http;
mod limits;
mod mounted;
mod resume;
mod rubbish;
mod server;
mod socket;
mod sockets;
mod sse;
mod subscribe;
