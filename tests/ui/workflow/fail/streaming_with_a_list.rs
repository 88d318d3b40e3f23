use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft, streaming(tokens))]
impl DraftReply {
    #[node(start)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {}
