use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start, description = 5)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {}
