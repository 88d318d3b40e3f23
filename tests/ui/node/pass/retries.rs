use streamnest::{prelude::*, runtime::RetryOptions};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct Retries;

#[workflow(state = Draft)]
impl Retries {
    #[node(
        start,
        retry(attempts = 5, backoff = "100ms", max_backoff = "10s", jitter = 0.25, on("node_timeout", "busy", retryable))
    )]
    async fn all(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Err(NodeError::public("busy").with_code("busy").retryable())
    }

    #[node(after = "all", retry())]
    async fn none(&self, _: &Draft) -> NodeResult<()> {
        Ok(())
    }
}

fn main() {
    let definition = format!("{:?}", <Retries as streamnest::runtime::Workflow>::definition());
    for part in [
        "attempts: 5, backoff: 100ms, max_backoff: 10s, jitter: 0.25, on: [Code(\"node_timeout\"), Code(\"busy\"), Retryable]",
        &format!("{:?}", RetryOptions::default()),
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}
