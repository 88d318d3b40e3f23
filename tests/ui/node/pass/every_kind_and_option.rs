use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(kind = "standard", start, description = "Begins", tags("first", "cheap"), timeout = "30s")]
    async fn begin(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[node(kind = "llm", after = "begin", name = "write-it")]
    async fn write(&self, _: &Draft, _: &NodeContext) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[node(kind = "tool", after = "write-it")]
    async fn spell(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[node(kind = "task", after = "spell")]
    async fn store(&self, _: &Draft) -> NodeResult<()> {
        Ok(())
    }

    #[node(kind = "stream", after = "store", gather = "text")]
    fn tell(&self, state: &Draft) -> impl futures_util::Stream<Item = String> {
        futures_util::stream::iter([state.text.clone()])
    }

    #[node(kind = "condition", after = "tell", routes("write-it", end))]
    async fn decide(&self, state: &Draft) -> NodeResult<Goto<DraftUpdate>> {
        let next = if state.text.is_empty() { Goto::to("write-it") } else { Goto::end() };
        Ok(next.with(DraftUpdate::new().text("done")))
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "description: Some(\"Begins\")",
        "tags: [\"first\", \"cheap\"]",
        "timeout: Some(30s)",
        "start: true",
        "kind: Standard",
        "kind: Llm",
        "kind: Tool",
        "kind: Task",
        "kind: Stream",
        "kind: Condition",
        "name: \"write-it\"",
        "after: Some(After { nodes: [\"write-it\"], any: false })",
        "Routes { targets: [\"write-it\"], may_end: true }",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
