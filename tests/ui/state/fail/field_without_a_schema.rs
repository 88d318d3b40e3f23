use streamnest::prelude::*;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Tone {
    warmth: u8,
}

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    tone: Tone,
}

fn main() {}
