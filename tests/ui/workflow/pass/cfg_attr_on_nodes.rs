use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
#[cfg_attr(all(), allow(clippy::unused_async))]
impl DraftReply {
    #[cfg_attr(all(), node(start), stream_token(buffer_size = 7))]
    #[cfg_attr(any(), stream_progress)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[cfg_attr(any(), node(after = "draft"))]
    #[cfg_attr(all(), cfg_attr(all(), allow(dead_code)))]
    async fn no_node(&self) {}
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    assert!(definition.contains("buffer_size: Some(7)"), "{definition}");
    assert!(definition.contains("progress: None"), "{definition}");
    assert_eq!(definition.matches("NodeBuilder {").count(), 1, "{definition}");
}
