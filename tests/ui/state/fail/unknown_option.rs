use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(defualt)]
    text: String,
}

fn main() {}
