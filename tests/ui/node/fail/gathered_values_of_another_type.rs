use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
    #[state(default)]
    parts: Vec<String>,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start, each = "parts", gather = "parts")]
    async fn draft(&self, _: &Draft, _: &String) -> NodeResult<u32> {
        Ok(1)
    }
}

fn main() {}
