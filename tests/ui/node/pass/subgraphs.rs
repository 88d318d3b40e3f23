use std::sync::Arc;

use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(default)]
    text: String,
    #[state(default)]
    parts: Vec<String>,
}

struct Inner<M>(M);

#[workflow(name = "inner", state = Draft)]
impl<M: Send + Sync + 'static> Inner<M> {
    #[node(start)]
    async fn write(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        let _ = &self.0;
        Ok(DraftUpdate::new())
    }
}

struct Outer {
    inner: Arc<Inner<u8>>,
}

#[workflow(state = Draft)]
impl Outer {
    #[node(start, kind = "subgraph", workflow = Inner<u8>)]
    async fn once(&self, state: &Draft, ctx: &NodeContext) -> NodeResult<DraftUpdate> {
        let done = ctx.run_subgraph(&self.inner, state.clone()).await?;
        Ok(DraftUpdate::new().text(done.text))
    }

    #[node(after = "once", kind = "subgraph", workflow = Inner<u8>, each = "parts", gather = "parts")]
    async fn many(&self, state: &Draft, _: &String, ctx: &NodeContext) -> NodeResult<String> {
        Ok(ctx.run_subgraph(&self.inner, state.clone()).await?.text)
    }
}

fn main() {
    let definition = format!("{:?}", <Outer as streamnest::runtime::Workflow>::definition());
    assert!(definition.contains("kind: Subgraph") && definition.contains("Inner<u8>"), "{definition}");
}
