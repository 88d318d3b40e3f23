use std::collections::VecDeque;

use futures_util::Stream;
use streamnest::prelude::*;

#[derive(Clone, serde::Serialize, serde::Deserialize, JsonSchema)]
struct Part {
    text: String,
}

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    #[state(default)]
    parts: Vec<Part>,
    #[state(default)]
    queue: VecDeque<u32>,
    #[state(default, reducer = append)]
    texts: Vec<String>,
    #[state(default)]
    lengths: Option<Vec<usize>>,
}

struct Items;

#[workflow(state = Draft)]
impl Items {
    #[node(start, each = "parts", concurrency = 4, retry(attempts = 2), timeout = "5s")]
    async fn update(&self, _: &Draft, part: &Part) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().texts([part.text.clone()]))
    }

    #[node(after = "update", each = "parts", gather = "lengths")]
    async fn values(&self, _: &Draft, part: &Part, ctx: &NodeContext) -> NodeResult<usize> {
        Ok(part.text.len() + ctx.item().unwrap_or_default())
    }

    #[node(after = "values", each = "queue", gather = "texts", kind = "stream")]
    #[stream_token]
    fn streams(&self, _: &Draft, number: &u32) -> impl Stream<Item = String> + use<> {
        futures_util::stream::iter([number.to_string()])
    }

    #[node(after = "streams", each = "queue")]
    async fn nothing(&self, _: &Draft, _: &u32) -> NodeResult<()> {
        Ok(())
    }
}

fn main() {
    let definition = format!("{:?}", <Items as streamnest::runtime::Workflow>::definition());
    for part in ["each: true, concurrency: 4", "each: true, concurrency: 16", "attempts: 2", "timeout: Some(5s)"] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
