use streamnest::prelude::*;

#[allow(dead_code)]
fn add(count: u32, more: u32) -> u32 {
    count + more
}

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(reducer = add)]
    count: u32,
}

fn main() {}
