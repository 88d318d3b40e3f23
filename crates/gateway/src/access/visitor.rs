//! Who asks, and what of everything that is theirs.

use std::{collections::HashSet, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use streamnest_core::{ControlError, ExecutionId, Signal, Tenant};
use streamnest_log::{Acknowledger, FanInScope};
use uuid::Uuid;

use super::{AccessPolicy, Action, Resource, Scope};
use crate::{
    Principal,
    auth::{Admission, Rejected},
    http::Refusal,
    shared::Shared,
};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Visitor {
    /// Nobody is asked who they are, and everybody may do everything.
    Anyone,
    /// One who has shown a token.
    Known(Arc<Principal>),
}

impl Visitor {
    /// Whose executions it may use; `None` are those of no tenant.
    pub(crate) fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Anyone => None,
            Self::Known(principal) => Some(principal.tenant()),
        }
    }

    /// Whose the executions, streams and keys are that it makes; `None` where nobody is asked who they are.
    pub(crate) fn owner(&self) -> Option<String> {
        match self {
            Self::Anyone => None,
            Self::Known(principal) => Some(principal.key()),
        }
    }

    /// As whom it uses names of subscriptions of an execution, which is the server's own id. Those of others are for who may forget
    /// the execution altogether.
    pub(crate) fn acknowledger(&self, shared: &Shared, execution: &ExecutionId) -> Acknowledger {
        match self {
            Self::Anyone => Acknowledger::Anyone,
            Self::Known(principal) => Acknowledger::User {
                key: principal.key(),
                uses_others: self.allows(&*shared.policy, Action::Delete, Resource::Execution(execution)),
            },
        }
    }

    /// The execution that it means by an id.
    fn own(&self, id: &ExecutionId) -> ExecutionId {
        self.tenant().map_or_else(|| id.clone(), |tenant| id.within(tenant))
    }

    fn allows(&self, policy: &dyn AccessPolicy, action: Action, resource: Resource<'_>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Known(principal) => policy.allows(principal, action, resource),
        }
    }

    /// The execution that it means by an id, if it may do that with it.
    ///
    /// # Errors
    /// What it may not see does not exist for it, and is not even looked for, so that the time tells nothing either.
    pub(crate) fn execution(
        &self,
        shared: &Shared,
        action: Action,
        id: &ExecutionId,
    ) -> Result<ExecutionId, ControlError> {
        let own = self.own(id);
        let may = |action| self.allows(&*shared.policy, action, Resource::Execution(&own));
        if may(action) {
            Ok(own)
        } else if action == Action::Start || may(Action::Read) {
            // It is told the same of an id that is free.
            Err(ControlError::Forbidden { action: action.verb(), id: own })
        } else {
            Err(ControlError::UnknownExecution { id: own })
        }
    }

    /// The execution that it is about to start: of the id that it chose, or of a new one.
    pub(crate) fn to_start(
        &self,
        shared: &Shared,
        id: Option<ExecutionId>,
    ) -> Result<Option<ExecutionId>, ControlError> {
        match (id, self) {
            (None, Self::Anyone) => Ok(None),
            (id, _) => self.execution(shared, Action::Start, &id.unwrap_or_else(new_id)).map(Some),
        }
    }

    /// An answer with who gives it: one who has shown a token is who the token names.
    ///
    /// # Errors
    /// [`ControlError::InvalidAnswer`] to who would be somebody else.
    pub(crate) fn sign(&self, signal: Signal) -> Result<Signal, ControlError> {
        let Self::Known(principal) = self else { return Ok(signal) };
        let subject = principal.subject();
        if signal.by.as_deref().is_some_and(|by| by != subject) {
            let reason = format!("`by` is who the token names, `{subject}`; leave it out");
            return Err(ControlError::InvalidAnswer { ask: signal.ask, reason });
        }
        Ok(Signal { by: Some(subject.into()), ..signal })
    }

    /// Whether it may do that with a stream of its tenant.
    pub(crate) fn may_use_stream(&self, shared: &Shared, action: Action, path: &str) -> bool {
        self.allows(&*shared.policy, action, Resource::Stream(path))
    }

    /// Whether it may read any execution at all.
    pub(crate) fn reads_any(&self, shared: &Shared) -> bool {
        match self {
            Self::Anyone => true,
            Self::Known(principal) => shared.policy.reads_any(principal),
        }
    }

    /// Those of many executions that it may read.
    pub(crate) fn scope(&self, shared: &Shared, ids: &[ExecutionId]) -> FanInScope {
        let chosen: HashSet<_> = ids.iter().map(|id| self.own(id)).collect();
        let Self::Known(principal) = self else {
            return if ids.is_empty() { FanInScope::All } else { FanInScope::Executions(chosen) };
        };
        let (principal, policy) = (principal.clone(), shared.policy.clone());
        FanInScope::Which(Arc::new(move |id| {
            id.is_of(Some(principal.tenant()))
                && (chosen.is_empty() || chosen.contains(id))
                && policy.allows(&principal, Action::Read, Resource::Execution(id))
        }))
    }

    /// Refuses whoever may not administer a tenant: with tokens, who has no `admin` in its scope.
    pub(crate) fn must_administer(&self) -> Result<(), Refusal> {
        self.must_have(Scope::Admin, "administer")
    }

    /// Refuses whoever may not see how the server fares, all tenants together: with tokens, who has no `operate` in its scope.
    pub(crate) fn must_operate(&self) -> Result<(), Refusal> {
        self.must_have(Scope::Operate, "see how the whole server fares")
    }

    fn must_have(&self, scope: Scope, to: &str) -> Result<(), Refusal> {
        match self {
            Self::Known(principal) if !principal.scopes.has(scope) => Err(Refusal::without_scope(scope, to)),
            _ => Ok(()),
        }
    }

    /// Whether it may see an execution in a list.
    pub(crate) fn sees(&self, shared: &Shared, id: &ExecutionId) -> bool {
        id.is_of(self.tenant()) && self.allows(&*shared.policy, Action::Read, Resource::Execution(id))
    }
}

/// A new id for an execution.
pub(crate) fn new_id() -> ExecutionId {
    ExecutionId::new(&Uuid::now_v7().to_string()).expect("a UUID is a legal execution id")
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match parts.extensions.get::<Admission>() {
            Some(Admission::Admitted(visitor)) => Ok(visitor.clone()),
            _ => Err(Refusal::unauthenticated(&Rejected::Missing)),
        }
    }
}
