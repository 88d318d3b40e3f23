use streamnest::prelude::*;

#[derive(Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Tone {
    warmth: u8,
}

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(default)]
    tone: Tone,
}

fn main() {}
