use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_token(flush_interval = "0ms")]
    #[stream_progress(interval = "2min")]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "flush_interval: 0ns",
        "interval: 120s",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
