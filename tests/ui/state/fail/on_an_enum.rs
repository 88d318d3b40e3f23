use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
enum Draft {
    First,
    Second,
}

fn main() {}
