//! Who asks.

use std::fmt;

use serde::de::DeserializeOwned;
use streamnest_core::{Tenant, Timestamp};

use super::key::Mark;
use crate::access::{Pattern, Scopes};

/// Who asks, from the claims of a token.
///
/// | claim | what it says |
/// |---|---|
/// | `sub` | the subject: the user, or the program |
/// | `tenant` | whose executions and streams it is about; without it the subject is a tenant of its own |
/// | `scope` | what it may do: `read`, `start`, `cancel`, `produce`, `admin`, `operate`, as a list or separated by spaces |
/// | `executions` | patterns of the executions that it is about, with `*` for anything; without it all of the tenant |
/// | `streams` | the same of the paths at `/v1/stream`; without it all of the tenant, or none if `executions` limits it |
///
/// Everything else is at [`claim`](Self::claim), for a policy of your own.
#[derive(Clone)]
pub struct Principal {
    pub(super) subject: Box<str>,
    pub(super) tenant: Tenant,
    pub(crate) scopes: Scopes,
    pub(crate) executions: Option<Box<[Pattern]>>,
    pub(crate) streams: Option<Box<[Pattern]>>,
    pub(super) token_id: Option<Box<str>>,
    pub(super) issued_at: Option<Timestamp>,
    pub(super) expires_at: Timestamp,
    /// The key of a set that its token is signed by.
    pub(super) mark: Option<Mark>,
    /// The other claims, as JSON; empty if there are none.
    pub(super) claims: Box<str>,
}

impl Principal {
    /// The subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whose executions and streams it may use.
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The name of its token, if that has one: `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// When its token expires.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// A claim that means nothing here; `None` if it is not there or no such value.
    pub fn claim<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let mut claims: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&self.claims).ok()?;
        serde_json::from_value(claims.remove(name)?).ok()
    }

    /// What tells it from every other principal. No tenant's key holds a slash.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.tenant, self.subject)
    }

    /// Whether it is the same one as another, whatever their tokens say.
    pub fn is_same(&self, other: &Self) -> bool {
        self.tenant == other.tenant && self.subject == other.subject
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("subject", &self.subject)
            .field("tenant", &self.tenant)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
