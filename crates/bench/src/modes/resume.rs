//! A finished run, read from its start by many, then read again by connections that drop and resume.

use std::time::{Duration, Instant};

use super::window::Window;
use crate::{
    arguments::Load,
    connection::Observed,
    error::Error,
    http::Control,
    report::{Report, Resumed},
    swarm::{Subscription, Swarm},
    target::Target,
};

/// The length of the run unless it is given.
const TOKENS: u64 = 10_000;

/// How long each part may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn run(load: &Load, drops: u32, seed: u64) -> Result<Report, Error> {
    let tokens = load.tokens.unwrap_or(TOKENS);
    let target = Target::of(load, 512 << 20)?;
    let mut control = Control::connect(target.address)?;
    let id = super::execution_id(0);
    control.start(&super::fountain(load, 0, tokens), &id)?;
    finish(load, &target, &id)?;

    let count = load.connections as usize;
    let mut swarm = Swarm::new(target.address)?;
    let before = target.memory()?;
    swarm.open(count, super::opening(load))?;
    let window = Window::open(&target, &mut swarm.meter)?;
    for at in 0..count {
        swarm.subscribe(at, Observed::of(0), Subscription { execution: &id, ..Subscription::default() })?;
    }
    swarm.serve(Instant::now() + PATIENCE, |meter| meter.finished + meter.failed >= count)?;
    let mut report = Report {
        connections: count,
        executions: 1,
        token_bytes: load.token_bytes,
        buffer_size: load.buffer_size,
        ..Report::default()
    };
    window.close(&target, &mut swarm.meter, &mut report)?;
    if let (Some(before), Some(after)) = (before, target.memory()?) {
        let grown = |from: u64, to: u64| Some(to.saturating_sub(from) as f64 / count as f64);
        report.rss_bytes_per_connection = grown(before.rss, after.rss);
        report.pss_bytes_per_connection = grown(before.pss, after.pss);
    }
    (report.faults, report.told) = super::faults(&swarm, 0..count, tokens);
    let first_ok = swarm.meter.finished == count;
    (report.gaps, report.failed) = (swarm.meter.gaps, swarm.meter.failed);
    report.failure = swarm.meter.failure.take();
    drop(swarm);

    let mut swarm = Swarm::new(target.address)?;
    report.resumed = Some(with_drops(load, &mut swarm, &id, tokens, drops, seed)?);
    let (faults, told) = super::faults(&swarm, 0..count, tokens);
    report.faults.add(faults);
    report.told += told;
    report.gaps += swarm.meter.gaps;
    report.failed += swarm.meter.failed;
    report.ok = report.faults.none() && report.failed == 0 && first_ok && swarm.meter.finished == count;
    Ok(report)
}

/// Reads the run once, alone, so that it is over.
fn finish(load: &Load, target: &Target, id: &str) -> Result<(), Error> {
    let mut swarm = Swarm::new(target.address)?;
    swarm.open(1, super::opening(load))?;
    swarm.subscribe(0, Observed::of(0), Subscription { execution: id, ..Subscription::default() })?;
    let over = swarm.serve(Instant::now() + PATIENCE, |meter| meter.finished + meter.failed > 0)?;
    match (over && swarm.meter.failed == 0, swarm.meter.failure.take()) {
        (true, _) => Ok(()),
        (false, reason) => Err(Error::Connections {
            what: "reading the run once",
            done: 0,
            wanted: 1,
            seconds: PATIENCE.as_secs(),
            reason: reason.unwrap_or_else(|| "no terminal entry".to_owned()),
        }),
    }
}

/// Every connection drops `drops` times, each time after it has seen its share of the tokens, more or less.
fn with_drops(
    load: &Load,
    swarm: &mut Swarm,
    id: &str,
    tokens: u64,
    drops: u32,
    seed: u64,
) -> Result<Resumed, Error> {
    let count = load.connections as usize;
    let opening = super::opening(load);
    swarm.open(count, opening)?;
    let share = tokens / (u64::from(drops) + 1);
    let mut random = Random(seed | 1);
    let mut legs = Vec::with_capacity(count);
    let start = Instant::now();
    swarm.meter.set_open(true);
    for at in 0..count {
        let observed = Observed { keeps_positions: true, ..Observed::of(0) };
        swarm.subscribe(at, observed, Subscription { execution: id, ..Subscription::default() })?;
        legs.push(Leg { drops_left: drops, drop_at: random.below(2 * share), reconnects: false });
    }
    let mut reconnects = 0;
    let deadline = start + PATIENCE;
    while swarm.meter.finished + swarm.meter.failed < count && Instant::now() < deadline {
        swarm.turn(Duration::from_millis(20))?;
        for (at, leg) in legs.iter_mut().enumerate() {
            if leg.reconnects {
                leg.reconnects =
                    !again(swarm, at, Subscription { execution: id, ..Subscription::default() })?;
                continue;
            }
            let Some(seen) = swarm.observed(at) else { continue };
            let reached = seen.sequence.reached();
            if leg.drops_left > 0 && !seen.finished && !seen.failed && reached > leg.drop_at {
                swarm.reopen(at, opening)?;
                reconnects += 1;
                *leg = Leg {
                    drops_left: leg.drops_left - 1,
                    drop_at: reached + random.below(2 * share),
                    reconnects: true,
                };
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    swarm.meter.set_open(false);
    let delivered = swarm.meter.window.tokens;
    Ok(Resumed { reconnects, seconds, delivered, rate: delivered as f64 / seconds })
}

/// What a connection still has before it.
struct Leg {
    drops_left: u32,
    /// It drops once it has seen so many tokens.
    drop_at: u64,
    /// It has dropped, and has not subscribed again yet.
    reconnects: bool,
}

/// Subscribes a connection that was opened again from where it stood, if it stands by now; whether it did.
pub(super) fn again(swarm: &mut Swarm, at: usize, subscription: Subscription<'_>) -> Result<bool, Error> {
    if !swarm.is_open(at) {
        return Ok(false);
    }
    let from = swarm.observed(at).and_then(|seen| seen.position.clone());
    swarm.ask(at, Subscription { from: from.as_deref(), ..subscription })?;
    Ok(true)
}

/// Xorshift64: reproducible, and enough to choose where to drop.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}
