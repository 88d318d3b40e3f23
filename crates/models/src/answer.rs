//! The whole of an answer.

use streamnest_core::Usage;

use crate::{Delta, Error, FinishReason, ToolCall, ToolCallDelta};

/// The most tool calls in one answer: what no model needs, and a stream gone mad soon exceeds.
const MAX_TOOL_CALLS: usize = 256;

/// A whole answer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ChatAnswer {
    /// The text: the contents of all tokens in order, less those that are [reasoning](Self::reasoning).
    pub text: String,
    /// What the model thought aloud before it answered: the contents of the tokens of the kind `reasoning`.
    pub reasoning: String,
    /// The tools that the model wants called, in the order in which it began to ask.
    pub tool_calls: Vec<ToolCall>,
    /// What the call used, if the model told.
    pub usage: Option<Usage>,
    /// Why the answer ended.
    pub finish: FinishReason,
}

/// Puts an answer together from its pieces.
pub(crate) struct Assembly {
    model: String,
    text: String,
    reasoning: String,
    tool_calls: Vec<ToolCall>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
}

impl Assembly {
    pub(crate) fn new(model: &str) -> Self {
        Self {
            model: model.into(),
            text: String::new(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
            usage: None,
            finish: None,
        }
    }

    pub(crate) fn take(&mut self, delta: &Delta) -> Result<(), Error> {
        match delta {
            Delta::Token(token) if token.kind.as_deref() == Some("reasoning") => {
                self.reasoning.push_str(&token.content);
            }
            Delta::Token(token) => self.text.push_str(&token.content),
            Delta::ToolCall(piece) => self.take_tool_call(piece)?,
            Delta::Usage(usage) => self.usage = Some(usage.clone()),
            Delta::Finish(reason) => self.finish = Some(reason.clone()),
        }
        Ok(())
    }

    fn take_tool_call(&mut self, piece: &ToolCallDelta) -> Result<(), Error> {
        if let Some(call) = self.tool_calls.iter_mut().rfind(|call| call.id == piece.id) {
            call.arguments.push_str(&piece.arguments);
            return Ok(());
        }
        let Some(name) = piece.name.clone() else {
            return Err(self.malformed(format!("tool call `{}` begins without a name", piece.id)));
        };
        if self.tool_calls.len() == MAX_TOOL_CALLS {
            return Err(self.malformed(format!("more than {MAX_TOOL_CALLS} tool calls in one answer")));
        }
        self.tool_calls.push(ToolCall { id: piece.id.clone(), name, arguments: piece.arguments.clone() });
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<ChatAnswer, Error> {
        let Some(finish) = self.finish else { return Err(Error::BrokenOff { model: self.model }) };
        Ok(ChatAnswer {
            text: self.text,
            reasoning: self.reasoning,
            tool_calls: self.tool_calls,
            usage: self.usage,
            finish,
        })
    }

    fn malformed(&self, reason: String) -> Error {
        Error::Malformed { model: self.model.clone(), reason }
    }
}

#[cfg(test)]
mod tests;
