use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(reducer = maximum)]
    value: serde_json::Value,
}

fn most(current: &mut u32, update: u32) {
    *current = update.max(*current);
}

fn main() {
    let _ = most;
}
