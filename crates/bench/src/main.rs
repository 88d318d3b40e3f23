//! `streamnest-bench`: measures a server of token fountains from the outside, over real sockets.
//!
//! One thread, epoll by hand and no JSON on the hot path: the generator shares its cores with the server, so that every
//! microsecond it spends is one that it takes away. Tokens are counted by the marker that each one carries, not by frames, and
//! every connection's markers are checked for loss, doubling and order. It depends on none of the other crates, so that it
//! cannot be wrong together with them.

mod arguments;
mod connection;
mod deflate;
mod error;
mod floor;
mod http;
mod marker;
mod meter;
mod modes;
mod process;
mod report;
mod sequence;
mod spread;
mod sse;
mod streams;
mod swarm;
mod system;
mod table;
mod target;
mod websocket;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use crate::{arguments::Command, error::Error};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::from(2)
        }
    }
}

/// Runs what the command line asks for; false when something was measured and did not hold.
fn run() -> Result<bool, Error> {
    match arguments::Arguments::parse().command {
        Command::Table(options) => table::run(&options),
        Command::Streams(options) => streams::run(&options).map(|()| true),
        Command::Deflate(options) => deflate::run(&options).map(|()| true),
        Command::Floor(options) => match floor::run_in_foreground(&options)? {},
        command => {
            let Some((mode, options)) = command.load() else { return Ok(true) };
            let report = modes::run(mode, &options)?;
            let line = serde_json::to_string(&report).map_err(Error::Report)?;
            writeln!(std::io::stdout(), "{line}").map_err(Error::Output)?;
            Ok(report.ok)
        }
    }
}
