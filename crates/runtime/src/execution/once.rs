//! The keys of `emit_once`: an attribute of the execution's log for each, in one piece with its event. So a key is there if
//! and only if its event is, also after a crash.

use streamnest_core::AttributeChange;

use super::{Execution, lock};
use crate::{NodeError, NodeResult};

/// Before each key among the attributes.
const PREFIX: &str = "once/";

/// The attribute that says that the event of `key` was emitted.
pub(crate) fn attribute(key: &str) -> NodeResult<AttributeChange> {
    AttributeChange::set(&[PREFIX, key].concat(), "").map_err(|_| {
        let bytes = key.len();
        NodeError::public(format!(
            "`emit_once` key has {bytes} bytes; it may have at most 1,019, so shorten it"
        ))
    })
}

impl Execution {
    /// Takes `key` for `emit_once`; `false` if it is taken, by this process or by an earlier one.
    pub(crate) fn claim_key(&self, key: &str, attribute: &AttributeChange) -> NodeResult<bool> {
        let mut keys = lock(&self.keys);
        if keys.contains(key) || self.writer.attribute(&attribute.key).is_some() {
            return Ok(false);
        }
        let limit = self.options.max_once_keys;
        if keys.len() >= limit {
            return Err(NodeError::public(format!(
                "execution has used {limit} `emit_once` keys, the limit of `EngineOptions::max_once_keys`"
            )));
        }
        keys.insert(key.into());
        Ok(true)
    }

    /// Gives a key back whose event was not emitted.
    pub(crate) fn release_key(&self, key: &str) {
        lock(&self.keys).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use streamnest_core::{ExecutionId, Timestamp, WorkflowName};
    use streamnest_log::{LogOptions, MemoryStore, Registry, SystemClock};

    use super::*;
    use crate::{EngineOptions, fingerprint::Fingerprint};

    #[tokio::test]
    async fn a_key_that_the_log_knows_is_taken() {
        let clock = Arc::new(SystemClock);
        let logs = Registry::new(Arc::new(MemoryStore::new(clock.clone())), clock, LogOptions::default());
        let id = ExecutionId::new("run").unwrap();
        let paid = attribute("paid").unwrap();
        let writer = logs.create_with(&id, std::slice::from_ref(&paid)).await.unwrap();
        let (workflow, input) = (WorkflowName::new("pay").unwrap(), Fingerprint::of("null"));
        let options = Arc::new(EngineOptions::default());
        let execution = Execution::new(id, writer, workflow, input, Timestamp::default(), options, 1_024);
        assert!(!execution.claim_key("paid", &paid).unwrap());
        let other = attribute("other").unwrap();
        assert!(execution.claim_key("other", &other).unwrap());
        assert!(!execution.claim_key("other", &other).unwrap());
        execution.release_key("other");
        assert!(execution.claim_key("other", &other).unwrap());
    }

    #[test]
    fn a_key_that_is_too_long_is_refused_with_its_length() {
        assert!(attribute(&"k".repeat(1_019)).is_ok());
        let error = attribute(&"k".repeat(1_020)).unwrap_err().to_string();
        assert!(error.contains("1020 bytes") && error.contains("1,019"), "{error}");
    }
}
