//! Tokens that are not taken any more though they have not expired.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use streamnest_core::{Tenant, Timestamp};

use super::Principal;
use crate::Error;

/// Whose tokens are not taken any more. A token that is issued later is, except for one of the same name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Revocation {
    /// The token of this name (`jti`).
    Token(String),
    /// All tokens of a subject, whatever its tenant.
    Subject(String),
    /// All tokens of a tenant.
    Tenant(Tenant),
}

impl Revocation {
    /// Whether it is about a principal's token, when it was made at `at`.
    pub(crate) fn concerns(&self, principal: &Principal, at: Timestamp) -> bool {
        // A token that does not say when it was issued may be an old one.
        let is_older = principal.issued_at.is_none_or(|issued| issued <= at);
        match self {
            Self::Token(id) => principal.token_id() == Some(id),
            Self::Subject(subject) => is_older && principal.subject() == subject,
            Self::Tenant(tenant) => is_older && principal.tenant() == tenant,
        }
    }
}

/// What was revoked, each for as long as a token could be valid that was issued before.
pub(super) struct Revocations {
    limit: usize,
    ttl: Duration,
    made: Mutex<HashMap<Revocation, Timestamp>>,
}

impl Revocations {
    pub(super) fn new(limit: usize, ttl: Duration) -> Self {
        Self { limit, ttl, made: Mutex::default() }
    }

    pub(super) fn add(&self, revocation: Revocation, now: Timestamp) -> Result<(), Error> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, at| at.after(self.ttl) > now);
        if made.len() >= self.limit && !made.contains_key(&revocation) {
            return Err(Error::TooManyRevocations { limit: self.limit });
        }
        made.insert(revocation, now);
        Ok(())
    }

    pub(super) fn concern(&self, principal: &Principal, now: Timestamp) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.is_empty() {
            return false;
        }
        let token = principal.token_id().map(|id| Revocation::Token(id.into()));
        let subject = Revocation::Subject(principal.subject().into());
        let tenant = Revocation::Tenant(principal.tenant().clone());
        [token, Some(subject), Some(tenant)].iter().flatten().any(|revocation| {
            made.get(revocation)
                .is_some_and(|at| at.after(self.ttl) > now && revocation.concerns(principal, *at))
        })
    }
}
