//! Starting once, however often it is asked.

use std::{
    collections::{HashMap, hash_map::Entry},
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
    limit: usize,
    keys: Mutex<Keys>,
}

struct Keys {
    /// Those whose execution was started. Only they take a place that another has to give up.
    answered: Shares<Option<Who>, Answered>,
    /// Those whose start is under way.
    open: HashMap<Box<str>, Open>,
}

struct Answered {
    fingerprint: u64,
    body: StartedBody,
}

struct Open {
    fingerprint: u64,
    execution_id: ExecutionId,
    /// How many ask for it at once.
    requests: usize,
}

/// What is known of a key.
pub(super) enum Claim<'a> {
    /// The answer to the first request of this key.
    Answered(StartedBody),
    /// The first request of this key, or one while that is not answered yet.
    Open(Claimed<'a>),
}

/// A key whose request is not answered yet. Nothing is known of it any more when all of these are dropped without an answer.
pub(super) struct Claimed<'a> {
    owner: &'a Idempotency,
    who: Option<Who>,
    key: Box<str>,
    fingerprint: u64,
    execution_id: ExecutionId,
}

impl Idempotency {
    pub(crate) fn new(limit: usize, ttl: Duration) -> Self {
        let keys = Keys { answered: Shares::new(limit, ttl), open: HashMap::new() };
        Self { hasher: RandomState::new(), limit, keys: Mutex::new(keys) }
    }

    /// Looks up the `key` of `subject`, or opens it for `who` with the id under which `request` would start.
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
        let reused = || {
            let message = "`Idempotency-Key` was used for another request; choose a new one";
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", message)
        };
        let fingerprint = self.fingerprint(request);
        // Everybody has keys of their own. No key holds a line break.
        let key = format!("{subject}\n{key}").into_boxed_str();
        let mut keys = self.lock();
        if let Some(answered) = keys.answered.get_mut(&key) {
            return match answered.fingerprint == fingerprint {
                true => Ok(Claim::Answered(answered.body.clone())),
                false => Err(reused()),
            };
        }
        let under_way = keys.open.len();
        let open = match keys.open.entry(key.clone()) {
            Entry::Occupied(open) if open.get().fingerprint != fingerprint => return Err(reused()),
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(_) if under_way >= self.limit => return Err(Refusal::too_many_keys(self.limit)),
            Entry::Vacant(vacant) => vacant.insert(Open { fingerprint, execution_id, requests: 0 }),
        };
        open.requests += 1;
        let execution_id = open.execution_id.clone();
        Ok(Claim::Open(Claimed { owner: self, who, key, fingerprint, execution_id }))
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
    pub(super) fn answer(self, body: &StartedBody) {
        let mut keys = self.owner.lock();
        if keys.answered.get_mut(&self.key).is_none() {
            let answered = Answered { fingerprint: self.fingerprint, body: body.clone() };
            keys.answered.insert(self.who.clone(), self.key.clone(), answered);
        }
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut keys = self.owner.lock();
        if let Some(open) = keys.open.get_mut(&self.key) {
            open.requests -= 1;
            if open.requests == 0 {
                keys.open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
