//! Starting once, however often it is asked.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use streamnest_core::{ExecutionId, StartExecution};
use tokio::time::Instant;

use super::{Refusal, executions::StartedBody};

/// The longest key, in bytes.
const MAX_KEY: usize = 255;

/// The `Idempotency-Key`s of the last time: the same key with the same request is the same execution.
pub(crate) struct Idempotency {
    limit: usize,
    ttl: Duration,
    /// Its keys are random, so nobody can find two requests of one fingerprint.
    hasher: RandomState,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    known: HashMap<String, Known>,
    /// Oldest first; each key of `known` stands here once, with the number of its entry.
    order: VecDeque<(Instant, String, u64)>,
    next: u64,
}

struct Known {
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
        Self { limit, ttl, hasher: RandomState::new(), keys: Mutex::default() }
    }

    /// Looks up the `key` of `subject`, or enters it with the id that `request` names, or else a new one.
    pub(super) fn claim(
        &self,
        key: &str,
        subject: &str,
        request: &StartExecution,
        new_id: impl FnOnce() -> ExecutionId,
    ) -> Result<Claim<'_>, Refusal> {
        if key.is_empty() || key.len() > MAX_KEY {
            let message = format!("`Idempotency-Key` has {} bytes, outside 1 to {MAX_KEY}", key.len());
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_header", message));
        }
        let fingerprint = self.fingerprint(request);
        // Everybody has keys of their own. No key holds a line break.
        let key = &*format!("{subject}\n{key}");
        let mut keys = self.lock();
        keys.forget(usize::MAX, self.ttl);
        if let Some(known) = keys.known.get(key) {
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
        let execution_id = request.execution_id.clone().unwrap_or_else(new_id);
        keys.forget(self.limit - 1, self.ttl);
        let number = keys.next;
        keys.next += 1;
        keys.order.push_back((Instant::now(), key.into(), number));
        let known = Known { number, fingerprint, execution_id: execution_id.clone(), answer: None };
        keys.known.insert(key.into(), known);
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

impl Keys {
    /// Forgets what has expired, and the oldest beyond `limit`.
    fn forget(&mut self, limit: usize, ttl: Duration) {
        while let Some((since, key, number)) = self.order.front() {
            let stale = self.known.get(key).is_none_or(|known| known.number != *number);
            if !(stale || since.elapsed() >= ttl || self.order.len() > limit) {
                break;
            }
            if !stale {
                self.known.remove(key);
            }
            self.order.pop_front();
        }
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
        let open = |known: &Known| known.number == self.number && known.answer.is_none();
        if keys.known.get(&self.key).is_some_and(open) {
            keys.known.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
