//! What the tests across crates share: a server in this process, clients of every kind, and workflows that do what a
//! test needs.
//!
//! Everything goes through public interfaces and real sockets.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this package is tests")]

pub mod awake;
pub mod descriptors;
pub mod follower;
pub mod footprint;
pub mod http;
pub mod memory;
pub mod program;
pub mod proxy;
pub mod random;
pub mod server;
pub mod socket;
pub mod transcript;
pub mod unplugged;
pub mod watch;
pub mod workflows;
