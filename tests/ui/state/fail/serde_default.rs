use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize, serde::Deserialize)]
struct Draft {
    #[serde(default)]
    text: String,
}

fn main() {}
