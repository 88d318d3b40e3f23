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

use super::{
    Principal,
    claims::{MAX_SUBJECT, MAX_TOKEN_ID, is_subject, is_token_id},
};
use crate::{
    Error,
    access::Visitor,
    http::{Refusal, json, parse, take},
    shared::Shared,
};

/// What every JSON Web Token begins with: `{"` in base64.
const JWT: &str = "eyJ";

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
    /// What it is about, without its name.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) | Self::TokenOf(..) => "token",
            Self::Subject(_) | Self::SubjectOf(..) => "subject",
            Self::Tenant(_) => "tenant",
        }
    }

    /// The one tenant that it is about, if it is about one.
    pub(crate) const fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Token(_) | Self::Subject(_) => None,
            Self::Tenant(tenant) | Self::TokenOf(tenant, _) | Self::SubjectOf(tenant, _) => Some(tenant),
        }
    }

    /// Refuses what no token can be about. It is not repeated: whoever pastes a token in place of its name has it nowhere.
    fn check(&self) -> Result<(), Error> {
        let invalid = |reason: String| Err(Error::InvalidRevocation { reason });
        let (Self::Token(name) | Self::TokenOf(_, name) | Self::Subject(name) | Self::SubjectOf(_, name)) =
            self
        else {
            return Ok(());
        };
        let is_subject_wanted = self.kind() == "subject";
        if name.starts_with(JWT) && name.matches('.').count() >= 2 {
            invalid("holds a whole token; name it by its `jti` claim, or its subject by `sub`".into())
        } else if is_subject_wanted && !is_subject(name) {
            let length = name.len();
            invalid(format!(
                "has a subject of {length} bytes; a `sub` claim has 1 to {MAX_SUBJECT}, and no control character"
            ))
        } else if !is_subject_wanted && !is_token_id(name) {
            let length = name.len();
            invalid(format!("has a `jti` of {length} bytes; such a claim has 1 to {MAX_TOKEN_ID}"))
        } else {
            Ok(())
        }
    }

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

/// What was revoked, each for as long as a token could be valid that was issued before. Nothing makes room for another: a token
/// that was revoked would be good again.
pub(super) struct Revocations {
    limit: usize,
    /// The most of one tenant.
    share: usize,
    ttl: Duration,
    made: Mutex<HashMap<Revocation, Timestamp>>,
}

impl Revocations {
    pub(super) fn new(limit: usize, share: usize, ttl: Duration) -> Self {
        Self { limit, share, ttl, made: Mutex::default() }
    }

    pub(super) fn add(&self, revocation: Revocation, now: Timestamp) -> Result<(), Error> {
        revocation.check()?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, at| at.after(self.ttl) > now);
        if !made.contains_key(&revocation) {
            let tenant = revocation.tenant();
            let of_tenant = || made.keys().filter(|known| known.tenant() == tenant).count();
            if tenant.is_some() && of_tenant() >= self.share {
                return Err(Error::TooManyRevocationsOfTenant { limit: self.share });
            }
            if made.len() >= self.limit {
                return Err(Error::TooManyRevocations { limit: self.limit });
            }
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
    jti: Option<String>,
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
    let revocation = match (asked.jti, asked.subject) {
        (Some(jti), None) => Revocation::TokenOf(tenant, jti),
        (None, Some(subject)) => Revocation::SubjectOf(tenant, subject),
        _ => {
            let message = "body has to name one token by its `jti` claim, or one `subject`";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_body", message));
        }
    };
    let connections = shared.revoke(&revocation).map_err(|error| {
        let status = match error {
            Error::InvalidRevocation { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::INSUFFICIENT_STORAGE,
        };
        Refusal::new(status, error.code(), error.to_string())
    })?;
    Ok(json(StatusCode::OK, &Revoked { connections }))
}
