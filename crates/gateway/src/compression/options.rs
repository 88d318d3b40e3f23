//! Whether and how what a client catches up on is compressed.

use crate::Error;

/// Whether and how what a client catches up on is compressed: over WebSocket for those who offer the subprotocol
/// `streamnest.v1.deflate`, and with gzip where a stream is read over HTTP by those who take that. Live event streams are
/// not: single tokens do not compress, and proxies would hold them back.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CompressionOptions {
    /// Whether it is offered. Default yes; it costs nothing where no client asks for it.
    pub enabled: bool,
    /// What is less than so many bytes is sent as it is. Default 1 KiB: one token does not compress, and ten do.
    pub threshold: usize,
    /// From 1, fast, to 9, small. Default 3.
    pub level: u32,
    /// Bytes of compressed blocks that are kept for others who are owed them too. Default 16 MiB.
    pub max_kept_bytes: usize,
}

impl Default for CompressionOptions {
    fn default() -> Self {
        Self { enabled: true, threshold: 1 << 10, level: 3, max_kept_bytes: 16 << 20 }
    }
}

impl CompressionOptions {
    /// Sets [`enabled`](Self::enabled).
    #[must_use]
    pub fn with_enabled(self, enabled: bool) -> Self {
        Self { enabled, ..self }
    }

    /// Sets [`threshold`](Self::threshold).
    #[must_use]
    pub fn with_threshold(self, threshold: usize) -> Self {
        Self { threshold, ..self }
    }

    /// Sets [`level`](Self::level).
    #[must_use]
    pub fn with_level(self, level: u32) -> Self {
        Self { level, ..self }
    }

    /// Sets [`max_kept_bytes`](Self::max_kept_bytes).
    #[must_use]
    pub fn with_max_kept_bytes(self, max_kept_bytes: usize) -> Self {
        Self { max_kept_bytes, ..self }
    }

    /// Checks every option.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let invalid = |option, reason: String| Err(Error::InvalidOption { option, reason });
        if !(1..=9).contains(&self.level) {
            return invalid("compression.level", format!("is {}, outside 1 to 9", self.level));
        }
        if self.threshold == 0 || self.max_kept_bytes == 0 {
            let option =
                if self.threshold == 0 { "compression.threshold" } else { "compression.max_kept_bytes" };
            return invalid(option, "is zero, which leaves no room; leave it out for its default".into());
        }
        Ok(())
    }
}
