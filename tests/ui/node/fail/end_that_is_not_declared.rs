use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[node(kind = "condition", after = "draft", routes("draft", "send"))]
    async fn review(&self, state: &Draft) -> NodeResult<Goto<DraftUpdate>> {
        if state.text.is_empty() {
            return Ok(Goto::end());
        }
        Ok(Goto::to(if state.text.len() > 9 { "draft" } else { "send" }))
    }

    #[node(after = "review")]
    async fn send(&self, _: &Draft) -> NodeResult<()> {
        Ok(())
    }
}

fn main() {}
