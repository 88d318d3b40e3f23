use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_all]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "token: Some(TokenOptions {",
        "event: Some(EventOptions {",
        "progress: Some(ProgressOptions {",
        "events: [\"values\", \"updates\", \"events\"]",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
