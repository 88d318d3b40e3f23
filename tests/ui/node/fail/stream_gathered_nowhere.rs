use futures_util::Stream;
use streamnest::prelude::*;

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    fn draft(&self, _: &Draft) -> impl Stream<Item = String> {
        futures_util::stream::empty()
    }
}

fn main() {}
