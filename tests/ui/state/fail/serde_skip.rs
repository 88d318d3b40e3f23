use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[serde(skip)]
    text: String,
}

fn main() {}
