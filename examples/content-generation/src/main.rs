//! Writes about a prompt, scores what it wrote, and writes again until it reads well, at most three times.
//!
//! ```sh
//! cargo run --release -p content-generation     # then open http://127.0.0.1:8080
//! ```
//!
//! Needs no key: the model is the offline one, at the pace of a person who reads along.

mod readability;

use std::time::Duration;

use streamnest::prelude::*;

use crate::readability::{Word, flesch_reading_ease};

/// What reads at least this easily is good: "plain English" on Flesch's scale.
const GOOD_ENOUGH: f64 = 60.0;
/// How often it is written at most.
const MAX_DRAFTS: u32 = 3;
/// The tokens of a draft, at most; the model ends it with a sentence.
const LENGTH: u32 = 120;
/// The tokens a second of the offline model.
const PACE: f64 = 40.0;

/// A piece of writing.
#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Writing {
    /// What to write about.
    prompt: String,
    /// The newest draft.
    #[state(default)]
    content: Option<String>,
    /// The words of the newest draft.
    #[state(default)]
    words: Vec<Word>,
    /// How easily each draft reads, from 0 to 100.
    #[state(default, reducer = append)]
    scores: Vec<f64>,
    /// How often it was written.
    #[state(default)]
    drafts: u32,
}

/// Writes, looks at the words, and judges.
#[injectable]
struct ContentWriter {
    model: Arc<dyn ChatModel>,
}

#[workflow(
    name = "ai-content-generation",
    state = Writing,
    description = "Writes about a prompt, scores what it wrote, and writes again until it reads well"
)]
impl ContentWriter {
    /// Writes a draft. The model's tokens stream by themselves.
    #[node(kind = "llm", start)]
    #[stream_token(buffer_size = 50, flush_interval = "40ms", filter(min_length = 1, exclude_whitespace))]
    #[stream_progress(interval = "250ms", granularity = "fine", include_eta)]
    async fn generate_content(&self, state: &Writing, ctx: &NodeContext) -> NodeResult<WritingUpdate> {
        let drafts = state.drafts + 1;
        // Another seed each time, so that a new draft is another one.
        let request =
            ChatRequest::from(state.prompt.as_str()).with_seed(u64::from(drafts)).with_max_tokens(LENGTH);
        let mut answer = self.model.stream(request);
        let (mut content, mut tokens) = (String::new(), 0);
        while let Some(delta) = answer.next().await {
            if let Delta::Token(token) = delta? {
                content.push_str(&token.content);
                tokens += 1;
                ctx.progress(tokens, LENGTH).await;
            }
        }
        Ok(WritingUpdate::new().content(content).drafts(drafts))
    }

    /// Looks at the words of the draft one by one, as a tool.
    #[node(kind = "tool", after = "generate_content")]
    #[stream_event(
        events(ToolStart, ToolComplete, Progress),
        buffer_size = 100,
        delivery = "at-least-once",
        transformer = enrich
    )]
    #[stream_progress(
        interval = "100ms",
        include_eta,
        milestones(25, 50, 75),
        format(show_current, show_total)
    )]
    async fn process_words(&self, state: &Writing, ctx: &NodeContext) -> NodeResult<WritingUpdate> {
        let content = state.content.as_deref().unwrap_or_default();
        let total = content.split_whitespace().count();
        let mut words = Vec::with_capacity(total);
        for text in content.split_whitespace() {
            words.push(Word::new(text));
            ctx.progress(words.len() as f64, total as f64).await;
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        Ok(WritingUpdate::new().words(words))
    }

    /// Goes back to the start while the draft reads badly.
    #[node(kind = "condition", after = "process_words", routes("generate_content", end))]
    #[stream_event(events(Values, Updates, Events), filter(min_priority = "medium"))]
    async fn quality_check(&self, state: &Writing, ctx: &NodeContext) -> NodeResult<Goto<WritingUpdate>> {
        let score = flesch_reading_ease(&state.words);
        let again = score < GOOD_ENOUGH && state.drafts < MAX_DRAFTS;
        ctx.emit("quality", Judgement { score: (score * 10.0).round() / 10.0, again }).await?;
        let next = if again { Goto::to("generate_content") } else { Goto::end() };
        Ok(next.with(WritingUpdate::new().scores(vec![score])))
    }
}

/// What is said of a draft.
#[derive(Serialize)]
struct Judgement {
    /// Flesch's reading ease, rounded to one decimal.
    score: f64,
    /// Whether it is written again.
    again: bool,
}

/// Gives every event of the tool a higher priority, as a transformer may.
fn enrich(event: Event) -> Event {
    event.with_priority(Priority::High)
}

/// All of it. Another model takes the place of the offline one here.
#[module(
    providers(
        ContentWriter,
        OfflineModel as dyn ChatModel,
        value(OfflineOptions::default().with_tokens_per_second(PACE))
    ),
    workflows(ContentWriter)
)]
struct AppModule;

/// A log grows by small pieces that live long and are freed together, which this allocator does for less than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    Streamnest::create::<AppModule>().await?.listen().await
}

#[cfg(test)]
mod tests;
