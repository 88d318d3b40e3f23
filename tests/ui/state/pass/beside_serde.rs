#![deny(warnings)]

use streamnest::{prelude::*, runtime::State as _};

#[derive(State, Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Draft {
    text: String,
    #[state(default)]
    #[serde(default)]
    tries: u32,
}

/// A state may hold nothing.
#[derive(State, Clone, serde::Serialize)]
struct Nothing {}

fn main() {
    let input = serde_json::json!({"text": "x"});
    let by_field = Draft::from_input(input.clone()).unwrap();
    assert_eq!(by_field, serde_json::from_value(input).unwrap());
    let Nothing {} = Nothing::from_input(serde_json::json!({})).unwrap();
    let _ = NothingUpdate::new();
    let _ = DraftUpdate::new();
}
