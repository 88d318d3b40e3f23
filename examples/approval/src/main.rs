//! Drafts a notice, asks a person what shall become of it, and publishes it or writes again.
//!
//! ```sh
//! cargo run --release -p approval     # then open http://127.0.0.1:8080
//! ```
//!
//! The run pauses at `review` until somebody answers: on the page, or by
//!
//! ```sh
//! curl -H 'content-type: application/json' -d '{"ask":"ask1","answer":{"verdict":"publish"},"by":"Ada"}' \
//!     http://127.0.0.1:8080/executions/EXECUTION/signals
//! ```
//!
//! Needs no key: the model is the offline one.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use streamnest::prelude::*;

/// The tokens of a draft, at most; the model ends it with a sentence.
const LENGTH: u32 = 60;
/// The tokens a second of the offline model.
const PACE: f64 = 60.0;
/// How long a draft waits for a person before it is thrown away.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// A notice on its way to its readers.
#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Notice {
    /// What the notice is about.
    topic: String,
    /// The newest draft.
    #[state(default)]
    draft: String,
    /// What reviewers wanted to be changed.
    #[state(default, reducer = append)]
    notes: Vec<String>,
    /// The text as it went out.
    #[state(default)]
    published: Option<String>,
}

/// What a reviewer says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Review {
    verdict: Verdict,
    /// The text as it shall go out, if it is published. Edit it here; empty, it goes out as drafted.
    text: Option<String>,
    /// What to change, if it is written again.
    #[schemars(length(max = 500))]
    notes: Option<String>,
}

/// What shall become of the draft.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Publish,
    Rewrite,
    Discard,
}

/// Writes, asks, and publishes.
struct PressOffice {
    model: Arc<dyn ChatModel>,
}

#[workflow(
    name = "press-office",
    state = Notice,
    description = "Drafts a notice, asks you what shall become of it, and publishes it or writes again"
)]
impl PressOffice {
    /// Writes a draft that heeds the notes so far.
    #[node(kind = "llm", start)]
    #[stream_token(flush_interval = "40ms")]
    async fn write(&self, state: &Notice, ctx: &NodeContext) -> NodeResult<NoticeUpdate> {
        let prompt = [&state.topic].into_iter().chain(&state.notes).cloned().collect::<Vec<_>>().join(". ");
        let request =
            ChatRequest::from(prompt.as_str()).with_seed(u64::from(ctx.visit())).with_max_tokens(LENGTH);
        let answer = self.model.generate(request).await?;
        Ok(NoticeUpdate::new().draft(answer.text))
    }

    /// Asks a person. The run waits here, and the time it waits counts for no timeout.
    #[node(kind = "condition", after = "write", routes("write", "publish", end))]
    async fn review(&self, state: &Notice, ctx: &NodeContext) -> NodeResult<Goto<NoticeUpdate>> {
        let question = Question::new("What shall become of this draft?")
            .about(format!("Draft {} of a notice. {}", ctx.visit(), state.topic))
            .prefill(json!({"text": state.draft}))
            .timeout(PATIENCE)
            .default_answer(json!({"verdict": "discard"}));
        let review: Review = ctx.ask(question).await?;
        Ok(match review.verdict {
            Verdict::Publish => {
                let text = review.text.filter(|text| !text.trim().is_empty());
                Goto::to("publish")
                    .with(NoticeUpdate::new().draft(text.unwrap_or_else(|| state.draft.clone())))
            }
            Verdict::Rewrite => {
                let notes: Vec<String> = review.notes.into_iter().collect();
                Goto::to("write").with(NoticeUpdate::new().notes(notes))
            }
            Verdict::Discard => Goto::end(),
        })
    }

    /// Sends the notice out; here that is an event.
    #[node(kind = "tool", after = "review")]
    async fn publish(&self, state: &Notice, ctx: &NodeContext) -> NodeResult<NoticeUpdate> {
        ctx.emit("published", json!({"characters": state.draft.chars().count()})).await?;
        Ok(NoticeUpdate::new().published(state.draft.clone()))
    }
}

#[cfg(test)]
mod tests;

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    let options = OfflineOptions::default().with_tokens_per_second(PACE);
    let model = Arc::new(OfflineModel::new(options).expect("a built-in corpus at a legal pace"));
    Streamnest::builder().workflow(PressOffice { model }).build().await?.listen().await
}
