use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

#[derive(State, Clone, serde::Serialize)]
struct Letter {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    async fn draft(&self, _: &Draft) -> NodeResult<LetterUpdate> {
        Ok(LetterUpdate::new())
    }
}

fn main() {}
