//! What a run found, one line of JSON.

use serde::Serialize;

use crate::{meter::Latency, sequence::Faults};

/// The figures of a run. What was not measured is left out.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The way it was measured.
    pub(crate) mode: &'static str,
    /// Whether nothing was lost, doubled, reordered or failed.
    pub(crate) ok: bool,
    pub(crate) transport: &'static str,
    pub(crate) connections: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) executions: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) tokens_per_second: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) token_bytes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) buffer_size: Option<u32>,
    /// The window's length.
    pub(crate) seconds: f64,
    /// Tokens that arrived in the window, on all connections.
    pub(crate) delivered: u64,
    /// The same per second.
    pub(crate) rate: f64,
    /// Frames that carried them.
    pub(crate) frames: u64,
    /// Bytes read, envelopes included.
    pub(crate) bytes: u64,
    /// Reads that brought them; the more a read brings, the fewer were the server's writes.
    pub(crate) reads: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_ms: Option<Latency>,
    /// The server's CPU time per delivered token, user and system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cpu_us_per_token: Option<f64>,
    /// How many cores it kept busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cores: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cpu_us_per_token: Option<f64>,
    /// The server's growth divided by the connections, over the part of the run that the mode names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rss_bytes_per_connection: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pss_bytes_per_connection: Option<f64>,
    /// The server's whole memory at the end of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rss_bytes: Option<u64>,
    #[serde(flatten)]
    pub(crate) faults: Faults,
    /// Gaps that the server told of, and the tokens that they swallowed.
    pub(crate) gaps: u64,
    pub(crate) told: u64,
    /// Connections that the server ended early.
    pub(crate) failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
    /// Of the mode `stalled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stalled: Option<Stalled>,
    /// Of the mode `resume`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resumed: Option<Resumed>,
}

/// What became of the connections that did not read.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stalled {
    pub(crate) connections: u32,
    /// Those that the server had closed, and that came back from their last position.
    pub(crate) reconnected: usize,
    #[serde(flatten)]
    pub(crate) faults: Faults,
    pub(crate) told: u64,
}

/// The second part of `resume`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resumed {
    pub(crate) reconnects: u64,
    pub(crate) seconds: f64,
    pub(crate) delivered: u64,
    pub(crate) rate: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
