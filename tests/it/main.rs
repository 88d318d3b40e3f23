//! Behaviour across crates: an application of this process, clients over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "these are tests"
)]

mod asks;
mod batching;
mod config;
mod cost;
mod cuts;
mod damaged;
mod delivery;
mod descriptors;
mod disconnect;
mod drain;
mod echo;
mod encrypted;
mod endings;
mod examples;
mod flags;
mod full;
mod fuzz;
mod half_open;
mod modes;
mod modules;
mod once;
mod operator;
mod options;
mod origins;
mod outside;
mod races;
mod restart;
mod services;
mod shutdown;
mod soak;
mod stalled;
mod stopping;
mod storm;
mod strangers;
mod tokens;
mod traces;
