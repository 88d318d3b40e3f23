//! Tests of workflows: in process, with doubles, a paused clock, expectations that read well, and golden runs.
//!
//! A [`TestApp`] is an application without sockets. It runs a workflow to its end and gives its [`Transcript`], in which
//! [`assert_events!`] looks for what was expected, and which [`Golden`] compares with the run of another day.
//!
//! ```
//! use streamnest::prelude::*;
//! use streamnest_testing::{TestApp, assert_events};
//!
//! #[derive(State, Clone, Serialize)]
//! struct Draft {
//!     topic: String,
//!     #[state(default)]
//!     text: String,
//! }
//!
//! #[injectable]
//! struct Author {
//!     model: Arc<dyn ChatModel>,
//! }
//!
//! #[workflow(name = "draft", state = Draft)]
//! impl Author {
//!     #[node(kind = "llm", start)]
//!     #[stream_token]
//!     async fn write(&self, state: &Draft) -> NodeResult<DraftUpdate> {
//!         Ok(DraftUpdate::new().text(self.model.generate(state.topic.as_str()).await?.text))
//!     }
//! }
//!
//! #[module(providers(Author, OfflineModel as dyn ChatModel), workflows(Author))]
//! struct AppModule;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), streamnest_testing::Error> {
//! let model = ScriptedModel::new().answer("A log is enough.");
//! let app = TestApp::of(AppModule).model(&model).start().await?;
//! let run = app.run("draft", serde_json::json!({"topic": "logs"})).await?;
//! assert_events!(run, ["status running", .., "token write", .., "node_complete write", .., "status completed"]);
//! assert_eq!(run.text(), "A log is enough.");
//! assert_eq!(run.result()["text"], "A log is enough.");
//! # Ok(())
//! # }
//! ```
//!
//! # Time
//! Under `#[tokio::test(start_paused = true)]` time stands until everybody waits, and then leaps to the next timer: a run of
//! an hour takes a millisecond, and the times in its log, by [`PausedClock`], are those of that hour, the same every day.

mod app;
mod clock;
mod difference;
mod error;
mod golden;
mod pattern;
mod run;
mod transcript;

pub use app::{TestApp, TestAppBuilder};
pub use clock::PausedClock;
pub use error::Error;
pub use golden::Golden;
pub use pattern::{IntoPattern, Pattern, check};
pub use run::TestRun;
pub use streamnest::models::{Script, ScriptStep, ScriptedModel};
pub use transcript::Transcript;

/// The guide's snippets, compiled and run with the documentation's examples.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/testing.md")]
struct Guide;
