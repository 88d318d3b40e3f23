use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(reducer = append)]
    count: u32,
}

fn main() {}
