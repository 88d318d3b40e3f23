//! What whoever asks may do.

mod pattern;
mod scope;
mod visitor;

use streamnest_core::ExecutionId;

pub use self::scope::Scope;
pub(crate) use self::{
    pattern::Pattern,
    scope::Scopes,
    visitor::{Visitor, new_id},
};
use crate::Principal;

/// What somebody wants to do with an execution or a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Follow it, or ask how it stands.
    Read,
    /// Start it, or attach to it.
    Start,
    /// Answer what it asks.
    Answer,
    /// Stop it.
    Cancel,
    /// Forget it.
    Delete,
    /// Make it from outside, or append to it.
    Produce,
}

impl Action {
    /// The word for it in messages.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Start => "start",
            Self::Answer => "answer",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
            Self::Produce => "produce",
        }
    }
}

/// With what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Resource<'a> {
    /// An execution, of the principal's tenant.
    Execution(&'a ExecutionId),
    /// A stream of the principal's tenant, by its path at `/v1/stream`.
    Stream(&'a str),
}

/// Decides who may do what within a tenant. What lies outside the tenant does not exist for a principal, whatever this says.
///
/// It is asked at every request, for every subscription when that begins, and once for each execution that a view of many
/// comes upon. It must be quick and must not wait. Where its answers change, call
/// [`Gateway::revoke`](crate::Gateway::revoke) for whom they concern.
///
/// ```
/// use streamnest_gateway::{AccessPolicy, Action, ClaimsPolicy, Principal, Resource};
///
/// /// Guests only look.
/// struct Guests;
///
/// impl AccessPolicy for Guests {
///     fn allows(&self, principal: &Principal, action: Action, resource: Resource<'_>) -> bool {
///         let is_guest = principal.claim::<bool>("guest").unwrap_or(false);
///         (!is_guest || action == Action::Read) && ClaimsPolicy.allows(principal, action, resource)
///     }
/// }
/// ```
pub trait AccessPolicy: Send + Sync + 'static {
    /// Whether `principal` may do `action` with `resource`.
    fn allows(&self, principal: &Principal, action: Action, resource: Resource<'_>) -> bool;

    /// Whether `principal` may read any execution at all. It is asked before a view of many executions takes one of the few places
    /// for those: who would be shown nothing is refused. By default it may.
    fn reads_any(&self, principal: &Principal) -> bool {
        let _ = principal;
        true
    }
}

/// Allows what the claims of the token say: see [`Principal`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClaimsPolicy;

impl AccessPolicy for ClaimsPolicy {
    fn allows(&self, principal: &Principal, action: Action, resource: Resource<'_>) -> bool {
        let scope = match action {
            Action::Read => Scope::Read,
            // Whoever may start a run may also answer what it asks.
            Action::Start | Action::Answer => Scope::Start,
            Action::Cancel | Action::Delete => Scope::Cancel,
            Action::Produce => Scope::Produce,
        };
        if principal.scopes.has(Scope::Admin) {
            return true;
        }
        let matches = |patterns: &Option<Box<[Pattern]>>, name: &str, unlimited: bool| {
            patterns.as_ref().map_or(unlimited, |all| all.iter().any(|pattern| pattern.matches(name)))
        };
        principal.scopes.has(scope)
            && match resource {
                Resource::Execution(id) => matches(&principal.executions, id, true),
                Resource::Stream(path) => matches(&principal.streams, path, principal.executions.is_none()),
            }
    }

    fn reads_any(&self, principal: &Principal) -> bool {
        [Scope::Read, Scope::Admin].into_iter().any(|scope| principal.scopes.has(scope))
    }
}
