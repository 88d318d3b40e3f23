//! Damage to texts and to JSON.

use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

/// Characters that parsers stumble over: what has a meaning somewhere, digits that are none of ASCII, what ends a line or a text.
const ODD: &[char] = &[
    '\0', '\t', '\n', '\r', ' ', '"', '#', '%', '&', '\'', '*', '+', ',', '-', '.', '/', '0', '1', '9', ':',
    ';', '<', '=', '>', '?', '@', 'A', 'Z', '[', '\\', ']', '^', '_', '`', 'a', 'e', 'f', 'x', 'z', '{', '|',
    '}', '~', '\x7f', '\u{80}', '\u{a0}', '²', 'é', '٣', '०', '\u{2028}', '\u{feff}', '０', '\u{fffd}', '🦀',
];

/// One thing that happens to a text. A place is a share of its length, so that it fits any text.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    Insert(Index, char),
    Replace(Index, char),
    Remove(Index),
    Cut(Index),
    Double(Index, Index),
    Swap(Index, Index),
}

fn odd() -> impl Strategy<Value = char> {
    prop_oneof![4 => prop::sample::select(ODD), 1 => any::<char>()]
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), odd()).prop_map(|(place, odd)| Damage::Insert(place, odd)),
        4 => (at(), odd()).prop_map(|(place, odd)| Damage::Replace(place, odd)),
        3 => at().prop_map(Damage::Remove),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), at()).prop_map(|(from, to)| Damage::Double(from, to)),
        1 => (at(), at()).prop_map(|(one, other)| Damage::Swap(one, other)),
    ]
}

/// At most `most` damages; half of the time none.
pub(super) fn damages(most: usize) -> impl Strategy<Value = Vec<Damage>> {
    prop_oneof![Just(Vec::new()), prop::collection::vec(damage(), 1..=most)]
}

/// What is left of a text.
pub(super) fn damaged(text: &str, damages: &[Damage]) -> String {
    let mut all: Vec<char> = text.chars().collect();
    for damage in damages {
        let places = all.len();
        if places == 0 {
            break;
        }
        match damage {
            Damage::Insert(at, odd) => all.insert(at.index(places + 1), *odd),
            Damage::Replace(at, odd) => all[at.index(places)] = *odd,
            Damage::Remove(at) => drop(all.remove(at.index(places))),
            Damage::Cut(at) => all.truncate(at.index(places)),
            Damage::Double(from, to) => {
                let (from, to) = (from.index(places), to.index(places));
                let piece = all[from.min(to)..from.max(to)].to_vec();
                all.splice(to..to, piece);
            }
            Damage::Swap(one, other) => all.swap(one.index(places), other.index(places)),
        }
    }
    all.into_iter().collect()
}

/// One thing that happens to a JSON value, at a place among all of its values.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(Index, Value),
    Remove(Index, Index),
    Add(Index, Index, Value),
}

/// Values of every kind, and near every bound.
fn values() -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(1e300),
        json!(10_000),
        json!(10_001),
        json!(9_007_199_254_740_991_u64),
        json!(9_007_199_254_740_992_u64),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("."),
        json!(".."),
        json!("a"),
        json!("a/b"),
        json!("a b\n"),
        json!("\0"),
        json!("é"),
        json!("\u{9f}"),
        json!("start"),
        json!("now"),
        json!("compact"),
        json!("exactly-once"),
        json!("cancel"),
        json!("ask1"),
        json!("ask0"),
        json!("token"),
        json!("0000000000000000_0000000000000000"),
        json!("0000000000000001_0000000000000001"),
        json!("0000000000000000_0000000000000001"),
        json!("0000000000000001_9999999999999999"),
        json!([]),
        json!(["a"]),
        json!([1]),
        json!(["token", "a"]),
        json!({}),
        json!({"a": 1}),
    ];
    values.extend([64, 65, 128, 129, 255, 256, 512, 513].map(|length| json!("x".repeat(length))));
    values.extend([64, 65].map(|length| json!(vec!["a"; length])));
    values
}

/// At most `most` changes; a third of the time none.
pub(super) fn changes(most: usize) -> impl Strategy<Value = Vec<Change>> {
    let value = || prop::sample::select(values());
    let change = prop_oneof![
        4 => (any::<Index>(), value()).prop_map(|(at, value)| Change::Put(at, value)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(at, field)| Change::Remove(at, field)),
        2 => (any::<Index>(), any::<Index>(), value()).prop_map(|(at, name, value)| Change::Add(at, name, value)),
    ];
    prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec(change, 1..=most)]
}

/// What a value has become.
pub(super) fn changed(mut value: Value, changes: &[Change], names: &[&str]) -> Value {
    for change in changes {
        let mut at = Vec::new();
        paths(&value, String::new(), &mut at);
        let (Change::Put(place, _) | Change::Remove(place, _) | Change::Add(place, _, _)) = change;
        let Some(found) = value.pointer_mut(place.get::<String>(&at)) else { continue };
        match (change, found) {
            (Change::Put(_, new), found) => *found = new.clone(),
            (Change::Remove(_, field), Value::Object(fields)) if !fields.is_empty() => {
                let name = field.get(&fields.keys().cloned().collect::<Vec<_>>()).clone();
                fields.remove(&name);
            }
            (Change::Add(_, name, new), Value::Object(fields)) => {
                fields.insert((*name.get(names)).into(), new.clone());
            }
            _ => {}
        }
    }
    value
}

/// The paths of every value in `value`, as JSON pointers.
fn paths(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| {
                let name = name.replace('~', "~0").replace('/', "~1");
                paths(value, format!("{at}/{name}"), out);
            });
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| paths(item, format!("{at}/{index}"), out));
        }
        _ => {}
    }
    out.push(at);
}
