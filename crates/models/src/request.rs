//! What a model is asked.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::Error;

/// What a model is asked.
///
/// A text alone is one message of the user. A field that is left out has the model's own default; a field that a model
/// cannot honour is refused by [`Error::Unsupported`], never passed over.
///
/// ```
/// use streamnest_models::{ChatMessage, ChatRequest};
///
/// let short: ChatRequest = "Write a haiku about logs.".into();
/// let long = ChatRequest::new([ChatMessage::system("You are brief."), ChatMessage::user("Write about logs.")])
///     .with_temperature(0.2)
///     .with_max_tokens(60)
///     .with_stop(["\n\n"]);
/// assert_eq!(short.messages.len(), 1);
/// assert_eq!(long.max_tokens, Some(60));
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct ChatRequest {
    /// The conversation so far, oldest first.
    pub messages: Vec<ChatMessage>,
    /// The tools that the model may call.
    pub tools: Vec<ToolDefinition>,
    /// How freely to choose among likely words: 0 takes the likeliest each time.
    pub temperature: Option<f64>,
    /// The most tokens that the answer may have.
    pub max_tokens: Option<u32>,
    /// Same seed and request, same answer, as far as the model can promise it.
    pub seed: Option<u64>,
    /// The answer ends before the first of these that is complete; none may be empty.
    pub stop: Vec<String>,
}

impl ChatRequest {
    /// A request of these messages, oldest first.
    pub fn new(messages: impl IntoIterator<Item = ChatMessage>) -> Self {
        Self { messages: messages.into_iter().collect(), ..Self::default() }
    }

    /// With one more message at the end.
    pub fn with_message(mut self, message: ChatMessage) -> Self {
        self.messages.push(message);
        self
    }

    /// With these tools; none by default.
    pub fn with_tools(mut self, tools: impl IntoIterator<Item = ToolDefinition>) -> Self {
        self.tools = tools.into_iter().collect();
        self
    }

    /// With this temperature.
    pub const fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// With at most so many tokens in the answer.
    pub const fn with_max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// With this seed.
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// With these stop sequences; none by default.
    pub fn with_stop<S: Into<String>>(mut self, stop: impl IntoIterator<Item = S>) -> Self {
        self.stop = stop.into_iter().map(Into::into).collect();
        self
    }
}

impl From<&str> for ChatRequest {
    fn from(text: &str) -> Self {
        Self::new([ChatMessage::user(text)])
    }
}

impl From<String> for ChatRequest {
    fn from(text: String) -> Self {
        Self::new([ChatMessage::user(text)])
    }
}

impl From<&String> for ChatRequest {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<ChatMessage> for ChatRequest {
    fn from(message: ChatMessage) -> Self {
        Self::new([message])
    }
}

impl From<Vec<ChatMessage>> for ChatRequest {
    fn from(messages: Vec<ChatMessage>) -> Self {
        Self::new(messages)
    }
}

/// One turn of a conversation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChatMessage {
    /// What the model is told to be and to do.
    System {
        /// The text.
        content: String,
    },
    /// What a person said.
    User {
        /// The text.
        content: String,
    },
    /// What the model said.
    Assistant {
        /// The text.
        content: String,
        /// The tools it called.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool gave.
    Tool {
        /// The call that this answers: [`ToolCall::id`].
        call_id: String,
        /// The result, as text.
        content: String,
    },
}

impl ChatMessage {
    /// What the model is told to be and to do.
    pub fn system(content: impl Into<String>) -> Self {
        Self::System { content: content.into() }
    }

    /// What a person said.
    pub fn user(content: impl Into<String>) -> Self {
        Self::User { content: content.into() }
    }

    /// What the model said.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::Assistant { content: content.into(), tool_calls: Vec::new() }
    }

    /// What a tool gave in answer to the call `call_id`.
    pub fn tool(call_id: impl Into<String>, content: impl Into<String>) -> Self {
        Self::Tool { call_id: call_id.into(), content: content.into() }
    }

    /// The text, whoever said it.
    pub fn content(&self) -> &str {
        match self {
            Self::System { content }
            | Self::User { content }
            | Self::Assistant { content, .. }
            | Self::Tool { content, .. } => content,
        }
    }

    /// Who said it: `system`, `user`, `assistant` or `tool`.
    pub const fn role(&self) -> &'static str {
        match self {
            Self::System { .. } => "system",
            Self::User { .. } => "user",
            Self::Assistant { .. } => "assistant",
            Self::Tool { .. } => "tool",
        }
    }
}

/// A tool that a model may call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ToolDefinition {
    /// Its name.
    pub name: String,
    /// What it does and when to call it, for the model to read.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

impl ToolDefinition {
    /// A tool with this name, description and JSON Schema of its arguments.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self { name: name.into(), description: description.into(), parameters }
    }
}

/// A model's wish to have a tool called.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its id, for the [answer](ChatMessage::tool).
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: meant to be JSON, and not always so.
    pub arguments: String,
}

impl ToolCall {
    /// The arguments as a value of `T`. No arguments at all are an empty object.
    ///
    /// ```
    /// use streamnest_models::ToolCall;
    ///
    /// let call = ToolCall { id: "c1".into(), name: "add".into(), arguments: r#"{"a":1,"b":2}"#.into() };
    /// let arguments: serde_json::Value = call.parse()?;
    /// assert_eq!(arguments["b"], 2);
    /// # Ok::<(), streamnest_models::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ToolArguments`] if they are not JSON, or not of `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let text = if self.arguments.trim().is_empty() { "{}" } else { &self.arguments };
        serde_json::from_str(text)
            .map_err(|source| Error::ToolArguments { tool: self.name.clone(), source: Arc::new(source) })
    }
}

#[cfg(test)]
mod tests;
