//! A question that a node asks a person.

use std::time::Duration;

use serde_json::Value;

/// What a node asks by [`NodeContext::ask`](crate::NodeContext::ask), and how long it waits.
///
/// ```
/// # use streamnest_runtime::Question;
/// # use serde_json::json;
/// # use std::time::Duration;
/// Question::new("May this be published?")
///     .about("Rivers are …")
///     .timeout(Duration::from_secs(3600))
///     .default_answer(json!({"publish": false}));
/// ```
#[derive(Clone, PartialEq, Debug)]
#[must_use = "a question is asked by `ctx.ask`"]
pub struct Question {
    pub(crate) text: String,
    pub(crate) about: Option<Value>,
    pub(crate) prefill: Option<Value>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) default: Option<Value>,
    pub(crate) on_the_clock: bool,
}

impl Question {
    /// A question as it is put to a person. Whoever may see the execution may answer it.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, about: None, prefill: None, timeout: None, default: None, on_the_clock: false }
    }

    /// What it is about, of any shape: a text, or JSON. Shown beside the question. Default nothing.
    pub fn about(self, about: impl Into<Value>) -> Self {
        Self { about: Some(about.into()), ..self }
    }

    /// What a form begins with, for example a text to be edited; it need not be a whole answer. Default nothing.
    pub fn prefill(self, prefill: impl Into<Value>) -> Self {
        Self { prefill: Some(prefill.into()), ..self }
    }

    /// How long to wait for an answer. Default for ever.
    ///
    /// When nobody has answered by then, the [default answer](Self::default_answer) counts; without one `ask` fails with
    /// the code `ask_timeout`.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// The answer that counts when nobody has given one within the [timeout](Self::timeout). It has to fit the schema.
    /// Default none.
    pub fn default_answer(self, answer: impl Into<Value>) -> Self {
        Self { default: Some(answer.into()), ..self }
    }

    /// Lets the timeouts of the node and of the workflow go on while it waits. Default they stand still: a person is
    /// slow, and that says nothing about the node.
    pub fn on_the_clock(self) -> Self {
        Self { on_the_clock: true, ..self }
    }
}
