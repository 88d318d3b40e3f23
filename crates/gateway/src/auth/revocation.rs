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

/// Which tokens are not taken any more. One that is issued later is, unless it is named.
///
/// ```
/// use streamnest_core::Tenant;
/// use streamnest_gateway::Revocation;
///
/// # fn example() -> Result<(), streamnest_core::Error> {
/// let everywhere = Revocation::subject("ada");
/// let in_one_tenant = Revocation::subject("ada").within(Tenant::new("acme")?);
/// # assert_ne!(everywhere, in_one_tenant);
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Revocation {
    tokens: Tokens,
    /// `None`: of any tenant.
    tenant: Option<Tenant>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Tokens {
    Named(String),
    OfSubject(String),
    All,
}

impl Revocation {
    /// The token of this name (`jti`).
    pub fn token(id: impl Into<String>) -> Self {
        Self { tokens: Tokens::Named(id.into()), tenant: None }
    }

    /// All tokens of a subject.
    pub fn subject(subject: impl Into<String>) -> Self {
        Self { tokens: Tokens::OfSubject(subject.into()), tenant: None }
    }

    /// All tokens of a tenant.
    pub const fn tenant(tenant: Tenant) -> Self {
        Self { tokens: Tokens::All, tenant: Some(tenant) }
    }

    /// Only those of a tenant. Without it they are of any.
    #[must_use]
    pub fn within(self, tenant: Tenant) -> Self {
        Self { tenant: Some(tenant), ..self }
    }

    /// What it is about, without its name.
    pub(crate) const fn kind(&self) -> &'static str {
        match self.tokens {
            Tokens::Named(_) => "token",
            Tokens::OfSubject(_) => "subject",
            Tokens::All => "tenant",
        }
    }

    /// The one tenant that it is about, if it is about one.
    pub(crate) const fn of_tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// The tenant of whose share it takes a place. One of all its tokens takes none: it is the way out where the share is used up.
    fn sharer(&self) -> Option<&Tenant> {
        self.tenant.as_ref().filter(|_| self.tokens != Tokens::All)
    }

    /// Refuses what no token can be about. It is not repeated: whoever pastes a token in place of its name has it nowhere.
    fn check(&self) -> Result<(), Error> {
        let reason = match &self.tokens {
            Tokens::Named(name) | Tokens::OfSubject(name) if is_token(name) => {
                "holds a whole token; name it by its `jti` claim, or its subject by `sub`".into()
            }
            Tokens::OfSubject(name) if !is_subject(name) => format!(
                "has a subject of {} bytes; a `sub` claim has 1 to {MAX_SUBJECT}, and no control character",
                name.len()
            ),
            Tokens::Named(name) if !is_token_id(name) => {
                format!("has a `jti` of {} bytes; such a claim has 1 to {MAX_TOKEN_ID}", name.len())
            }
            _ => return Ok(()),
        };
        Err(Error::InvalidRevocation { reason })
    }

    /// Whether it is about a principal's token, when it was made at `at`.
    pub(crate) fn concerns(&self, principal: &Principal, at: Timestamp) -> bool {
        // A token that does not say when it was issued may be an old one.
        let is_older = principal.issued_at.is_none_or(|issued| issued <= at);
        self.tenant.as_ref().is_none_or(|tenant| tenant == principal.tenant())
            && match &self.tokens {
                Tokens::Named(id) => principal.token_id() == Some(id),
                Tokens::OfSubject(subject) => is_older && principal.subject() == subject,
                Tokens::All => is_older,
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
            let tenant = revocation.sharer();
            let of_tenant = || made.keys().filter(|known| known.sharer() == tenant).count();
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
        let named = principal.token_id().map(|id| Tokens::Named(id.into()));
        let of_subject = Tokens::OfSubject(principal.subject().into());
        let mut concerning = [None, Some(principal.tenant().clone())].into_iter().flat_map(|tenant| {
            let all = named.iter().chain([&of_subject, &Tokens::All]).cloned();
            all.map(move |tokens| Revocation { tokens, tenant: tenant.clone() })
        });
        concerning.any(|revocation| {
            made.get(&revocation)
                .is_some_and(|at| at.after(self.ttl) > now && revocation.concerns(principal, *at))
        })
    }
}

/// Whether it is a whole token and no claim of one.
fn is_token(text: &str) -> bool {
    text.starts_with(JWT) && text.matches('.').count() >= 2
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
        (Some(jti), None) => Revocation::token(jti).within(tenant),
        (None, Some(subject)) => Revocation::subject(subject).within(tenant),
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
