use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(reducer = most, commutes = "yes")]
    count: u32,
}

fn most(current: &mut u32, update: u32) {
    *current = update.max(*current);
}

fn main() {
    let _ = most;
}
