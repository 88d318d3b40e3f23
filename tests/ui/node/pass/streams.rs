use futures_util::{Stream, stream};
use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

type Tokens = futures_util::stream::BoxStream<'static, NodeResult<String>>;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start, gather = "text")]
    fn borrowing(&self, state: &Draft) -> impl Stream<Item = String> {
        stream::iter(state.text.split(' ').map(str::to_owned))
    }

    #[node(after = "borrowing", gather = "text")]
    async fn asynchronous(&self, state: &Draft, _: &NodeContext) -> impl Stream<Item = String> + use<> {
        stream::iter([state.text.clone()])
    }

    #[node(after = "asynchronous", gather = "text")]
    async fn fallible(&self, state: &Draft) -> NodeResult<impl Stream<Item = NodeResult<String>> + use<>> {
        let number: u32 = state.text.parse()?;
        Ok(stream::iter([Ok(number.to_string())]))
    }

    #[node(after = "fallible", gather = "text")]
    fn boxed(&self, _: &Draft) -> stream::BoxStream<'_, &'static str> {
        Box::pin(stream::iter(["a"]))
    }

    #[node(after = "boxed", gather = "text", kind = "stream")]
    fn named(&self, _: &Draft) -> Tokens {
        Box::pin(stream::empty())
    }

    #[node(after = "named", gather = "text")]
    fn lifetimes<'a>(&'a self, state: &'a Draft, _: &'a NodeContext) -> impl Stream<Item = String> + 'a {
        stream::iter(state.text.lines().map(String::from))
    }
}

fn main() {
    assert_eq!(format!("{:?}", DraftReply::definition()).matches("NodeBuilder {").count(), 6);
}
