//! The ways to measure.

mod delivery;
mod idle;
mod resume;
mod stalled;
mod window;

use std::{
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    arguments::{Load, Mode},
    connection::Transport,
    error::Error,
    http::Fountain,
    report::Report,
    sequence::Faults,
    swarm::{Opening, Swarm},
    system,
};

/// Measures once.
pub(crate) fn run(mode: Mode, load: &Load) -> Result<Report, Error> {
    if load.transport == Transport::Sse && load.flush_window_ms.is_some() {
        return Err(Error::Usage("an event stream has no flush window; leave --flush-window-ms out"));
    }
    let connections = match mode {
        Mode::Stalled { stalled, .. } => load.connections + stalled,
        _ => load.connections,
    };
    // Some descriptors more for everything that is no connection.
    let wanted = u64::from(connections) + 64;
    let limit = system::raise_open_files().map_err(Error::system("raising the limit of open files"))?;
    if limit < wanted {
        return Err(Error::OpenFiles { wanted, limit });
    }
    let mut report = match mode {
        Mode::FanOut { executions } => delivery::run(load, executions.max(1)),
        Mode::Chat => delivery::run(load, load.connections),
        Mode::Idle { subscribe } => idle::run(load, subscribe),
        Mode::Stalled { stalled, receive_buffer } => stalled::run(load, stalled, receive_buffer),
        Mode::Resume { drops, seed } => resume::run(load, drops, seed),
    }?;
    report.mode = mode.name();
    report.transport = match load.transport {
        Transport::WebSocket => "ws",
        Transport::Sse => "sse",
    };
    Ok(report)
}

/// The id of the execution `number` of this run; no two runs use the same ones.
fn execution_id(number: u32) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("bench-{:x}-{:x}-{number}", process::id(), now.as_nanos())
}

/// A fountain of this load.
fn fountain(load: &Load, index: u32, tokens: u64) -> Fountain {
    Fountain {
        index,
        tokens,
        tokens_per_second: f64::from(load.rate),
        token_bytes: load.token_bytes,
        buffer_size: load.buffer_size,
    }
}

fn opening(load: &Load) -> Opening {
    Opening { transport: load.transport, receive_buffer: None }
}

fn seconds(seconds: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Error::Usage("a time must be a number of seconds, 0 or more"))
}

/// The faults of the connections `range` at the end of fountains of `tokens`, and the tokens that told gaps swallowed.
fn faults(swarm: &Swarm, range: std::ops::Range<usize>, tokens: u64) -> (Faults, u64) {
    let mut faults = Faults::default();
    let mut told = 0;
    for observed in range.filter_map(|at| swarm.observed(at)) {
        let (of_one, told_to_one) = observed.sequence.finish(tokens);
        faults.add(of_one);
        told += told_to_one;
    }
    (faults, told)
}
