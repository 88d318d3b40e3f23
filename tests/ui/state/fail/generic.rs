use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft<T> {
    text: T,
}

fn main() {}
