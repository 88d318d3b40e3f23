//! A workflow without macros: what the attributes expand to, written by hand.
//!
//! ```sh
//! cargo run --release -p by-hand     # then open http://127.0.0.1:8080
//! ```

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use streamnest::{
    Streamnest,
    runtime::{
        InputError, InputReader, NodeBuilder, NodeContext, NodeKind, NodeResult, ProgressOptions,
        SchemaBuilder, State, StateUpdate, TokenOptions, Workflow, WorkflowBuilder,
    },
};

/// What is counted.
#[derive(Clone, Debug, Serialize)]
struct Countdown {
    from: u32,
    said: Option<String>,
}

/// A change to a [`Countdown`].
#[derive(Clone, Debug, Default, Serialize)]
struct CountdownUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
}

impl StateUpdate for CountdownUpdate {
    type State = Countdown;
}

impl State for Countdown {
    type Update = CountdownUpdate;

    fn from_input(input: Value) -> Result<Self, InputError> {
        let mut input = InputReader::new(input)?;
        let state = Self { from: input.required("from")?, said: input.optional("said")? };
        input.finish(&["from", "said"])?;
        Ok(state)
    }

    fn apply(&mut self, update: CountdownUpdate) {
        if let Some(said) = update.said {
            self.said = Some(said);
        }
    }

    fn input_schema() -> Value {
        SchemaBuilder::new("Countdown")
            .field::<u32>("from", true, Some("Where to count from."))
            .field::<Option<String>>("said", false, Some("What was said so far."))
            .finish()
    }
}

/// Counts down, aloud.
struct Counter;

impl Counter {
    async fn count(&self, state: &Countdown, ctx: &NodeContext) -> NodeResult<CountdownUpdate> {
        let mut said = String::new();
        for number in (0..=state.from).rev() {
            let token = format!("{number} ");
            said.push_str(&token);
            ctx.token(token).await;
            ctx.progress(state.from - number, state.from).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(CountdownUpdate { said: Some(said) })
    }
}

impl Workflow for Counter {
    type State = Countdown;

    fn definition() -> WorkflowBuilder<Self> {
        WorkflowBuilder::new("countdown").description("Counts down, aloud").node(
            NodeBuilder::new("count")
                .kind(NodeKind::Task)
                .start()
                .stream_token(TokenOptions::default().with_flush_interval(Duration::from_millis(20)))
                .stream_progress(ProgressOptions::default().with_include_eta(true))
                .run(|counter: Arc<Self>, state: Arc<Countdown>, ctx: NodeContext| async move {
                    counter.count(&state, &ctx).await
                }),
        )
    }
}

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    Streamnest::builder().workflow(Counter).build().await?.listen().await
}
