//! The names of executions.

use std::{fmt, ops::Deref, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Error, Tenant};

/// The longest [`ExecutionId`], in characters.
const MAX: usize = 128;
/// Stands between a tenant and an id, and in neither.
const SEPARATOR: char = '/';

/// The name of one execution, and so of its log.
///
/// 1 to 128 characters of `A–Z a–z 0–9 - _ . : ~`, not `.` or `..`. A path segment or an SSE field can carry it
/// unescaped.
///
/// It may belong to a [`Tenant`]: two tenants may use the same id and never meet. The tenant is part of what makes two ids
/// equal, and of the [key](Self::key), but never of the text, so no client is told of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExecutionId {
    key: Arc<str>,
    /// Where the text begins in the key, after the tenant's. Each frame holds the text, so it is not searched for.
    start: usize,
}

impl ExecutionId {
    /// Checks `text` and makes it an identifier of no tenant.
    ///
    /// # Errors
    /// Names what is wrong with `text` and what is legal.
    pub fn new(text: &str) -> Result<Self, Error> {
        check(text)?;
        Ok(Self { key: text.into(), start: 0 })
    }

    /// The same id, of `tenant`.
    #[must_use]
    pub fn within(&self, tenant: &Tenant) -> Self {
        let tenant = tenant.key();
        let key = format!("{tenant}{SEPARATOR}{}", self.as_str());
        Self { key: key.into(), start: tenant.len() + SEPARATOR.len_utf8() }
    }

    /// Reads what [`key`](Self::key) gave.
    ///
    /// # Errors
    /// As [`new`](Self::new); what cannot be a tenant's key is a wrong character.
    pub fn from_key(key: &str) -> Result<Self, Error> {
        let Some((tenant, id)) = key.split_once(SEPARATOR) else { return Self::new(key) };
        let tenant = Tenant::from_key(tenant).ok_or(Error::ExecutionIdCharacter { character: SEPARATOR })?;
        Ok(Self::new(id)?.within(&tenant))
    }

    /// The identifier as text, without its tenant.
    pub fn as_str(&self) -> &str {
        self.key.get(self.start..).unwrap_or_default()
    }

    /// What tells it from every other: the tenant's key and a slash, if it has a tenant, and the id.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whose it is, if anybody's.
    pub fn tenant(&self) -> Option<Tenant> {
        self.key.split_once(SEPARATOR).and_then(|(tenant, _)| Tenant::from_key(tenant))
    }

    /// Whether it belongs to `tenant`, or to nobody if that is `None`.
    pub fn is_of(&self, tenant: Option<&Tenant>) -> bool {
        self.key.split_once(SEPARATOR).map(|(of, _)| of) == tenant.map(Tenant::key)
    }
}

fn check(text: &str) -> Result<(), Error> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '~');
    let length = text.chars().count();
    if length == 0 || length > MAX {
        return Err(Error::ExecutionIdLength { length, limit: MAX });
    }
    if text == "." || text == ".." {
        return Err(Error::ExecutionIdDots);
    }
    match text.chars().find(|c| !legal(*c)) {
        Some(character) => Err(Error::ExecutionIdCharacter { character }),
        None => Ok(()),
    }
}

impl Deref for ExecutionId {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// With its tenant, for whoever runs the server.
impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.key, f)
    }
}

impl FromStr for ExecutionId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl TryFrom<String> for ExecutionId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(&text)
    }
}

impl From<ExecutionId> for String {
    fn from(id: ExecutionId) -> String {
        Self::from(id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_id_may_hold_every_unreserved_character() {
        for text in ["a", "tenant:run-1", "0193~x.y_z", &"x".repeat(128)] {
            assert_eq!(ExecutionId::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_bad_execution_id_is_told_what_is_wrong() {
        let message = |text: &str| ExecutionId::new(text).unwrap_err().to_string();
        assert!(message("").contains("0 characters"));
        assert!(message(&"x".repeat(129)).contains("limit of 128"));
        assert!(message("a/b").contains("'/'"));
        assert!(message("a\nb").contains("'\\n'"));
        assert!(message("..").contains(".."));
        assert!(message("naïve").contains("'ï'"));
    }

    #[test]
    fn ids_of_two_tenants_never_meet() {
        let id = ExecutionId::new("run-1").unwrap();
        let (acme, other) = (Tenant::new("acme").unwrap(), Tenant::of_subject("acme").unwrap());
        let (mine, theirs) = (id.within(&acme), id.within(&other));
        assert!(mine != theirs && mine != id);
        assert!(mine.is_of(Some(&acme)) && !mine.is_of(Some(&other)) && !mine.is_of(None) && id.is_of(None));
        assert_eq!(mine.tenant(), Some(acme.clone()));
        for id in [&id, &mine, &theirs] {
            assert_eq!(ExecutionId::from_key(id.key()).as_ref(), Ok(id));
            assert_eq!((id.as_str(), id.to_string().as_str()), ("run-1", "run-1"));
            assert_eq!(serde_json::to_string(id).unwrap(), "\"run-1\"");
        }
        // Within a tenant again it is that one's, and nothing of the first is left.
        assert_eq!(mine.within(&other), theirs);
    }
}
