//! The time in which is measured.

use std::{process, time::Instant};

use crate::{error::Error, meter::Meter, process::cpu, report::Report, target::Target};

/// A window that is open: accounts as they stood when it was opened.
pub(super) struct Window {
    start: Instant,
    server_ns: Option<u64>,
    client_ns: u128,
}

impl Window {
    pub(super) fn open(target: &Target, meter: &mut Meter) -> Result<Self, Error> {
        meter.set_open(true);
        Ok(Self {
            start: Instant::now(),
            server_ns: target.cpu_ns()?,
            client_ns: cpu(process::id())?.as_nanos(),
        })
    }

    /// Closes it and enters what it saw into the report.
    pub(super) fn close(self, target: &Target, meter: &mut Meter, report: &mut Report) -> Result<(), Error> {
        let server_ns =
            self.server_ns.zip(target.cpu_ns()?).map(|(before, after)| after.saturating_sub(before));
        let client_ns = cpu(process::id())?.as_nanos().saturating_sub(self.client_ns);
        meter.set_open(false);
        let seconds = self.start.elapsed().as_secs_f64();
        let seen = meter.window;
        let per_token = |ns: f64| ns / 1000.0 / seen.tokens.max(1) as f64;
        report.seconds = seconds;
        report.delivered = seen.tokens;
        report.rate = seen.tokens as f64 / seconds;
        report.frames = seen.frames;
        report.bytes = seen.bytes;
        report.reads = seen.reads;
        report.latency_ms = meter.latency();
        report.server_cpu_us_per_token = server_ns.map(|ns| per_token(ns as f64));
        report.server_cores = server_ns.map(|ns| ns as f64 / 1e9 / seconds);
        report.client_cpu_us_per_token = Some(per_token(client_ns as f64));
        report.rss_bytes = target.memory()?.map(|memory| memory.rss);
        Ok(())
    }
}
