use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    // Two nodes of one name, one of them there at a time.
    #[cfg(all())]
    #[node(after = "draft")]
    async fn review(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().text("present"))
    }

    #[cfg(not(all()))]
    #[node(after = "draft")]
    async fn review(&self, _: &Draft, _: &TypeThatIsNotThere) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[node(after = "review")]
    #[cfg(any())]
    async fn send(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }

    #[cfg(any())]
    fn helper(&self) -> TypeThatIsNotThere {}
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    assert_eq!(definition.matches("NodeBuilder {").count(), 2, "{definition}");
    assert!(!definition.contains("send"), "{definition}");
}
