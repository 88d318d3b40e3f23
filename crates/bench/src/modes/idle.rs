//! Connections that wait, and the memory that the server spends on each.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    arguments::Load,
    connection::{Observed, Transport},
    error::Error,
    http::{Control, Fountain},
    report::Report,
    swarm::{Subscription, Swarm},
    target::Target,
};

/// The silent execution says one token at its start and the next after an hour; it is cancelled before.
const SILENT_RATE: f64 = 1.0 / 3600.0;

pub(super) fn run(load: &Load, subscribe: bool) -> Result<Report, Error> {
    if load.transport == Transport::Sse && !subscribe {
        return Err(Error::Usage("an idle event stream follows an execution; add --subscribe"));
    }
    let settle = super::seconds(load.warm_up)?;
    let window = super::seconds(load.seconds)?;
    let target = Target::of(load, 1 << 20)?;
    let tokens = match &load.access_tokens {
        Some(_) if load.transport == Transport::Sse => {
            return Err(Error::Usage("tokens are for WebSockets; leave --transport out"));
        }
        Some(path) => read_lines(path)?,
        None => Vec::new(),
    };
    let mut control = Control::connect(target.address)?;
    if let Some(first) = tokens.first() {
        control = control.with_token(first);
    }
    let id = super::execution_id(0);
    if subscribe {
        let fountain = Fountain {
            index: 0,
            tokens: 2,
            tokens_per_second: SILENT_RATE,
            token_bytes: 33,
            buffer_size: load.buffer_size,
        };
        control.start(&fountain, &id)?;
    }
    thread::sleep(settle);

    let mut swarm = Swarm::new(target.address)?.with_tokens(tokens);
    let before = target.memory()?;
    let count = load.connections as usize;
    swarm.open(count, super::opening(load))?;
    if subscribe {
        for at in 0..count {
            let subscription = Subscription { execution: &id, ..Subscription::default() };
            swarm.subscribe(at, Observed::of(0), subscription)?;
            if at % 64 == 63 {
                swarm.turn(Duration::ZERO)?;
            }
        }
        swarm.until_confirmed(count)?;
    }
    swarm.serve(Instant::now() + settle, |_| false)?;

    let mut report = Report { connections: count, executions: u32::from(subscribe), ..Report::default() };
    let start = Instant::now();
    let cpu_before = target.cpu_ns()?;
    swarm.serve(start + window, |_| false)?;
    report.seconds = start.elapsed().as_secs_f64();
    report.server_cores = cpu_before
        .zip(target.cpu_ns()?)
        .map(|(before, after)| after.saturating_sub(before) as f64 / 1e9 / report.seconds);
    if let (Some(before), Some(after)) = (before, target.memory()?) {
        let grown = |from: u64, to: u64| Some(to.saturating_sub(from) as f64 / count as f64);
        report.rss_bytes_per_connection = grown(before.rss, after.rss);
        report.pss_bytes_per_connection = grown(before.pss, after.pss);
        report.rss_bytes = Some(after.rss);
    }
    if subscribe {
        control.cancel(&id)?;
    }
    report.failed = swarm.meter.failed;
    report.failure = swarm.meter.failure.take();
    report.ok = report.failed == 0 && (0..count).all(|at| !swarm.is_over(at));
    Ok(report)
}

/// The lines of a file that are not empty.
fn read_lines(path: &Path) -> Result<Vec<String>, Error> {
    let text = fs::read_to_string(path).map_err(Error::system("reading the tokens"))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect())
}
