use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(reducer = merge)]
    words: Vec<String>,
}

fn main() {}
