use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start, routes(end))]
    async fn review(&self, _: &Draft) -> NodeResult<Goto<DraftUpdate>> {
        Ok(Goto::end())
    }

    #[node(after = "review")]
    async fn send(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {}
