use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_event(events(ToolStart, tool_complete, LLM_START, "node:start", "node_complete", "my:own type"))]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "[\"tool_start\", \"tool_complete\", \"llm_start\", \"node_start\", \"node_complete\", \"my:own type\"]",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
