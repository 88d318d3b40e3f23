use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_all(token(buffer_size = 3, filter(min_length = 2)), progress(milestones(50)))]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "buffer_size: Some(3)",
        "min_length: Some(2)",
        "milestones: [50.0]",
        "event: Some(EventOptions {",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
