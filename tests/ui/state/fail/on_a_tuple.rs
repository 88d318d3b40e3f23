use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft(String);

fn main() {}
