//! Tickets: a page that cannot set headers gets one by a request that can, and shows it once.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Serialize;
use streamnest_core::Timestamp;

use super::Principal;
use crate::{
    access::Visitor,
    http::{Refusal, json},
    shared::Shared,
    shares::Shares,
};

/// The random bytes of a ticket.
const BYTES: usize = 32;

/// The tickets that are not used yet. Beyond the limit, whoever has most loses its oldest.
pub(super) struct Tickets(Mutex<Shares<String, Arc<Principal>>>);

impl Tickets {
    pub(super) fn new(limit: usize, ttl: Duration) -> Self {
        Self(Mutex::new(Shares::new(limit, ttl)))
    }

    /// A new one, and how long it is good; `None` if the system gives no random bytes.
    fn issue(&self, principal: Arc<Principal>) -> Option<(Box<str>, Duration)> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).ok()?;
        let mut ticket = String::with_capacity(2 * BYTES);
        for byte in bytes {
            // Writing to a text cannot fail.
            let _ = write!(ticket, "{byte:02x}");
        }
        let ticket = ticket.into_boxed_str();
        let mut issued = self.lock();
        issued.insert(principal.key(), ticket.clone(), principal);
        Some((ticket, issued.ttl()))
    }

    pub(super) fn redeem(&self, ticket: &str) -> Option<Arc<Principal>> {
        self.lock().take(ticket)
    }

    fn lock(&self) -> MutexGuard<'_, Shares<String, Arc<Principal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    let (ticket, ttl) = auth.tickets.issue(principal).ok_or_else(Refusal::internal)?;
    Ok(json(StatusCode::CREATED, &Ticket { ticket, expires_at: shared.logs.now().after(ttl) }))
}
