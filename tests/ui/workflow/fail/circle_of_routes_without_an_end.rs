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
    #[node(start, routes("review"))]
    async fn draft(&self, _: &Draft) -> NodeResult<Goto<DraftUpdate>> {
        Ok(Goto::to("review"))
    }

    #[node(routes("draft"))]
    async fn review(&self, _: &Draft) -> NodeResult<Goto<DraftUpdate>> {
        Ok(Goto::to("draft"))
    }
}

fn main() {}
