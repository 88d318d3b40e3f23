use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_token(processor = |text, token| format!("{}{text}", token.index), batch_size = 2)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "processor: Some(",
        "batch_size: 2",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
