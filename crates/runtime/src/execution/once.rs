//! The keys of `emit_once`: an attribute of the execution's log for each, in one piece with its event.
//!
//! A run ends with its server, so that who runs it knows all its keys. They are in the log for whoever reads how far it had come; an
//! execution that a program outside speaks for goes on after a restart, and there the log's attributes decide.

use streamnest_core::AttributeChange;
use streamnest_log::{MAX_ONCE_KEY, once_attribute};

use super::{Execution, lock};
use crate::{NodeError, NodeResult};

/// The attribute that says that the event of `key` was emitted.
pub(crate) fn attribute(key: &str) -> NodeResult<AttributeChange> {
    once_attribute(key).map_err(|_| {
        let bytes = key.len();
        NodeError::public(format!(
            "`emit_once` key has {bytes} bytes; it may have at most {MAX_ONCE_KEY}, so shorten it"
        ))
    })
}

impl Execution {
    /// Takes `key` for `emit_once`; `false` if it is taken.
    pub(crate) fn claim_key(&self, key: &str) -> NodeResult<bool> {
        let mut keys = lock(&self.keys);
        if keys.contains(key) {
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
    use super::*;

    #[test]
    fn a_key_that_is_too_long_is_refused_with_its_length() {
        assert!(attribute(&"k".repeat(MAX_ONCE_KEY)).is_ok());
        let error = attribute(&"k".repeat(MAX_ONCE_KEY + 1)).unwrap_err().to_string();
        assert!(error.contains("1020 bytes") && error.contains("1019"), "{error}");
    }
}
