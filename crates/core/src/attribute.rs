//! The small durable facts of a log, beside its entries.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use bytes::Bytes;

use crate::Error;

/// The longest attribute key, in bytes.
const KEY_MAX: usize = 1_024;
/// So many attributes take no more room than they need.
const FEW: usize = 8;

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

/// The attributes of a log, in the order of their keys. Most logs have two or three, and ten thousand logs may be open, so
/// they lie in one piece of just their size.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Attributes(Vec<(AttributeKey, Bytes)>);

impl Attributes {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Bytes> {
        let at = self.find(key).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Whether `key` is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// Sets `key` to `value`. Returns what it was.
    pub fn insert(&mut self, key: AttributeKey, value: Bytes) -> Option<Bytes> {
        match self.find(&key) {
            Ok(at) => self.0.get_mut(at).map(|(_, old)| std::mem::replace(old, value)),
            Err(at) => {
                // Few stay few, and many are many soon.
                if self.0.len() < FEW {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Removes `key`. Returns what it was.
    pub fn remove(&mut self, key: &str) -> Option<Bytes> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&AttributeKey, &Bytes)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Those whose keys begin with `prefix`, in the order of their keys.
    pub fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&AttributeKey, &Bytes)> {
        let from = self.find(prefix).unwrap_or_else(|at| at);
        let rest = self.0.get(from..).unwrap_or_default();
        rest.iter().map(|(key, value)| (key, value)).take_while(move |(key, _)| key.starts_with(prefix))
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(key))
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Of several with one key the last one counts.
impl FromIterator<(AttributeKey, Bytes)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (AttributeKey, Bytes)>>(all: I) -> Self {
        let mut attributes = Self::new();
        for (key, value) in all {
            attributes.insert(key, value);
        }
        attributes
    }
}

/// In the order of their keys.
impl IntoIterator for Attributes {
    type Item = (AttributeKey, Bytes);
    type IntoIter = std::vec::IntoIter<(AttributeKey, Bytes)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One attribute that is set or removed, in one piece with the append that carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeChange {
    /// Which one.
    pub key: AttributeKey,
    /// What it becomes; `None` removes it.
    pub value: Option<Bytes>,
    /// Whether it is of those that end a log, once for each: a store takes it also where it has room for no other.
    pub ends: bool,
}

impl AttributeChange {
    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// [`Error::AttributeKeyLength`].
    pub fn set(key: &str, value: impl Into<Bytes>) -> Result<Self, Error> {
        Ok(Self { key: AttributeKey::new(key)?, value: Some(value.into()), ends: false })
    }

    /// Removes `key`, if it is there.
    ///
    /// # Errors
    /// [`Error::AttributeKeyLength`].
    pub fn remove(key: &str) -> Result<Self, Error> {
        Ok(Self { key: AttributeKey::new(key)?, value: None, ends: false })
    }

    /// The same, as one that [ends](Self::ends) the log.
    #[must_use]
    pub fn ending(self) -> Self {
        Self { ends: true, ..self }
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
    fn attributes_do_what_a_sorted_map_would() {
        let (mut attributes, mut map) = (Attributes::new(), std::collections::BTreeMap::new());
        for step in 0..2_000_u32 {
            // Multiples of a prime, so that keys come in no order and come again.
            let key = AttributeKey::new(&format!("{}/{}", step % 3, step.wrapping_mul(7_919) % 41)).unwrap();
            let value = Bytes::from(step.to_string());
            let (done, expected) = match step % 4 {
                3 => (attributes.remove(&key), map.remove(&key)),
                _ => (attributes.insert(key.clone(), value.clone()), map.insert(key.clone(), value)),
            };
            assert_eq!(done, expected);
            assert_eq!((attributes.get(&key), attributes.len()), (map.get(&key), map.len()));
            assert!(attributes.iter().eq(map.iter()));
        }
        let some: Vec<_> = attributes.with_prefix("1/2").map(|(key, _)| key.to_string()).collect();
        let expected = map.keys().map(ToString::to_string).filter(|key| key.starts_with("1/2"));
        assert_eq!(some, expected.collect::<Vec<_>>());
        assert!(!some.is_empty());
    }

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
