//! How much a client may ask, and read again.

use streamnest_protocol::native::{CloseCode, Request};
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
    /// Whether what comes next may be read again, so that it waits for its turn.
    replays: bool,
}

/// The `id` by which a request is answered, if it has one that can be read.
fn id_of(text: &str) -> Option<String> {
    match Request::parse(text) {
        Ok(request) => request.id,
        Err(error) => error.reply_to,
    }
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
        match message {
            Message::Text(text) => self.reply(&exceeded.frame(), id_of(text).as_deref()),
            Message::Binary(_) => self.reply(&exceeded.frame(), None),
            // What is no request has no answer.
            _ => {}
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
            messages.take(&()).map_err(|after| limits.too_many_messages(after))?;
        }
        limits.request(|| self.who())
    }

    /// Something is followed from before its end.
    pub(super) const fn reads_again(&mut self) {
        self.throttle.replays = true;
    }

    /// When more may be read of the logs; `None` for now.
    pub(super) fn replays_not_before(&self) -> Option<Instant> {
        if !self.throttle.replays {
            return None;
        }
        let refused = self.shared.limits.may_replay(self.shared.options.max_write_bytes, &self.who()?);
        refused.err().map(|exceeded| Instant::now() + exceeded.retry_after)
    }

    /// Counts so many bytes that were read at once, unless they are so few that they come live.
    pub(super) fn replayed(&mut self, bytes: usize) {
        // The usual turn looks at nothing more for it.
        if bytes < REPLAY_BYTES && !self.throttle.replays {
            return;
        }
        if !self.shared.limits.counts_replay() {
            self.throttle.replays = false;
        } else if bytes >= REPLAY_BYTES {
            self.throttle.replays = true;
            self.who().inspect(|who| self.shared.limits.replayed(bytes, who));
        } else {
            // A piece of a long log may be small.
            self.throttle.replays = self.subscriptions.iter().any(|subscription| subscription.lag() > 0);
        }
    }
}
