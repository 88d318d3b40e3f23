//! How an update changes a field of the state.
//!
//! A reducer is a function `fn(&mut T, T)`. These are those that most fields need; any function of that shape will do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    hash::{BuildHasher, Hash},
};

use serde_json::{Map, Value};

/// What a field's reducer is, as far as branches that run at the same time must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Reducer {
    /// [`replace`]: two branches cannot both change the field.
    #[default]
    Replace,
    /// [`append`]: both may; what they append follows in the promised order of their changes.
    Append,
    /// [`merge`]: both may, as long as they set different keys.
    Merge,
    /// [`maximum`]: both may.
    Maximum,
    /// [`minimum`]: both may.
    Minimum,
    /// [`sum`]: both may.
    Sum,
    /// A function: two branches cannot both change the field.
    Function,
    /// A function that comes to the same in any order: both may.
    Commuting,
}

impl Reducer {
    /// The name in attributes and schemas.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Append => "append",
            Self::Merge => "merge",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::Sum => "sum",
            Self::Function => "function",
            Self::Commuting => "commuting",
        }
    }
}

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

/// The greater value stays; of two that cannot be compared the old one.
pub fn maximum<T: PartialOrd>(current: &mut T, update: T) {
    if update > *current {
        *current = update;
    }
}

/// The smaller value stays; of two that cannot be compared the old one.
pub fn minimum<T: PartialOrd>(current: &mut T, update: T) {
    if update < *current {
        *current = update;
    }
}

/// The new value is added to the old one. Whole numbers stop at their type's ends.
pub fn sum<T: Sum>(current: &mut T, update: T) {
    current.add_value(update);
}

/// What can be summed up: numbers, durations, and options of them, of which `None` is nothing.
#[diagnostic::on_unimplemented(
    message = "the reducer `sum` cannot be used on `{Self}`",
    note = "it is for numbers, `Duration` and `Option`s of them; for other types name a function `fn(&mut T, T)`"
)]
pub trait Sum {
    /// Adds `update` to what is there.
    fn add_value(&mut self, update: Self);
}

macro_rules! sums {
    ($($number:ty),*) => {
        $(impl Sum for $number {
            fn add_value(&mut self, update: Self) {
                *self = self.saturating_add(update);
            }
        })*
    };
}

sums!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, std::time::Duration);

impl Sum for f32 {
    fn add_value(&mut self, update: Self) {
        *self += update;
    }
}

impl Sum for f64 {
    fn add_value(&mut self, update: Self) {
        *self += update;
    }
}

impl<T: Sum> Sum for Option<T> {
    fn add_value(&mut self, update: Self) {
        match (self, update) {
            (Some(current), Some(update)) => current.add_value(update),
            (_, None) => {}
            (current, update) => *current = update,
        }
    }
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
        let mut number = 3_u8;
        maximum(&mut number, 2);
        assert_eq!(number, 3);
        minimum(&mut number, 2);
        assert_eq!(number, 2);
        sum(&mut number, 254);
        assert_eq!(number, 255, "a sum stops at the end of its type");
        let mut some = None;
        sum(&mut some, Some(1.5));
        sum(&mut some, Some(1.0));
        sum(&mut some, None);
        assert_eq!(some, Some(2.5));
        let mut map = BTreeMap::from([("a", 1), ("b", 2)]);
        merge(&mut map, BTreeMap::from([("b", 3)]));
        assert_eq!(map, BTreeMap::from([("a", 1), ("b", 3)]));
    }
}
