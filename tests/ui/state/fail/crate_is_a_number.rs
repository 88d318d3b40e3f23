use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
#[state(crate = 1)]
struct Draft {
    text: String,
}

fn main() {}
