use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(default)]
    #[state(default)]
    text: String,
}

fn main() {}
