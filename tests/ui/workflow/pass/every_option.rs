use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(
    name = "reply",
    state = Draft,
    description = "Drafts a reply",
    streaming = false,
    max_steps = 20,
    timeout = "5min",
    on_disconnect = "cancel",
    values,
)]
impl DraftReply {
    #[node(start)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "name: \"reply\"",
        "description: Some(\"Drafts a reply\")",
        "streaming: false",
        "max_steps: 20",
        "timeout: Some(300s)",
        "on_disconnect: Cancel",
        "values: true",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
