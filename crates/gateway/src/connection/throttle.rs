//! How much a client may ask, and read again.

use streamnest_protocol::native::CloseCode;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::Connection;
use crate::limits::{Exceeded, Limiter, REPLAY_BYTES, Who};

/// What is remembered of it; almost nothing, unless something is limited.
#[derive(Default)]
pub(super) struct Throttle {
    /// Made with the first message, if they are limited.
    messages: Option<Box<Limiter<()>>>,
    /// Refused in a row.
    refused: usize,
    /// Bytes that were read again and are still to be counted, and when that may be.
    replay: Option<(usize, Instant)>,
}

impl Connection {
    /// Who asks, as far as limits are concerned.
    pub(super) fn who(&self) -> Option<Who> {
        let known = self.standing.visitor().and_then(|visitor| Who::of(&visitor, self.seat.address()));
        known.or_else(|| self.seat.address().map(Who::Address))
    }

    /// Counts a message, and refuses it if it is one too many. A client that goes on all the same is closed.
    pub(super) fn is_too_much(&mut self, message: &Message) -> bool {
        let Err(exceeded) = self.count_message() else {
            self.throttle.refused = 0;
            return false;
        };
        // What is no request has no answer.
        if let Message::Text(_) | Message::Binary(_) = message {
            self.reply(&exceeded.frame(), None);
        }
        self.throttle.refused += 1;
        if self.throttle.refused >= self.shared.options.max_bad_frames {
            self.close(CloseCode::RateLimited, &CloseCode::retry_after_reason(exceeded.retry_after));
        }
        true
    }

    fn count_message(&mut self) -> Result<(), Exceeded> {
        let limits = &self.shared.limits;
        if self.throttle.messages.is_none() {
            self.throttle.messages = limits.messages().map(Box::new);
        }
        if let Some(messages) = &self.throttle.messages {
            messages.take(&(), 1).map_err(|after| limits.too_many_messages(after))?;
        }
        limits.request(|| self.who())
    }

    /// When more may be read of the logs; `None` for now. Counts what was read before.
    pub(super) fn replays_not_before(&mut self) -> Option<Instant> {
        let (bytes, not_before) = self.throttle.replay?;
        if Instant::now() < not_before {
            return Some(not_before);
        }
        match self.shared.limits.replay(bytes, || self.who()) {
            Ok(()) => {
                self.throttle.replay = None;
                None
            }
            Err(exceeded) => {
                let not_before = Instant::now() + exceeded.retry_after;
                self.throttle.replay = Some((bytes, not_before));
                Some(not_before)
            }
        }
    }

    /// Takes down that so many bytes were read at once.
    pub(super) fn replayed(&mut self, bytes: usize) {
        if bytes >= REPLAY_BYTES && self.shared.limits.counts_replay() {
            self.throttle.replay = Some((bytes, Instant::now()));
        }
    }
}
