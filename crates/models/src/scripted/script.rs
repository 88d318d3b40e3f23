//! What a scripted model says, and when.

use std::time::Duration;

use serde_json::Value;
use streamnest_core::{TokenDelta, Usage};

use crate::{Delta, Error, FinishReason, ToolCallDelta};

/// What a [`ScriptedModel`](crate::ScriptedModel) says to one call, and when.
///
/// A script whose steps say neither how the answer ends nor that it does not, ends it by itself: with
/// [`FinishReason::ToolCalls`] if it calls a tool, else with [`FinishReason::Stop`].
///
/// ```
/// use serde_json::json;
/// use streamnest_models::{ChatModelExt as _, FinishReason, Script, ScriptedModel};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), streamnest_models::Error> {
/// let script = Script::new().text("Let me look.").tool_call("c1", "search", json!({"query": "logs"})).usage(12, 7);
/// let answer = ScriptedModel::new().script(script).generate("What are logs?").await?;
/// assert_eq!(answer.text, "Let me look.");
/// assert_eq!(answer.tool_calls[0].name, "search");
/// assert_eq!(answer.finish, FinishReason::ToolCalls);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: Vec<ScriptStep>,
}

/// One step of a [`Script`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ScriptStep {
    /// Says something.
    Say(Delta),
    /// Waits so long, by the runtime's own clock, which a test can pause.
    Delay(Duration),
    /// Fails; what follows is never said.
    Fail(Error),
    /// Says nothing more and never ends: only dropping the stream helps.
    Hang,
    /// Ends here, without a word of how: as a connection does that breaks.
    BreakOff,
}

impl Script {
    /// A script without steps: an empty answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Then this step.
    pub fn step(mut self, step: ScriptStep) -> Self {
        self.steps.push(step);
        self
    }

    /// Then the steps of another script.
    pub fn then(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self
    }

    /// Then this token.
    pub fn token(self, token: impl Into<TokenDelta>) -> Self {
        self.step(ScriptStep::Say(Delta::Token(token.into())))
    }

    /// Then these tokens.
    pub fn tokens<T: Into<TokenDelta>>(self, tokens: impl IntoIterator<Item = T>) -> Self {
        tokens.into_iter().fold(self, Self::token)
    }

    /// Then `text` in tokens of one word, each with the blanks before it; the blanks at the end are a token of their own.
    pub fn text(mut self, text: &str) -> Self {
        let mut rest = text;
        while !rest.is_empty() {
            let word = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
            let blank = rest.char_indices().find(|(at, c)| *at > word && c.is_whitespace());
            let (token, after) = rest.split_at(blank.map_or(rest.len(), |(at, _)| at));
            self = self.token(token);
            rest = after;
        }
        self
    }

    /// Then `tokens`, each after a wait of `interval`.
    pub fn paced<T: Into<TokenDelta>>(self, interval: Duration, tokens: impl IntoIterator<Item = T>) -> Self {
        tokens.into_iter().fold(self, |script, token| script.delay(interval).token(token))
    }

    /// Then a token of the model's reasoning.
    pub fn reasoning(self, content: impl Into<String>) -> Self {
        self.token(TokenDelta {
            content: content.into(),
            kind: Some("reasoning".to_owned()),
            ..TokenDelta::default()
        })
    }

    /// Then a tool call, in one piece.
    pub fn tool_call(self, id: impl Into<String>, name: impl Into<String>, arguments: Value) -> Self {
        self.tool_call_piece(ToolCallDelta {
            id: id.into(),
            name: Some(name.into()),
            arguments: arguments.to_string(),
        })
    }

    /// Then a piece of a tool call.
    pub fn tool_call_piece(self, piece: ToolCallDelta) -> Self {
        self.step(ScriptStep::Say(Delta::ToolCall(piece)))
    }

    /// Then a wait.
    pub fn delay(self, delay: Duration) -> Self {
        self.step(ScriptStep::Delay(delay))
    }

    /// Then the usage, as a provider counts it.
    pub fn usage(self, input_tokens: u64, output_tokens: u64) -> Self {
        let usage = Usage { input_tokens, output_tokens, estimated: false };
        self.step(ScriptStep::Say(Delta::Usage(usage)))
    }

    /// Then the finish, for this reason.
    pub fn finish(self, reason: FinishReason) -> Self {
        self.step(ScriptStep::Say(Delta::Finish(reason)))
    }

    /// Then this error, and nothing more.
    pub fn error(self, error: Error) -> Self {
        self.step(ScriptStep::Fail(error))
    }

    /// Then nothing, for ever.
    pub fn hang(self) -> Self {
        self.step(ScriptStep::Hang)
    }

    /// Then the end, as of a connection that breaks.
    pub fn break_off(self) -> Self {
        self.step(ScriptStep::BreakOff)
    }

    /// Its steps, with the finish that it left to be understood.
    pub(super) fn into_steps(mut self) -> Vec<ScriptStep> {
        let says_how_it_ends = |step: &ScriptStep| {
            !matches!(step, ScriptStep::Delay(_) | ScriptStep::Say(_))
                || matches!(step, ScriptStep::Say(Delta::Finish(_)))
        };
        if !self.steps.iter().any(says_how_it_ends) {
            let calls = |step: &ScriptStep| matches!(step, ScriptStep::Say(Delta::ToolCall(_)));
            let reason =
                if self.steps.iter().any(calls) { FinishReason::ToolCalls } else { FinishReason::Stop };
            self = self.finish(reason);
        }
        self.steps
    }
}

impl From<&str> for Script {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}
