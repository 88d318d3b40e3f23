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

    #[node(after = "draft", routes("send", end))]
    async fn check(&self, _: &Draft) -> NodeResult<Goto<DraftUpdate>> {
        Ok(Goto::end())
    }

    #[node(after = "review")]
    async fn send(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {}
