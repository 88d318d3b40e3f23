//! Which figures there are, and what they should be.

use std::path::Path;

use crate::{
    arguments::{Load, Mode, TableOptions},
    connection::Transport,
};

/// One figure: a way to measure with a load for the server, and the same for the floor.
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) server: Load,
    pub(super) floor: Load,
    pub(super) aims: Vec<Aim>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// At most so many times the floor's CPU per token.
    CpuTimesFloor(f64),
    /// At most so many microseconds of CPU per token.
    Cpu(f64),
    /// A 99th percentile below so many milliseconds.
    P99(f64),
    /// At least so many tokens per second.
    Rate(f64),
    /// At most so many bytes of resident memory per connection.
    Memory(f64),
}

impl Aim {
    /// The name of the measure that it is about.
    pub(super) fn measure(self) -> &'static str {
        match self {
            Self::CpuTimesFloor(_) | Self::Cpu(_) => "CPU, µs per token",
            Self::P99(_) => "p99, ms",
            Self::Rate(_) => "tokens per second",
            Self::Memory(_) => "RSS, bytes per connection",
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::CpuTimesFloor(most) => format!("≤ {most} × floor"),
            Self::Cpu(most) => format!("≤ {most} µs"),
            Self::P99(most) => format!("< {most} ms"),
            Self::Rate(least) => format!("≥ {least}"),
            Self::Memory(most) => format!("≤ {most}"),
        }
    }

    /// Whether a value, or its ratio to the floor's, is as it should be.
    pub(super) fn holds(self, value: f64, ratio: Option<f64>) -> bool {
        match self {
            Self::CpuTimesFloor(most) => ratio.is_some_and(|ratio| ratio <= most),
            Self::Cpu(most) | Self::Memory(most) => value <= most,
            Self::P99(most) => value < most,
            Self::Rate(least) => value >= least,
        }
    }
}

/// A rate is sustained when so much of it arrives; the window's edges cut a flush now and then.
const SUSTAINED: f64 = 0.99;

/// All figures.
pub(super) fn all(options: &TableOptions) -> Vec<Figure> {
    let fan_out = Mode::FanOut { executions: 1 };
    let thousand = 1000_u32.div_ceil(options.shrink);
    let ten_thousand = 10_000_u32.div_ceil(options.shrink);
    let base = Load {
        access_tokens: None,
        server: None,
        server_arguments: Vec::new(),
        url: None,
        server_pid: None,
        floor: false,
        tick_us: 1000,
        transport: Transport::WebSocket,
        connections: thousand,
        rate: 50,
        tokens: None,
        token_bytes: 33,
        buffer_size: None,
        flush_window_ms: None,
        warm_up: 2.0,
        seconds: options.seconds,
    };
    let unbuffered = Load { buffer_size: Some(1), flush_window_ms: Some(0), ..base.clone() };
    let fast = Load { rate: 2000, ..base.clone() };
    let sustained = f64::from(fast.rate) * f64::from(thousand) * SUSTAINED;
    let idle = Load { connections: ten_thousand, seconds: 2.0, ..base.clone() };
    [
        (
            format!("fan-out 1 → {thousand}, 50 tokens/s, window and buffer off"),
            fan_out,
            unbuffered.clone(),
            vec![Aim::CpuTimesFloor(1.3)],
        ),
        (
            format!("fan-out 1 → {thousand}, 2000 tokens/s, default buffer"),
            fan_out,
            fast,
            vec![Aim::Cpu(0.5), Aim::P99(60.0), Aim::Rate(sustained)],
        ),
        (
            format!("chat, {thousand} runs × 1, 50 tokens/s, window and buffer off"),
            Mode::Chat,
            unbuffered,
            vec![Aim::CpuTimesFloor(1.4)],
        ),
        // A floor that joins tokens first has hardly anything to do for the others, so this tells what waking up for a token costs.
        (
            format!("chat, {thousand} runs × 1, 50 tokens/s, default buffer, which the floor has too"),
            Mode::Chat,
            base.clone(),
            vec![Aim::CpuTimesFloor(1.4)],
        ),
        (
            format!("idle, {ten_thousand} WebSocket connections"),
            Mode::Idle { subscribe: false },
            idle,
            vec![Aim::Memory(6.0 * 1024.0)],
        ),
    ]
    .into_iter()
    .map(|(name, mode, load, aims)| Figure {
        name,
        mode,
        server: of_server(&load, &options.server, &options.server_arguments),
        floor: Load { floor: true, ..load },
        aims,
    })
    .collect()
}

fn of_server(load: &Load, server: &Path, arguments: &[String]) -> Load {
    Load { server: Some(server.to_owned()), server_arguments: arguments.to_vec(), ..load.clone() }
}
