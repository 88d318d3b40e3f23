//! Starting once, however often it is asked.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use streamnest_core::{ExecutionId, StartExecution};

use super::{Refusal, executions::StartedBody};
use crate::{limits::Who, shares::Shares};

/// The longest key, in bytes.
const MAX_KEY: usize = 255;

/// The `Idempotency-Key`s of the last time: the same key with the same request is the same execution.
pub(crate) struct Idempotency {
    /// Its keys are random, so nobody can find two requests of one fingerprint.
    hasher: RandomState,
    keys: Mutex<Keys>,
}

struct Keys {
    known: Shares<Option<Who>, Known>,
    next: u64,
}

struct Known {
    /// Tells it from another that had its key before.
    number: u64,
    fingerprint: u64,
    execution_id: ExecutionId,
    answer: Option<StartedBody>,
}

/// What is known of a key.
pub(super) enum Claim<'a> {
    /// The answer to the first request of this key.
    Answered(StartedBody),
    /// The first request of this key, or one while that is not answered yet.
    Open(Claimed<'a>),
}

/// A key whose request is not answered yet. It is free again if this is dropped without an answer.
pub(super) struct Claimed<'a> {
    owner: &'a Idempotency,
    key: String,
    number: u64,
    execution_id: ExecutionId,
}

impl Idempotency {
    pub(crate) fn new(limit: usize, ttl: Duration) -> Self {
        let keys = Keys { known: Shares::new(limit, ttl), next: 0 };
        Self { hasher: RandomState::new(), keys: Mutex::new(keys) }
    }

    /// Looks up the `key` of `subject`, or enters it for `who` with the id under which `request` would start.
    pub(super) fn claim(
        &self,
        key: &str,
        subject: &str,
        who: Option<Who>,
        request: &StartExecution,
        execution_id: ExecutionId,
    ) -> Result<Claim<'_>, Refusal> {
        if key.is_empty() || key.len() > MAX_KEY {
            let message = format!("`Idempotency-Key` has {} bytes, outside 1 to {MAX_KEY}", key.len());
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_header", message));
        }
        let fingerprint = self.fingerprint(request);
        // Everybody has keys of their own. No key holds a line break.
        let key = &*format!("{subject}\n{key}");
        let mut keys = self.lock();
        let Keys { known, next } = &mut *keys;
        if let Some(known) = known.get_mut(key) {
            if known.fingerprint != fingerprint {
                let message = "`Idempotency-Key` was used for another request; choose a new one";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Err(Refusal::new(status, "idempotency_key_reused", message));
            }
            return Ok(match &known.answer {
                Some(answer) => Claim::Answered(answer.clone()),
                None => Claim::Open(Claimed {
                    owner: self,
                    key: key.into(),
                    number: known.number,
                    execution_id: known.execution_id.clone(),
                }),
            });
        }
        let number = *next;
        *next += 1;
        let entry = Known { number, fingerprint, execution_id: execution_id.clone(), answer: None };
        known.insert(who, key.into(), entry);
        Ok(Claim::Open(Claimed { owner: self, key: key.into(), number, execution_id }))
    }

    fn fingerprint(&self, request: &StartExecution) -> u64 {
        // `Value` writes its objects in the order of their keys, so spelling does not count.
        let on_disconnect = request.on_disconnect.map(|choice| choice as u8);
        self.hasher.hash_one((
            &request.workflow,
            request.input.to_string(),
            &request.execution_id,
            on_disconnect,
        ))
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed<'_> {
    pub(super) const fn execution_id(&self) -> &ExecutionId {
        &self.execution_id
    }

    /// Remembers the answer for who asks again.
    pub(super) fn answer(self, answer: &StartedBody) {
        if let Some(known) = self.owner.lock().known.get_mut(&self.key)
            && known.number == self.number
        {
            known.answer.get_or_insert_with(|| answer.clone());
        }
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut keys = self.owner.lock();
        let open = |known: &mut Known| known.number == self.number && known.answer.is_none();
        if keys.known.get_mut(&self.key).is_some_and(open) {
            keys.known.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
