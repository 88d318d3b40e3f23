//! Fan-out and chat: tokens that are made now go to connections that listen.

use std::time::{Duration, Instant};

use super::window::Window;
use crate::{
    arguments::Load,
    connection::Observed,
    error::Error,
    http::Control,
    report::Report,
    swarm::{Subscription, Swarm},
    target::Target,
};

/// What the fountains run longer than the window, for the time that starting and subscribing takes.
const SLACK: Duration = Duration::from_secs(3);

/// And for each execution more.
const SLACK_PER_EXECUTION: Duration = Duration::from_millis(3);

/// How long the rest may take after the window.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the floor keeps of all streams together, in bytes, and at least of each.
const HISTORY: u64 = 64 << 20;
const HISTORY_LEAST: u64 = 64 << 10;

pub(super) fn run(load: &Load, executions: u32) -> Result<Report, Error> {
    let warm_up = super::seconds(load.warm_up)?;
    let window = super::seconds(load.seconds)?;
    let slack = SLACK + SLACK_PER_EXECUTION * executions;
    let tokens = tokens(load, warm_up + window + slack)?;
    let history = (HISTORY / u64::from(executions)).clamp(HISTORY_LEAST, 16 << 20);
    let target = Target::of(load, history)?;
    let mut control = Control::connect(target.address)?;
    let mut swarm = Swarm::new(target.address)?;
    let before = target.memory()?;
    swarm.open(load.connections as usize, super::opening(load))?;

    // A connection follows its execution as soon as that runs, so that it has little to catch up with.
    let whole_run = load.rate == 0;
    let mut measured = if whole_run { Some(Window::open(&target, &mut swarm.meter)?) } else { None };
    for index in 0..executions {
        let id = super::execution_id(index);
        control.start(&super::fountain(load, index, tokens), &id)?;
        for at in (index..load.connections).step_by(executions as usize) {
            let subscription = Subscription {
                execution: &id,
                flush_window_ms: load.flush_window_ms,
                ..Subscription::default()
            };
            swarm.subscribe(at as usize, Observed::of(index), subscription)?;
        }
        if index % 64 == 63 {
            swarm.turn(Duration::ZERO)?;
        }
    }
    swarm.until_confirmed(load.connections as usize)?;

    let mut report = Report {
        connections: swarm.len(),
        executions,
        tokens_per_second: load.rate,
        token_bytes: load.token_bytes,
        buffer_size: load.buffer_size,
        ..Report::default()
    };
    if !whole_run {
        swarm.serve(Instant::now() + warm_up, |_| false)?;
        let opened = Window::open(&target, &mut swarm.meter)?;
        swarm.serve(Instant::now() + window, |_| false)?;
        if swarm.meter.finished > 0 {
            return Err(Error::WindowMissed);
        }
        opened.close(&target, &mut swarm.meter, &mut report)?;
    }
    let wanted = swarm.len();
    let patience = PATIENCE + if whole_run { Duration::from_secs(600) } else { slack };
    swarm.serve(Instant::now() + patience, |meter| meter.finished + meter.failed >= wanted)?;
    if let Some(opened) = measured.take() {
        opened.close(&target, &mut swarm.meter, &mut report)?;
    }
    if let (Some(before), Some(after)) = (before, target.memory()?) {
        let grown = |from: u64, to: u64| Some(to.saturating_sub(from) as f64 / wanted as f64);
        report.rss_bytes_per_connection = grown(before.rss, after.rss);
        report.pss_bytes_per_connection = grown(before.pss, after.pss);
    }
    (report.faults, report.told) = super::faults(&swarm, 0..wanted, tokens);
    report.gaps = swarm.meter.gaps;
    report.failed = swarm.meter.failed;
    report.failure = swarm.meter.failure.take();
    report.ok = report.faults.none() && report.failed == 0 && swarm.meter.finished == wanted;
    Ok(report)
}

/// The length of each fountain: as asked, or long enough for the window.
fn tokens(load: &Load, time: Duration) -> Result<u64, Error> {
    match (load.tokens, load.rate) {
        (Some(tokens), _) => Ok(tokens),
        (None, 0) => Err(Error::Usage("a fountain that goes as fast as it can needs --tokens")),
        (None, rate) => Ok((f64::from(rate) * time.as_secs_f64()).ceil() as u64),
    }
}
