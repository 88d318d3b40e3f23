use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start, gather = "text", routes(end))]
    async fn draft(&self, _: &Draft) -> NodeResult<Goto<DraftUpdate>> {
        Ok(Goto::end())
    }
}

fn main() {}
