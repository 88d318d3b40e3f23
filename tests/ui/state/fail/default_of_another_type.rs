use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(default = "three")]
    count: u32,
}

fn main() {}
