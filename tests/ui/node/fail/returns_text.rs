use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    async fn draft(&self, _: &Draft) -> NodeResult<String> {
        Ok(String::new())
    }
}

fn main() {}
