use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

fn enrich(event: &Event) -> Event {
    event.clone()
}

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_event(transformer = enrich)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {}
