use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    new: String,
}

fn main() {}
