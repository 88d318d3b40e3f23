use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(default, reducer = append)]
    words: Vec<String>,
    #[state(default)]
    best: Option<String>,
}

struct Branches;

#[workflow(state = Draft)]
impl Branches {
    #[node(start, routes("left", "right"))]
    async fn both(&self, _: &Draft) -> NodeResult<Goto<DraftUpdate>> {
        Ok(Goto::to_all(["left", "right"]))
    }

    #[node(after = "both")]
    async fn left(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().words(["left".to_owned()]))
    }

    #[node(after("both"))]
    async fn right(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().words(["right".to_owned()]))
    }

    #[node(kind = "aggregator", after("left", "right"))]
    async fn join(&self, _: &Draft) -> NodeResult<()> {
        Ok(())
    }

    #[node(after = "join")]
    async fn quick(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().best("quick".to_owned()))
    }

    #[node(after = "join")]
    async fn careful(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().best("careful".to_owned()))
    }

    #[node(after(any("quick", "careful")), routes("both", end))]
    async fn first(&self, _: &Draft, ctx: &NodeContext) -> NodeResult<Goto<DraftUpdate>> {
        let next = if ctx.visit() == 1 { "both" } else { return Ok(Goto::end()) };
        Ok(Goto::to(next))
    }
}

fn main() {
    let definition = format!("{:?}", <Branches as streamnest::runtime::Workflow>::definition());
    for part in [
        "Routes { targets: [\"left\", \"right\"], may_end: false }",
        "After { nodes: [\"both\"], any: false }",
        "kind: Aggregator",
        "After { nodes: [\"left\", \"right\"], any: false }",
        "After { nodes: [\"quick\", \"careful\"], any: true }",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
