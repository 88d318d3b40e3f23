//! Who a connection's client is, and until when.

use std::sync::Arc;

use streamnest_core::ControlError;
use streamnest_protocol::native::{AuthenticationSuccess, CloseCode, ServerFrame, TokenExpiring};
use tokio::time::Instant;

use super::{Connection, subscription::EventsView};
use crate::{
    Principal,
    access::{Action, Visitor},
    auth::{Admission, Rejected},
    people::Present,
};

/// How a connection's client stands.
pub(super) enum Standing {
    /// Nobody is asked who they are.
    Anyone,
    /// It has to show a token by then.
    Awaited { by: Instant },
    /// It has shown one.
    Known(Box<Known>),
    /// Its token is not taken, or nothing is known of it yet.
    Rejected,
}

pub(super) struct Known {
    principal: Arc<Principal>,
    ends: Instant,
    /// When it is told that its token expires; `None` once it was.
    warn: Option<Instant>,
    present: Present,
}

impl Standing {
    /// When something is to be done about it.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Anyone | Self::Rejected => None,
            Self::Awaited { by } => Some(*by),
            Self::Known(known) => Some(known.warn.map_or(known.ends, |warn| warn.min(known.ends))),
        }
    }

    /// Who it is, if it may ask for something.
    pub(super) fn visitor(&self) -> Option<Visitor> {
        match self {
            Self::Anyone => Some(Visitor::Anyone),
            Self::Known(known) => Some(Visitor::Known(known.principal.clone())),
            Self::Awaited { .. } | Self::Rejected => None,
        }
    }
}

impl Connection {
    /// Begins as the handshake left it.
    pub(super) fn stand(&mut self, admission: Admission) {
        match (admission, self.shared.auth()) {
            (Admission::Admitted(Visitor::Known(principal)), _) => self.be(principal),
            (Admission::Admitted(Visitor::Anyone), _) | (_, None) => self.standing = Standing::Anyone,
            (Admission::Pending, Some(auth)) => {
                self.standing = Standing::Awaited { by: self.since + auth.options.deadline };
                let limit = auth.options.max_unauthenticated_message_bytes;
                self.limit_messages(limit.min(self.shared.options.max_message_bytes));
            }
            (Admission::Rejected(rejected), Some(_)) => {
                self.standing = Standing::Rejected;
                self.refuse(&rejected);
            }
        }
    }

    fn be(&mut self, principal: Arc<Principal>) {
        let limit = self.shared.options.max_connections_per_user;
        let mailbox = self.listed.mailbox().clone();
        let present = self.shared.people.enter_socket(principal.clone(), mailbox, limit);
        let (now, entered) = (Instant::now(), principal.clone());
        let mut known = Box::new(Known { principal, ends: now, warn: None, present });
        self.set_times(&mut known, now);
        self.standing = Standing::Known(known);
        self.limit_messages(self.shared.options.max_message_bytes);
        let again = self.shared.auth().map(|auth| auth.check_again(&entered, self.shared.logs.now()));
        if let Some(Err(rejected)) = again {
            self.refuse(&rejected);
        }
    }

    fn set_times(&self, known: &mut Known, now: Instant) {
        let Some(auth) = self.shared.auth() else { return };
        let left = auth.time_left(&known.principal, self.shared.logs.now());
        let warning = auth.options.expiry_warning.min(left / 2);
        known.ends = now + left;
        known.warn = Some(known.ends - warning);
    }

    fn limit_messages(&mut self, bytes: usize) {
        self.codec.set_config(|config| {
            config.max_message_size = Some(bytes);
            config.max_frame_size = Some(bytes);
        });
    }

    /// Takes a token: the first, or a new one of the same principal, with which everything goes on as it is.
    pub(super) fn authenticate(&mut self, token: &str, reply_to: Option<&str>) {
        let Some(auth) = self.shared.auth() else {
            let message = "this server asks nobody who they are; leave it out";
            return self.reply(&ServerFrame::error("not_supported", message, false), reply_to);
        };
        let principal = match auth.verify(token, self.shared.logs.now()) {
            Ok(principal) => principal,
            Err(rejected) => return self.refuse_in_answer(&rejected, reply_to),
        };
        let success =
            AuthenticationSuccess { subject: principal.subject().into(), expires_at: principal.expires_at() };
        // Whatever comes of it, nobody is let in by the way.
        match std::mem::replace(&mut self.standing, Standing::Rejected) {
            Standing::Known(mut known) if known.principal.is_same(&principal) => {
                known.present.renew(principal.clone());
                known.principal = principal.clone();
                self.set_times(&mut known, Instant::now());
                self.standing = Standing::Known(known);
                self.follow_what_may_be_read(&Visitor::Known(principal));
            }
            before @ (Standing::Known(_) | Standing::Rejected) => {
                self.standing = before;
                return self.refuse_in_answer(&Rejected::OtherSubject, reply_to);
            }
            Standing::Anyone | Standing::Awaited { .. } => self.be(principal),
        }
        tracing::debug!(subject = success.subject, "client is known");
        self.reply(&ServerFrame::AuthenticationSuccess(success), reply_to);
    }

    /// Follows what the new token allows, whatever the one before did: only the policy knows which of its claims count.
    fn follow_what_may_be_read(&mut self, visitor: &Visitor) {
        let (shared, mut ended) = (self.shared.clone(), Vec::new());
        self.subscriptions.retain(|known| {
            let may = visitor.sees(&shared, &known.execution);
            if !may {
                ended.push(known.execution.clone());
            }
            may
        });
        for known in self.subscriptions.iter_mut().filter(|known| known.name.is_some()) {
            known.acknowledger = visitor.acknowledger(&shared, &known.execution);
        }
        for id in ended {
            let error = ControlError::Forbidden { action: Action::Read.verb(), id };
            self.reply(&ServerFrame::Error((&error).into()), None);
        }
        let Some(view) = self.events_view.take() else { return };
        let EventsView { cursor, executions, place } = *view;
        let cursor = shared.logs.change_scope(cursor, visitor.scope(&shared, &executions));
        self.events_view = Some(Box::new(EventsView { cursor, executions, place }));
    }

    pub(super) fn refuse_in_answer(&mut self, rejected: &Rejected, reply_to: Option<&str>) {
        let frame = ServerFrame::error(rejected.code(), rejected.to_string(), rejected.is_retryable());
        self.reply(&frame, reply_to);
        self.refuse(rejected);
    }

    /// Closes because of a token.
    pub(super) fn refuse(&mut self, rejected: &Rejected) {
        let code = match rejected.is_retryable() {
            true => CloseCode::AuthenticationTimeout,
            false => CloseCode::Unauthenticated,
        };
        self.close(code, &rejected.to_string());
    }

    /// Does what is due about who the client is.
    pub(super) fn check_standing(&mut self, now: Instant) {
        match &mut self.standing {
            Standing::Awaited { by } if *by <= now => {
                self.close(CloseCode::AuthenticationTimeout, CloseCode::AuthenticationTimeout.meaning());
            }
            Standing::Known(known) if known.ends <= now => self.refuse(&Rejected::Expired),
            Standing::Known(known) if known.warn.is_some_and(|warn| warn <= now) => {
                known.warn = None;
                let expiring = TokenExpiring { expires_at: known.principal.expires_at() };
                self.reply(&ServerFrame::TokenExpiring(expiring), None);
            }
            _ => {}
        }
    }
}
