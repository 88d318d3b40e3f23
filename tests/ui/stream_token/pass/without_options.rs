use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_token]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "token: Some(TokenOptions { enabled: true, buffer_size: None, batch_size: 10, flush_interval: 40ms",
        "event: None",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
