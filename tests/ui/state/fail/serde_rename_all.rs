use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Draft {
    draft_text: String,
}

fn main() {}
