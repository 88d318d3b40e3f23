//! Tokens that are not taken any more though they have not expired.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use streamnest_core::{Tenant, Timestamp};

use super::Principal;
use crate::{
    Error,
    access::Visitor,
    http::{Refusal, json, parse, take},
    shared::Shared,
};

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
    /// The token of this name, if it is of the tenant.
    TokenOf(Tenant, String),
    /// All tokens of a subject in the tenant.
    SubjectOf(Tenant, String),
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
            Self::TokenOf(tenant, id) => {
                principal.tenant() == tenant && principal.token_id() == Some(id.as_str())
            }
            Self::SubjectOf(tenant, subject) => {
                is_older && principal.tenant() == tenant && principal.subject() == subject
            }
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
        let (tenant, subject) = (principal.tenant(), principal.subject());
        let token = |of: fn(Tenant, String) -> Revocation| {
            principal.token_id().map(|id| of(tenant.clone(), id.into()))
        };
        let concerning = [
            token(|_, id| Revocation::Token(id)),
            token(Revocation::TokenOf),
            Some(Revocation::Subject(subject.into())),
            Some(Revocation::SubjectOf(tenant.clone(), subject.into())),
            Some(Revocation::Tenant(tenant.clone())),
        ];
        concerning.iter().flatten().any(|revocation| {
            made.get(revocation)
                .is_some_and(|at| at.after(self.ttl) > now && revocation.concerns(principal, *at))
        })
    }
}

/// What is revoked by a request: one of the two.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    token: Option<String>,
    subject: Option<String>,
}

#[derive(Serialize)]
struct Revoked {
    connections: usize,
}

/// `POST /admin/revocations`, for whoever administers, within its own tenant.
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Refusal> {
    let (Some(_), Visitor::Known(principal)) = (shared.auth(), &visitor) else {
        return Err(Refusal::not_found("/admin/revocations"));
    };
    visitor.must_administer()?;
    let tenant = principal.tenant().clone();
    let asked: Asked = parse(&take(request.into_body(), &shared.options).await?)?;
    let revocation = match (asked.token, asked.subject) {
        (Some(token), None) => Revocation::TokenOf(tenant, token),
        (None, Some(subject)) => Revocation::SubjectOf(tenant, subject),
        _ => {
            let message = "body has to name one `token`, by its `jti`, or one `subject`";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_body", message));
        }
    };
    let connections = shared
        .revoke(&revocation)
        .map_err(|error| Refusal::new(StatusCode::INSUFFICIENT_STORAGE, error.code(), error.to_string()))?;
    Ok(json(StatusCode::OK, &Revoked { connections }))
}
