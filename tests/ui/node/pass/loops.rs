use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    // The start may come after another node, when that one chooses it.
    #[node(start, after = "review")]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[node(after = "draft", routes("draft", "send"))]
    async fn review(&self, _: &Draft, ctx: &NodeContext) -> NodeResult<Goto<DraftUpdate>> {
        Ok(if ctx.visit() == 1 { Goto::to("draft") } else { Goto::to("send") })
    }

    // Two ways lead here, and both are spelt.
    #[node(after = "review")]
    async fn send(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    assert!(format!("{:?}", DraftReply::definition()).contains("may_end: false"));
}
