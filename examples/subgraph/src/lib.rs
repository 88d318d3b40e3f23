//! Writes a newsletter by running another workflow for each of its articles.
//!
//! ```sh
//! cargo run --release -p subgraph     # then open http://127.0.0.1:8080
//!
//! curl http://127.0.0.1:8080/workflows/newsletter/executions -H 'content-type: application/json' \
//!   -d '{"executionId": "n1", "input": {"topics": ["the harvest", "the new bridge"]}}'
//! curl -N http://127.0.0.1:8080/executions/n1/events
//! ```
//!
//! ```text
//!   newsletter:  articles (each topic) ─► publish
//!                    │
//!   article:         └─ draft ─► edit ─► end
//!                         ▲        │ too long
//!                         └────────┘
//! ```
//!
//! Both workflows stand on their own: `article` can be started by itself, too. Run by the newsletter, its nodes say what they
//! say into the newsletter's log, as `articles/draft` and `articles/edit`. Needs no key: the model is the offline one.

use streamnest::prelude::*;

/// The tokens of a first draft, at most; each next one has half of that.
const LENGTH: u32 = 80;
/// The words that an article may have.
const SHORT_ENOUGH: usize = 30;
/// The tokens a second of the offline model.
const PACE: f64 = 60.0;

/// An article on its way.
#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Article {
    /// What it is about.
    topic: String,
    /// The newest draft.
    #[state(default)]
    text: String,
    /// How many drafts there were.
    #[state(default, reducer = sum)]
    drafts: u32,
}

/// Writes an article, and shortens it until it fits.
#[injectable]
pub struct Author {
    model: Arc<dyn ChatModel>,
}

#[workflow(
    name = "article",
    state = Article,
    description = "Writes an article, and shortens it until it fits",
    max_steps = 20
)]
impl Author {
    #[node(kind = "llm", start)]
    #[stream_token]
    async fn draft(&self, state: &Article) -> NodeResult<ArticleUpdate> {
        let most = (LENGTH >> state.drafts.min(3)).max(8);
        let request = ChatRequest::from(format!("Write about {}.", state.topic)).with_max_tokens(most);
        Ok(ArticleUpdate::new().text(self.model.generate(request).await?.text).drafts(1_u32))
    }

    /// Goes back to `draft` while the article is too long.
    #[node(kind = "condition", after = "draft", routes("draft", end))]
    async fn edit(&self, state: &Article) -> NodeResult<Goto<ArticleUpdate>> {
        let words = state.text.split_whitespace().count();
        Ok(if words > SHORT_ENOUGH { Goto::to("draft") } else { Goto::end() })
    }
}

/// A newsletter on its way.
#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Issue {
    /// What its articles are about.
    topics: Vec<String>,
    /// The articles, in the order of the topics.
    #[state(default)]
    articles: Vec<Article>,
    /// The whole newsletter.
    #[state(default)]
    text: String,
}

/// Lets authors write, and puts together what they wrote.
#[injectable]
pub struct Editor {
    author: Arc<Author>,
}

#[workflow(name = "newsletter", state = Issue, description = "Lets an article be written about each topic")]
impl Editor {
    /// Runs the workflow `article` for each topic, two at once.
    #[node(
        kind = "subgraph",
        workflow = Author,
        start,
        each = "topics",
        concurrency = 2,
        gather = "articles"
    )]
    async fn articles(&self, _: &Issue, topic: &str, ctx: &NodeContext) -> NodeResult<Article> {
        let article = Article { topic: topic.to_owned(), text: String::new(), drafts: 0 };
        ctx.run_subgraph(&self.author, article).await
    }

    #[node(kind = "tool", after = "articles")]
    async fn publish(&self, state: &Issue, ctx: &NodeContext) -> NodeResult<IssueUpdate> {
        let articles =
            state.articles.iter().map(|article| format!("## {}\n{}\n", article.topic, article.text));
        let text = articles.collect::<Vec<_>>().join("\n");
        ctx.emit("published", state.articles.len()).await?;
        Ok(IssueUpdate::new().text(text))
    }
}

/// All of it. Another model takes the place of the offline one here.
#[module(
    providers(
        Author,
        Editor,
        OfflineModel as dyn ChatModel,
        value(OfflineOptions::default().with_tokens_per_second(PACE))
    ),
    workflows(Author, Editor)
)]
pub struct NewsletterModule;
