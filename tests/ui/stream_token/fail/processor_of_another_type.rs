use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

fn shout(text: String) -> String {
    text.to_uppercase()
}

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_token(processor = shout)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {}
