//! What changes come to, and where two of them clash.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Failure, Interpreter, RunId, VisitId};

impl Interpreter<'_> {
    /// "The changes behind a visit are applied in the order of their depth, at one depth in the order of the nodes, and of
    /// one node in the order of its visits."
    pub(super) fn replay(&self, run: RunId, behind: &BTreeSet<VisitId>) -> Map<String, Value> {
        let mut order: Vec<_> = behind.iter().map(|visit| &self.visits[*visit]).collect();
        order.sort_by_key(|visit| (visit.depth, visit.node, visit.number));
        let mut state = self.runs[run].base.clone();
        order.iter().flat_map(|visit| &visit.changes).for_each(|change| apply(&mut state, change));
        state
    }

    /// Where branches come together: why they cannot, if two visits at the same time changed one field.
    pub(super) fn conflict(&self, pasts: &[&BTreeSet<VisitId>]) -> Option<Failure> {
        let mut says = Vec::new();
        for (index, past) in pasts.iter().enumerate() {
            for other in &pasts[index + 1..] {
                for first in past.difference(other) {
                    for second in other.difference(past) {
                        says.extend(self.clash_of(*first, *second));
                    }
                }
            }
        }
        (!says.is_empty()).then(|| Failure { code: "state_conflict", says, ..Failure::default() })
    }

    /// Who clashes, and where, in the words of the message.
    fn clash_of(&self, first: VisitId, second: VisitId) -> Vec<String> {
        let (first, second) = (&self.visits[first], &self.visits[second]);
        let clashes =
            first.changes.iter().flat_map(|one| second.changes.iter().flat_map(|other| clashes(one, other)));
        let mut nodes = [first.node, second.node];
        nodes.sort_unstable();
        let name = |node| &self.node(first.run, node).name;
        let between = format!("nodes `{}` and `{}` ran at the same time", name(nodes[0]), name(nodes[1]));
        clashes.map(|field| format!("{between} and both changed field `{field}`")).collect()
    }
}

/// The fields that two changes at the same time cannot both make.
pub(super) fn clashes(one: &Map<String, Value>, other: &Map<String, Value>) -> Vec<String> {
    let clash = |field: &&String| match field.as_str() {
        "last" | "folded" => other.contains_key(*field),
        "map" => other.get("map").is_some_and(|map| {
            let (one, other) = (one["map"].as_object().unwrap(), map.as_object().unwrap());
            one.keys().any(|key| other.contains_key(key))
        }),
        _ => false,
    };
    one.keys().filter(clash).cloned().collect()
}

/// Makes a change.
fn apply(state: &mut Map<String, Value>, change: &Map<String, Value>) {
    for (field, new) in change {
        let old = &state[field];
        let numbers = || (old.as_u64().unwrap(), new.as_u64().unwrap());
        let list = || old.as_array().unwrap().iter().chain(new.as_array().unwrap());
        let value = match field.as_str() {
            "text" => json!(format!("{}{}", old.as_str().unwrap(), new.as_str().unwrap())),
            "list" => json!(list().collect::<Vec<_>>()),
            "last" => new.clone(),
            "sum" => json!(numbers().0 + numbers().1),
            "most" => json!(numbers().0.max(numbers().1)),
            "least" => json!(numbers().0.min(numbers().1)),
            "map" => {
                let mut map = old.as_object().unwrap().clone();
                map.extend(new.as_object().unwrap().clone());
                Value::Object(map)
            }
            "set" => json!(list().map(|item| item.as_u64().unwrap()).collect::<BTreeSet<_>>()),
            "folded" => json!((numbers().0 * 31 + numbers().1) % 1_000_003),
            "mixed" => json!(numbers().0 ^ numbers().1),
            _ => panic!("no field of the state: {field}"),
        };
        state.insert(field.clone(), value);
    }
}
