use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[serde(flatten)]
    text: std::collections::BTreeMap<String, String>,
}

fn main() {}
