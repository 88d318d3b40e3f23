use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

trait Reply {
    fn greeting(&self) -> &str;
}

#[workflow(state = Draft)]
impl Reply for DraftReply {
    fn greeting(&self) -> &str {
        "Hello"
    }
}

fn main() {}
