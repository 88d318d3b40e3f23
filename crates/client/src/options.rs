//! How a client behaves.

use std::time::Duration;

use crate::{Error, RootCertificates};

/// How a client connects, comes back and bounds what it reads.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// How long one attempt to connect may take until the server has greeted and answered. Default 10 s: longer than a
    /// handshake over any working network.
    pub connect_timeout: Duration,
    /// The longest wait before the first attempt to come back; each further one may wait twice as long. The wait is
    /// random between nothing and that (full jitter), so that clients of a server that restarts do not come all at
    /// once. Default 200 ms.
    pub backoff: Duration,
    /// The longest wait before any attempt. Default 10 s.
    pub max_backoff: Duration,
    /// How often in a row it tries to come back without hearing anything new. Default 20, about two minutes.
    pub max_attempts: u32,
    /// How many heartbeats' time of silence mean that the server is dead; less than 1 is 1. Default 2.5: one may be lost,
    /// and the next late.
    pub silent_heartbeats: f64,
    /// The largest message that it reads, in bytes. Default 16 MiB, far over what a server writes by default.
    pub max_message_bytes: usize,
    /// Who vouches for the certificates of servers that are asked by `https` or `wss`. Default the authorities that the system
    /// trusts.
    pub root_certificates: RootCertificates,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            max_attempts: 20,
            silent_heartbeats: 2.5,
            max_message_bytes: 16 << 20,
            root_certificates: RootCertificates::System,
        }
    }
}

impl ClientOptions {
    /// Sets [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub fn with_connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// Sets [`backoff`](Self::backoff).
    #[must_use]
    pub fn with_backoff(self, backoff: Duration) -> Self {
        Self { backoff, ..self }
    }

    /// Sets [`max_backoff`](Self::max_backoff).
    #[must_use]
    pub fn with_max_backoff(self, max_backoff: Duration) -> Self {
        Self { max_backoff, ..self }
    }

    /// Sets [`max_attempts`](Self::max_attempts).
    #[must_use]
    pub fn with_max_attempts(self, max_attempts: u32) -> Self {
        Self { max_attempts, ..self }
    }

    /// Sets [`silent_heartbeats`](Self::silent_heartbeats).
    #[must_use]
    pub fn with_silent_heartbeats(self, silent_heartbeats: f64) -> Self {
        Self { silent_heartbeats, ..self }
    }

    /// Sets [`max_message_bytes`](Self::max_message_bytes).
    #[must_use]
    pub fn with_max_message_bytes(self, max_message_bytes: usize) -> Self {
        Self { max_message_bytes, ..self }
    }

    /// Sets [`root_certificates`](Self::root_certificates).
    #[must_use]
    pub fn with_root_certificates(self, root_certificates: RootCertificates) -> Self {
        Self { root_certificates, ..self }
    }

    /// Checks that every bound leaves room to work. Every connection begins with it, so a mistake is told by the first
    /// call that needs one.
    ///
    /// No `max_attempts` is fine, and never comes back; a `silent_heartbeats` below 1 counts as 1.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] names the first option that is zero.
    pub fn validate(&self) -> Result<(), Error> {
        let zeros = [
            ("connect_timeout", self.connect_timeout.is_zero()),
            ("backoff", self.backoff.is_zero()),
            ("max_backoff", self.max_backoff.is_zero()),
            ("max_message_bytes", self.max_message_bytes == 0),
        ];
        match zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((option, _)) => Err(Error::InvalidOption { option }),
            None => Ok(()),
        }
    }
}
