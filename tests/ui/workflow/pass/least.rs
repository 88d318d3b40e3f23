use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    async fn draft(&self, state: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().text(state.text.as_str()))
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    assert!(definition.contains("name: \"draft-reply\""), "called after its type: {definition}");
    assert!(definition.contains("max_steps: 100"), "{definition}");
}
