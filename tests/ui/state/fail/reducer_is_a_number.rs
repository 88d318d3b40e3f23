use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(reducer = 3)]
    text: String,
}

fn main() {}
