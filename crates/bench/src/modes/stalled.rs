//! Connections that never read beside others that do.

use std::time::{Duration, Instant};

use super::window::Window;
use crate::{
    arguments::Load,
    connection::Observed,
    error::Error,
    http::Control,
    report::{Report, Stalled},
    swarm::{Opening, Subscription, Swarm},
    target::Target,
};

/// The length of the run unless it is given.
const TOKENS: u64 = 20_000;

/// How long the run, and then the rest of the stalled ones, may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn run(load: &Load, stalled: u32, receive_buffer: u32) -> Result<Report, Error> {
    let tokens = load.tokens.unwrap_or(TOKENS);
    let target = Target::of(load, 256 << 20)?;
    let mut control = Control::connect(target.address)?;
    let mut swarm = Swarm::new(target.address)?;
    let readers = load.connections as usize;
    let all = readers + stalled as usize;
    let opening = super::opening(load);
    let stalled_opening = Opening { receive_buffer: Some(receive_buffer), ..opening };
    swarm.open(readers, opening)?;
    swarm.open(stalled as usize, stalled_opening)?;

    let id = super::execution_id(0);
    let before = target.memory()?;
    let window = Window::open(&target, &mut swarm.meter)?;
    control.start(&super::fountain(load, 0, tokens), &id)?;
    let from_start =
        Subscription { execution: &id, flush_window_ms: load.flush_window_ms, ..Subscription::default() };
    for at in 0..all {
        swarm.subscribe(at, Observed { keeps_positions: at >= readers, ..Observed::of(0) }, from_start)?;
        if at >= readers {
            swarm.set_reads(at, false)?;
        }
    }

    // The memory at its highest, for it may fall again once the run is over.
    let mut highest = before;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sample = Instant::now() + Duration::from_millis(250);
        let mut over = swarm.serve(sample.min(deadline), |meter| meter.finished >= readers)?;
        over |= (0..readers).filter_map(|at| swarm.observed(at)).any(|seen| seen.failed);
        if let (Some(highest), Some(now)) = (&mut highest, target.memory()?) {
            highest.rss = highest.rss.max(now.rss);
            highest.pss = highest.pss.max(now.pss);
        }
        if over || Instant::now() >= deadline {
            break;
        }
    }
    let mut report = Report {
        connections: readers,
        executions: 1,
        tokens_per_second: load.rate,
        token_bytes: load.token_bytes,
        buffer_size: load.buffer_size,
        ..Report::default()
    };
    window.close(&target, &mut swarm.meter, &mut report)?;
    if let (Some(before), Some(highest)) = (before, highest) {
        // The log's growth is in it, so the figure is an upper bound of what a stalled connection costs.
        let grown = |from: u64, to: u64| Some(to.saturating_sub(from) as f64 / f64::from(stalled.max(1)));
        report.rss_bytes_per_connection = grown(before.rss, highest.rss);
        report.pss_bytes_per_connection = grown(before.pss, highest.pss);
    }
    (report.faults, report.told) = super::faults(&swarm, 0..readers, tokens);
    report.gaps = swarm.meter.gaps;
    let readers_failed = (0..readers).filter_map(|at| swarm.observed(at)).filter(|seen| seen.failed).count();

    // Now they read: what is left on their sockets, and the rest from their last position if the server had given them up.
    let mut reconnected = 0;
    for at in readers..all {
        swarm.set_reads(at, true)?;
    }
    let deadline = Instant::now() + PATIENCE;
    let mut coming_back = Vec::new();
    while Instant::now() < deadline {
        let unfinished: Vec<usize> =
            (readers..all).filter(|&at| swarm.observed(at).is_some_and(|seen| !seen.finished)).collect();
        if unfinished.is_empty() {
            break;
        }
        for at in unfinished {
            if !swarm.is_over(at) {
                continue;
            }
            swarm.reopen(at, opening)?;
            coming_back.push(at);
            reconnected += 1;
        }
        swarm.turn(Duration::from_millis(50))?;
        for at in std::mem::take(&mut coming_back) {
            if !super::resume::again(&mut swarm, at, from_start)? {
                coming_back.push(at);
            }
        }
    }
    let (faults, told) = super::faults(&swarm, readers..all, tokens);
    report.stalled = Some(Stalled { connections: stalled, reconnected, faults, told });
    report.failed = readers_failed;
    report.failure = swarm.meter.failure.take().filter(|_| readers_failed > 0);
    report.ok = report.faults.none() && faults.none() && readers_failed == 0 && swarm.meter.finished >= all;
    Ok(report)
}
