use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[serde(rename = "Text")]
    text: String,
}

fn main() {}
