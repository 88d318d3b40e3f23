//! Why a model gave no answer, or no whole one.

use std::{error::Error as StdError, sync::Arc};

/// Why a model gave no answer, or no whole one.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request asks for something that this model cannot do.
    #[error("model `{model}` does not take `{field}`: {reason}; leave it out or choose another model")]
    Unsupported {
        /// The model.
        model: String,
        /// The field of the request.
        field: &'static str,
        /// Why the model cannot do it.
        reason: &'static str,
    },
    /// A value is outside what this model takes.
    #[error("`{field}` of model `{model}` is {value}, outside {legal}")]
    OutOfRange {
        /// The model.
        model: String,
        /// The field of the request or of the options.
        field: &'static str,
        /// The value, with its unit if it has one.
        value: String,
        /// The legal values.
        legal: String,
    },
    /// The request has no message.
    #[error("request to model `{model}` has no message; give it at least one")]
    NoMessages {
        /// The model.
        model: String,
    },
    /// The text to learn from holds no sentence.
    #[error("corpus of model `{model}` holds no sentence of two words or more; give it some prose")]
    EmptyCorpus {
        /// The model.
        model: String,
    },
    /// A scripted model was called more often than it has scripts.
    #[error("model `{model}` was called {calls} times and has {scripts} scripts; add one for each call")]
    ScriptExhausted {
        /// The model.
        model: String,
        /// How often it was called, this call included.
        calls: usize,
        /// How many scripts it was given.
        scripts: usize,
    },
    /// The stream ended before it said that the answer is finished.
    #[error("stream of model `{model}` ended before its answer was finished; try again")]
    BrokenOff {
        /// The model.
        model: String,
    },
    /// The stream said something that makes no sense at its place.
    #[error("stream of model `{model}` is malformed: {reason}")]
    Malformed {
        /// The model.
        model: String,
        /// What makes no sense.
        reason: String,
    },
    /// The arguments of a tool call are not what the caller asked for.
    #[error("arguments of tool call `{tool}` cannot be read; send the model this error and ask again")]
    ToolArguments {
        /// The tool.
        tool: String,
        /// What the JSON parser said.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The provider refused the call, failed, or cannot be reached.
    #[error("provider of model `{model}` failed")]
    Provider {
        /// The model.
        model: String,
        /// Whether the same call may succeed later.
        retryable: bool,
        /// What the provider said.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// A failure of a provider, for those who implement [`ChatModel`](crate::ChatModel).
    ///
    /// ```
    /// use streamnest_models::Error;
    ///
    /// let error = Error::provider("gpt-4o-mini", true, "429 too many requests");
    /// assert_eq!(error.code(), "model_provider");
    /// assert!(error.is_retryable());
    /// ```
    pub fn provider(
        model: impl Into<String>,
        retryable: bool,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Provider { model: model.into(), retryable, source: Arc::from(source.into()) }
    }

    /// A stable identifier, the same in every release.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "model_unsupported",
            Self::OutOfRange { .. } => "model_out_of_range",
            Self::NoMessages { .. } => "model_no_messages",
            Self::EmptyCorpus { .. } => "model_empty_corpus",
            Self::ScriptExhausted { .. } => "model_script_exhausted",
            Self::BrokenOff { .. } => "model_broken_off",
            Self::Malformed { .. } => "model_malformed",
            Self::ToolArguments { .. } => "model_tool_arguments",
            Self::Provider { .. } => "model_provider",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::BrokenOff { .. } => true,
            Self::Provider { retryable, .. } => *retryable,
            _ => false,
        }
    }
}
