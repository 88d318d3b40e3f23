//! Whose executions and streams.

use std::{fmt, sync::Arc};

use crate::Error;

/// The longest name of a tenant, in bytes. Escaped it is three times as long at most, so that it fits a log's name
/// together with the longest execution id.
const NAME_MAX: usize = 120;
/// What stands before the names of tenants that are one subject. A tenant's own name never begins with it.
const SUBJECT: char = '~';

/// Whose executions and streams: the ids of two tenants never meet.
///
/// It is a part of an [`ExecutionId`](crate::ExecutionId), and so of the name of its log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of a name: 1 to 120 bytes of any characters.
    ///
    /// # Errors
    /// [`Error::TenantLength`].
    pub fn new(name: &str) -> Result<Self, Error> {
        escape("", name)
    }

    /// The tenant that one subject is by itself. It is never the same as one of a [name](Self::new).
    ///
    /// # Errors
    /// [`Error::TenantLength`].
    pub fn of_subject(subject: &str) -> Result<Self, Error> {
        escape("~", subject)
    }

    /// Reads what [`key`](Self::key) gave; `None` for anything else.
    pub fn from_key(key: &str) -> Option<Self> {
        let escaped = key.strip_prefix(SUBJECT).unwrap_or(key);
        let is_escaped = |byte: u8| is_plain(byte) || byte == b'%';
        let fits = (1..=3 * NAME_MAX).contains(&escaped.len());
        (fits && escaped.bytes().all(is_escaped)).then(|| Self(key.into()))
    }

    /// The name as it stands in the names of logs: percent-encoded except for `A–Z a–z 0–9 - _ .`, and with `~` before it if
    /// it is a subject's.
    pub fn key(&self) -> &str {
        &self.0
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn escape(prefix: &str, name: &str) -> Result<Tenant, Error> {
    let length = name.len();
    if length == 0 || length > NAME_MAX {
        return Err(Error::TenantLength { length, limit: NAME_MAX });
    }
    let mut key = String::from(prefix);
    for byte in name.bytes() {
        match is_plain(byte) {
            true => key.push(char::from(byte)),
            false => key.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(Tenant(key.into()))
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tenants_have_one_key() {
        let names = ["acme", "~acme", "%7Eacme", "a/b", "a%2Fb", "a\nb", "ü", "..", "."];
        let mut keys: Vec<_> = names.iter().map(|name| Tenant::new(name).unwrap()).collect();
        keys.extend(names.iter().map(|name| Tenant::of_subject(name).unwrap()));
        let distinct: std::collections::HashSet<_> = keys.iter().map(Tenant::key).collect();
        assert_eq!(distinct.len(), keys.len());
        for tenant in &keys {
            assert!(tenant.key().is_ascii() && !tenant.key().contains(['/', '\n']), "{tenant:?}");
            assert_eq!(Tenant::from_key(tenant.key()).as_ref(), Some(tenant));
        }
    }

    #[test]
    fn what_no_tenant_is_called_is_none() {
        assert!(Tenant::new("").unwrap_err().to_string().contains("0 bytes"));
        assert!(Tenant::new(&"x".repeat(121)).unwrap_err().to_string().contains("limit of 120"));
        for key in ["", "~", "a/b", "a~b", "a b", "ü"] {
            assert_eq!(Tenant::from_key(key), None, "{key}");
        }
    }
}
