//! Which log of a store.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use crate::{Error, ExecutionId};

/// The longest log name, in bytes.
const NAME_MAX: usize = 512;
/// What the names of executions' logs begin with.
const EXECUTIONS: &str = "executions/";

/// The name of a log in its store: 1 to 512 bytes, no control characters, parts separated by slashes.
///
/// The log of an execution is `executions/<id>`, or `executions/<tenant>/<id>` if it belongs to a tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName(Arc<str>);

impl LogName {
    /// What the names of executions' logs begin with, `executions/`: the prefix to list them by.
    pub const EXECUTIONS: &'static str = EXECUTIONS;

    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// [`Error::LogNameLength`], [`Error::LogNameCharacter`]; what is wrong with the execution's id, if it is the name of an
    /// execution's log.
    pub fn new(text: &str) -> Result<Self, Error> {
        let length = text.len();
        if length == 0 || length > NAME_MAX {
            return Err(Error::LogNameLength { length, limit: NAME_MAX });
        }
        if let Some(character) = text.chars().find(|character| character.is_control()) {
            return Err(Error::LogNameCharacter { character });
        }
        if let Some(id) = text.strip_prefix(EXECUTIONS) {
            ExecutionId::from_key(id)?;
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The execution whose log it is, if it is one's.
    pub fn execution(&self) -> Option<ExecutionId> {
        self.0.strip_prefix(EXECUTIONS).and_then(|id| ExecutionId::from_key(id).ok())
    }
}

/// What a log can be asked for by: its name, or the execution whose log it is.
pub trait NamesLog: Sync {
    /// The name of the log.
    fn log_name(&self) -> LogName;
}

impl NamesLog for LogName {
    fn log_name(&self) -> LogName {
        self.clone()
    }
}

impl NamesLog for ExecutionId {
    fn log_name(&self) -> LogName {
        LogName([EXECUTIONS, self.key()].concat().into())
    }
}

impl Borrow<str> for LogName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Deref for LogName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tenant;

    #[test]
    fn the_log_of_an_execution_is_named_after_it() {
        let id = ExecutionId::new("tenant:run-1").unwrap();
        let name = id.log_name();
        assert_eq!(name.as_str(), "executions/tenant:run-1");
        assert_eq!(name.execution(), Some(id));
        assert_eq!(LogName::new("executions/tenant:run-1").unwrap(), name);
        let id = ExecutionId::new(&"x".repeat(128))
            .unwrap()
            .within(&Tenant::of_subject(&"/".repeat(120)).unwrap());
        assert_eq!(LogName::new(&id.log_name()).unwrap().execution(), Some(id));
        assert_eq!(LogName::new("streams/a/b").unwrap().execution(), None);
    }

    #[test]
    fn a_bad_name_is_told_what_is_wrong() {
        let message = |text: &str| LogName::new(text).unwrap_err().to_string();
        assert!(message("").contains("0 bytes"));
        assert!(message(&"x".repeat(513)).contains("limit of 512"));
        assert!(message("a\nb").contains("'\\n'"));
        assert!(message("executions/a b").contains("' '"));
    }
}
