//! What runs when an application begins and ends.

use crate::BoxError;

/// What an init or shutdown hook may come to: nothing, or an error of any kind.
#[diagnostic::on_unimplemented(
    message = "a hook cannot return `{Self}`",
    label = "returned by a hook",
    note = "an init or shutdown hook is an `async fn(&self)` that returns `()` or `Result<(), E>` with an error `E`"
)]
pub trait HookOutcome: Send + 'static {
    /// As a result.
    ///
    /// # Errors
    /// What the hook failed with.
    fn into_result(self) -> Result<(), BoxError>;
}

impl HookOutcome for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError> + Send + 'static> HookOutcome for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}
