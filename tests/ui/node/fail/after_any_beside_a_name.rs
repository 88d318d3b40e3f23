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
    #[node(start)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[node(after = "draft")]
    async fn review(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[node(after("draft", any("review", "draft")))]
    async fn send(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {}
