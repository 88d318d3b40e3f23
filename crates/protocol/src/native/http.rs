//! The body of an HTTP answer with a status of 4xx or 5xx.

use serde::{Deserialize, Serialize};
use streamnest_core::ControlError;

/// Why a request over HTTP was refused: `{"error":{"code":…,"message":…,"retryable":…}}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The one field.
    pub error: super::ErrorFrame,
}

impl ErrorBody {
    /// The body of an error.
    pub fn new(code: impl Into<String>, message: impl Into<String>, retryable: bool) -> Self {
        Self { error: super::ErrorFrame::new(code, message, retryable) }
    }

    /// The body as JSON.
    pub fn to_json(&self) -> String {
        super::text::to_json(self)
    }
}

impl From<&ControlError> for ErrorBody {
    fn from(error: &ControlError) -> Self {
        Self { error: error.into() }
    }
}
