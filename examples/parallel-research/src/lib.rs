//! Looks into many questions at once while a critic doubts, and joins what came of both.
//!
//! ```sh
//! cargo run --release -p parallel-research     # then open http://127.0.0.1:8080
//!
//! curl http://127.0.0.1:8080/workflows/parallel-research/executions -H 'content-type: application/json' \
//!   -d '{"executionId": "r1", "input": {"topic": "logs", "breadth": 8}}'
//! curl -N http://127.0.0.1:8080/executions/r1/events
//! ```
//!
//! ```text
//!          ┌─► investigate (each question, 3 at once) ─┐
//!   plan ──┤                                           ├─► report
//!          └─► doubt ──────────────────────────────────┘
//! ```
//!
//! `report` waits for both branches. The findings come in the order of the questions, whichever was answered first. Needs no
//! key: the model is the offline one.

use streamnest::prelude::*;

/// The tokens of an answer, at most.
const LENGTH: u32 = 40;
/// The tokens a second of the offline model.
const PACE: f64 = 30.0;
/// How a topic is looked at.
const ANGLES: [&str; 12] = [
    "What is it for?",
    "Who needs it?",
    "How did it begin?",
    "How does it work?",
    "What does it cost?",
    "What is it compared with?",
    "Where does it fail?",
    "What is it made of?",
    "Who decides about it?",
    "What depends on it?",
    "What do people get wrong about it?",
    "What comes after it?",
];

/// What is to be found out, and what was.
#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Research {
    /// What it is about.
    topic: String,
    /// How many questions are looked into, 1 to 12.
    #[state(default = 6)]
    #[schemars(range(min = 1, max = 12))]
    breadth: usize,
    /// The questions.
    #[state(default)]
    questions: Vec<String>,
    /// What was found, in the order of the questions.
    #[state(default)]
    findings: Vec<Finding>,
    /// What the critic has to say.
    #[state(default)]
    doubts: String,
    /// All of it in one text.
    #[state(default)]
    report: String,
}

/// A question and its answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The question.
    question: String,
    /// The answer.
    answer: String,
}

/// Finds things out.
#[injectable]
pub struct Researcher {
    model: Arc<dyn ChatModel>,
}

impl Researcher {
    async fn ask(&self, question: String) -> NodeResult<String> {
        Ok(self.model.generate(ChatRequest::from(question).with_max_tokens(LENGTH)).await?.text)
    }
}

#[workflow(
    name = "parallel-research",
    state = Research,
    description = "Looks into many questions at once while a critic doubts"
)]
impl Researcher {
    /// Breaks the topic into questions.
    #[node(kind = "task", start)]
    async fn plan(&self, state: &Research) -> NodeResult<ResearchUpdate> {
        let most = ANGLES.len();
        if !(1..=most).contains(&state.breadth) {
            let message = format!("`breadth` is {}; it must be 1 to {most}", state.breadth);
            return Err(NodeError::public(message));
        }
        let angles = ANGLES.iter().take(state.breadth);
        let questions: Vec<_> = angles.map(|angle| format!("{}: {angle}", state.topic)).collect();
        Ok(ResearchUpdate::new().questions(questions))
    }

    /// Answers one question. It runs for each of them, three at once, and an answer that fails is asked for again.
    #[node(
        kind = "llm",
        after = "plan",
        each = "questions",
        concurrency = 3,
        gather = "findings",
        retry(attempts = 3, backoff = "200ms"),
        timeout = "30s"
    )]
    #[stream_token]
    async fn investigate(&self, _: &Research, question: &str) -> NodeResult<Finding> {
        Ok(Finding { question: question.to_owned(), answer: self.ask(question.to_owned()).await? })
    }

    /// Doubts all of it, at the same time.
    #[node(kind = "llm", after = "plan")]
    #[stream_token]
    async fn doubt(&self, state: &Research) -> NodeResult<ResearchUpdate> {
        let doubts = self.ask(format!("What speaks against {}?", state.topic)).await?;
        Ok(ResearchUpdate::new().doubts(doubts))
    }

    /// Puts together what both branches came to.
    #[node(kind = "aggregator", after("investigate", "doubt"))]
    async fn report(&self, state: &Research) -> NodeResult<ResearchUpdate> {
        let mut report = format!("# {}\n", state.topic);
        for Finding { question, answer } in &state.findings {
            report.push_str(&format!("\n## {question}\n{answer}\n"));
        }
        report.push_str(&format!("\n## But\n{}\n", state.doubts));
        Ok(ResearchUpdate::new().report(report))
    }
}

/// All of it. Another model takes the place of the offline one here.
#[module(
    providers(
        Researcher,
        OfflineModel as dyn ChatModel,
        value(OfflineOptions::default().with_tokens_per_second(PACE))
    ),
    workflows(Researcher)
)]
pub struct ResearchModule;
