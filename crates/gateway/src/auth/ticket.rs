//! Tickets: a page that cannot set headers gets one by a request that can, and shows it once.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Serialize;
use streamnest_core::Timestamp;
use tokio::time::Instant;

use super::Principal;
use crate::{
    access::Visitor,
    http::{Refusal, json},
    shared::Shared,
};

/// The random bytes of a ticket.
const BYTES: usize = 32;

/// The tickets that are not used yet.
pub(super) struct Tickets {
    limit: usize,
    ttl: Duration,
    issued: Mutex<HashMap<Box<str>, Issued>>,
}

struct Issued {
    until: Instant,
    principal: Arc<Principal>,
}

impl Tickets {
    pub(super) fn new(limit: usize, ttl: Duration) -> Self {
        Self { limit, ttl, issued: Mutex::default() }
    }

    /// A new one; `None` if as many as may be are valid.
    fn issue(&self, principal: Arc<Principal>) -> Option<Box<str>> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).ok()?;
        let mut ticket = String::with_capacity(2 * BYTES);
        for byte in bytes {
            // Writing to a text cannot fail.
            let _ = write!(ticket, "{byte:02x}");
        }
        let ticket = ticket.into_boxed_str();
        let now = Instant::now();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.len() >= self.limit {
            issued.retain(|_, known| known.until > now);
        }
        if issued.len() >= self.limit {
            return None;
        }
        issued.insert(ticket.clone(), Issued { until: now + self.ttl, principal });
        Some(ticket)
    }

    pub(super) fn redeem(&self, ticket: &str) -> Option<Arc<Principal>> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let Issued { until, principal } = issued.remove(ticket)?;
        (until > Instant::now()).then_some(principal)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ticket {
    ticket: Box<str>,
    expires_at: Timestamp,
}

/// `POST /tickets`
pub(crate) async fn issue(State(shared): State<Arc<Shared>>, visitor: Visitor) -> Result<Response, Refusal> {
    let (Some(auth), Visitor::Known(principal)) = (shared.auth(), visitor) else {
        return Err(Refusal::not_found("/tickets"));
    };
    let tickets = &auth.tickets;
    let ticket = tickets.issue(principal).ok_or_else(|| {
        let limit = tickets.limit;
        let message =
            format!("{limit} tickets are valid, the limit of `authentication.max_tickets`; try again later");
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tickets", message).retry_after(tickets.ttl)
    })?;
    Ok(json(StatusCode::CREATED, &Ticket { ticket, expires_at: shared.logs.now().after(tickets.ttl) }))
}
