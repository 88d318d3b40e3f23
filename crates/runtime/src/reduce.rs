//! How an update changes a field of the state.
//!
//! A reducer is a function `fn(&mut T, T)`. These are the three that most fields need; any function of that shape will
//! do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    hash::{BuildHasher, Hash},
};

use serde_json::{Map, Value};

/// The new value takes the old one's place.
pub fn replace<T>(current: &mut T, update: T) {
    *current = update;
}

/// The new value is put after the old one.
pub fn append<T: Append>(current: &mut T, update: T) {
    current.append_value(update);
}

/// The new value's keys are put into the old one.
pub fn merge<T: Merge>(current: &mut T, update: T) {
    current.merge_value(update);
}

/// What can be appended to: text and sequences.
#[diagnostic::on_unimplemented(
    message = "the reducer `append` cannot be used on `{Self}`",
    note = "it is for `String`, `Vec` and `VecDeque`; for other types name a function `fn(&mut T, T)`"
)]
pub trait Append {
    /// Puts `update` after what is there.
    fn append_value(&mut self, update: Self);
}

impl Append for String {
    fn append_value(&mut self, update: Self) {
        self.push_str(&update);
    }
}

impl<T> Append for Vec<T> {
    fn append_value(&mut self, update: Self) {
        self.extend(update);
    }
}

impl<T> Append for VecDeque<T> {
    fn append_value(&mut self, update: Self) {
        self.extend(update);
    }
}

/// What can be merged: maps and sets. Of two values for one key the new one stays.
#[diagnostic::on_unimplemented(
    message = "the reducer `merge` cannot be used on `{Self}`",
    note = "it is for maps, sets and `serde_json` objects; for other types name a function `fn(&mut T, T)`"
)]
pub trait Merge {
    /// Puts what is in `update` into what is there.
    fn merge_value(&mut self, update: Self);
}

impl<K: Ord, V> Merge for BTreeMap<K, V> {
    fn merge_value(&mut self, update: Self) {
        self.extend(update);
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Merge for HashMap<K, V, S> {
    fn merge_value(&mut self, update: Self) {
        self.extend(update);
    }
}

impl<T: Ord> Merge for BTreeSet<T> {
    fn merge_value(&mut self, update: Self) {
        self.extend(update);
    }
}

impl<T: Eq + Hash, S: BuildHasher> Merge for HashSet<T, S> {
    fn merge_value(&mut self, update: Self) {
        self.extend(update);
    }
}

impl Merge for Map<String, Value> {
    fn merge_value(&mut self, update: Self) {
        self.extend(update);
    }
}

/// Two objects are merged key by key, at every depth; anything else is replaced (RFC 7396 without its `null` rule).
impl Merge for Value {
    fn merge_value(&mut self, update: Self) {
        match (self, update) {
            (Value::Object(current), Value::Object(update)) => {
                for (key, value) in update {
                    current.entry(key).or_insert(Value::Null).merge_value(value);
                }
            }
            (current, update) => *current = update,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_reducer_does_what_it_says() {
        let mut words = vec!["a"];
        append(&mut words, vec!["b", "c"]);
        assert_eq!(words, ["a", "b", "c"]);
        let mut text = String::from("a");
        append(&mut text, "b".into());
        assert_eq!(text, "ab");
        replace(&mut text, "c".into());
        assert_eq!(text, "c");
        let mut object = json!({"a": {"x": 1}, "b": 2});
        merge(&mut object, json!({"a": {"y": 3}, "b": [4]}));
        assert_eq!(object, json!({"a": {"x": 1, "y": 3}, "b": [4]}));
        let mut map = BTreeMap::from([("a", 1), ("b", 2)]);
        merge(&mut map, BTreeMap::from([("b", 3)]));
        assert_eq!(map, BTreeMap::from([("a", 1), ("b", 3)]));
    }
}
