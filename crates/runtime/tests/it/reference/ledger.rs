//! The state of the workflows that the real engine runs: a field for each reducer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use streamnest_runtime::{InputError, Reducer, SchemaBuilder, State, StateUpdate, reduce};

use super::spec::empty;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ledger {
    text: String,
    list: Vec<u64>,
    last: u64,
    sum: u64,
    most: u64,
    least: u64,
    map: BTreeMap<String, u64>,
    set: BTreeSet<u64>,
    folded: u64,
    mixed: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LedgerUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    least: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<BTreeSet<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folded: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mixed: Option<u64>,
}

impl Ledger {
    pub(super) fn of(fields: Map<String, Value>) -> Self {
        serde_json::from_value(Value::Object(fields)).unwrap()
    }

    pub(super) fn fields(&self) -> Map<String, Value> {
        serde_json::to_value(self).unwrap().as_object().unwrap().clone()
    }
}

impl LedgerUpdate {
    pub(super) fn of(fields: Map<String, Value>) -> Self {
        serde_json::from_value(Value::Object(fields)).unwrap()
    }
}

fn change<T>(field: &mut T, update: Option<T>, reducer: impl FnOnce(&mut T, T)) {
    if let Some(update) = update {
        reducer(field, update);
    }
}

impl State for Ledger {
    type Update = LedgerUpdate;

    fn from_input(_: Value) -> Result<Self, InputError> {
        Ok(Self::of(empty()))
    }

    fn apply(&mut self, update: LedgerUpdate) {
        change(&mut self.text, update.text, reduce::append);
        change(&mut self.list, update.list, reduce::append);
        change(&mut self.last, update.last, reduce::replace);
        change(&mut self.sum, update.sum, reduce::sum);
        change(&mut self.most, update.most, reduce::maximum);
        change(&mut self.least, update.least, reduce::minimum);
        change(&mut self.map, update.map, reduce::merge);
        change(&mut self.set, update.set, reduce::merge);
        change(&mut self.folded, update.folded, |old, new| *old = (*old * 31 + new) % 1_000_003);
        change(&mut self.mixed, update.mixed, |old, new| *old ^= new);
    }

    fn input_schema() -> Value {
        SchemaBuilder::new("Ledger").finish()
    }

    fn reducer(field: &str) -> Reducer {
        match field {
            "text" | "list" => Reducer::Append,
            "sum" => Reducer::Sum,
            "most" => Reducer::Maximum,
            "least" => Reducer::Minimum,
            "map" | "set" => Reducer::Merge,
            "folded" => Reducer::Function,
            "mixed" => Reducer::Commuting,
            _ => Reducer::Replace,
        }
    }
}

impl StateUpdate for LedgerUpdate {
    type State = Ledger;
}
