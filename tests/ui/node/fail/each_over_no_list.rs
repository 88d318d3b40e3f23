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
    #[node(start, each = "text")]
    async fn draft(&self, _: &Draft, _: &char) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {}
