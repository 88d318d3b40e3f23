//! Language models behind one trait.
//!
//! A [`ChatModel`] turns a [`ChatRequest`] into a stream of [`Delta`]s. On top of every model stand two methods of
//! [`ChatModelExt`]: [`generate`](ChatModelExt::generate) for the whole answer and [`stream`](ChatModelExt::stream) for
//! its pieces. Called inside a node of a workflow, both pass each token to that node by themselves, while the model still
//! speaks: the node's own [`Scope`](streamnest_core::Scope) tells them where.
//!
//! Two models need no key and no network:
//!
//! - [`OfflineModel`] writes text of its own with a word-level Markov chain, at a rate you choose;
//! - [`ScriptedModel`] says what a test wrote down, and remembers what it was asked and whether its stream was dropped.
//!
//! ```
//! use streamnest_models::{ChatModelExt as _, OfflineModel};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), streamnest_models::Error> {
//! let model = OfflineModel::default();
//! let answer = model.generate("Why does a log remember its readers' places?").await?;
//! assert!(!answer.text.is_empty());
//! # Ok(())
//! # }
//! ```

mod answer;
mod chat;
mod delta;
mod error;
mod offline;
mod request;
mod scoped;
mod scripted;

pub use answer::ChatAnswer;
pub use chat::{ChatModel, ChatModelExt, ChatStream};
pub use delta::{Delta, FinishReason, ToolCallDelta};
pub use error::Error;
pub use offline::{OfflineModel, OfflineOptions};
pub use request::{ChatMessage, ChatRequest, ToolCall, ToolDefinition};
pub use scoped::{Generation, ScopedStream};
pub use scripted::{Script, ScriptStep, ScriptedModel};
pub use streamnest_core::{TokenDelta, Usage};
