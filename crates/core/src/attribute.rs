//! The small durable facts of a log, beside its entries.

use std::{borrow::Borrow, collections::BTreeMap, fmt, ops::Deref, sync::Arc};

use bytes::Bytes;

use crate::Error;

/// The longest attribute key, in bytes.
const KEY_MAX: usize = 1_024;

/// The name of an attribute: 1 to 1,024 bytes, by convention a kind and, after a slash, which one:
/// `content-type`, `producer/<id>`, `subscription/<name>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeKey(Arc<str>);

impl AttributeKey {
    /// Checks `text` and makes it a key.
    ///
    /// # Errors
    /// [`Error::AttributeKeyLength`].
    pub fn new(text: &str) -> Result<Self, Error> {
        let length = text.len();
        if length == 0 || length > KEY_MAX {
            return Err(Error::AttributeKeyLength { length, limit: KEY_MAX });
        }
        Ok(Self(text.into()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for AttributeKey {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AttributeKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttributeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AttributeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// The attributes of a log, by key.
pub type Attributes = BTreeMap<AttributeKey, Bytes>;

/// One attribute that is set or removed, in one piece with the append that carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeChange {
    /// Which one.
    pub key: AttributeKey,
    /// What it becomes; `None` removes it.
    pub value: Option<Bytes>,
}

impl AttributeChange {
    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// [`Error::AttributeKeyLength`].
    pub fn set(key: &str, value: impl Into<Bytes>) -> Result<Self, Error> {
        Ok(Self { key: AttributeKey::new(key)?, value: Some(value.into()) })
    }

    /// Removes `key`, if it is there.
    ///
    /// # Errors
    /// [`Error::AttributeKeyLength`].
    pub fn remove(key: &str) -> Result<Self, Error> {
        Ok(Self { key: AttributeKey::new(key)?, value: None })
    }

    /// Does to `attributes` what it says.
    pub fn apply(&self, attributes: &mut Attributes) {
        match &self.value {
            Some(value) => {
                attributes.insert(self.key.clone(), value.clone());
            }
            None => {
                attributes.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_sets_or_removes_and_a_bad_key_is_refused() {
        let mut attributes = Attributes::new();
        AttributeChange::set("a/b", "1").unwrap().apply(&mut attributes);
        assert_eq!(attributes.get("a/b").map(|value| &value[..]), Some(&b"1"[..]));
        AttributeChange::remove("a/b").unwrap().apply(&mut attributes);
        assert!(attributes.is_empty());
        assert!(AttributeChange::set("", "1").is_err());
        assert!(AttributeChange::remove(&"x".repeat(1_025)).is_err());
    }
}
