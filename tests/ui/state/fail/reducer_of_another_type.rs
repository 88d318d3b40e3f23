use streamnest::prelude::*;

#[allow(dead_code)] // So that the one message is the one that is held.
fn add(count: u32, more: u32) -> u32 {
    count + more
}

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(reducer = add)]
    count: u32,
}

fn main() {}
