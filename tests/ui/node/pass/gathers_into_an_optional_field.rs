use futures_util::{Stream, stream};
use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(default)]
    r#type: Option<String>,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start, gather = "type")]
    fn r#match(&self, _: &Draft) -> impl Stream<Item = String> {
        stream::empty()
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    assert!(definition.contains("name: \"match\""), "{definition}");
}
