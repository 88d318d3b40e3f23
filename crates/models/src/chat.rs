//! What a model is.

use std::{fmt, pin::Pin, sync::Arc};

use futures_core::Stream;

use crate::{ChatRequest, Delta, Error, Generation, ScopedStream};

/// The raw stream of one call. Dropping it cancels the call.
///
/// The first error is the last item.
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<Delta, Error>> + Send>>;

/// A language model.
///
/// Implement [`call`](Self::call), and callers use [`generate`](ChatModelExt::generate) and
/// [`stream`](ChatModelExt::stream), which every model has by [`ChatModelExt`]. A model is shared between executions as an
/// `Arc<dyn ChatModel>`.
///
/// ```
/// use futures_util::stream;
/// use streamnest_models::{ChatModel, ChatModelExt as _, ChatRequest, ChatStream, Delta, FinishReason};
///
/// /// Says back what it was told.
/// struct Echo;
///
/// impl ChatModel for Echo {
///     fn name(&self) -> &str {
///         "echo"
///     }
///     fn call(&self, request: ChatRequest) -> ChatStream {
///         let words = request.messages.last().map(|message| message.content().to_owned()).unwrap_or_default();
///         let deltas = [Delta::Token(words.into()), Delta::Finish(FinishReason::Stop)];
///         Box::pin(stream::iter(deltas.map(Ok)))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), streamnest_models::Error> {
/// assert_eq!(Echo.generate("hello").await?.text, "hello");
/// # Ok(())
/// # }
/// ```
pub trait ChatModel: Send + Sync + 'static {
    /// Its name, for people, metrics and prices: `gpt-4o-mini`, `offline`.
    fn name(&self) -> &str;

    /// Begins a call and returns what the model says, as it says it.
    ///
    /// Returns at once; what can go wrong, refused fields of the request included, is the stream's first item. The call
    /// ends when the stream is dropped. No token reaches a node by this method: it is for wrappers around models and for
    /// calls that are not to be seen.
    fn call(&self, request: ChatRequest) -> ChatStream;
}

/// What every [`ChatModel`] can do, `dyn ChatModel` included.
pub trait ChatModelExt: ChatModel {
    /// Calls the model and returns its whole answer; meanwhile each token streams through the node that called.
    ///
    /// The node is the one whose code calls this method; if that has none, the one that polls the future first. With
    /// neither, the nodes that stream at that time are [told](streamnest_core::Scope::report_call_without_scope). Each call
    /// is one message, and the contents of its tokens in order are the answer.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streamnest_models::{ChatModel, ChatModelExt as _, ScriptedModel};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), streamnest_models::Error> {
    /// let model: Arc<dyn ChatModel> = Arc::new(ScriptedModel::new().answer("Fine weather."));
    /// let answer = model.generate("How is the weather?").await?;
    /// assert_eq!(answer.text, "Fine weather.");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the model's stream says; [`Error::BrokenOff`] if it ended without a [`FinishReason`](crate::FinishReason), so
    /// that half an answer is never taken for a whole one; [`Error::Malformed`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the model's stream, which cancels the call; the message is left as broken off.
    fn generate(&self, request: impl Into<ChatRequest>) -> Generation {
        Generation::new(self.name(), self.call(request.into()))
    }

    /// Calls the model and returns the pieces of its answer; each token streams through the node that called before it
    /// is returned here.
    ///
    /// The node is found as by [`generate`](Self::generate), and the errors are the same. The first error is the last item.
    ///
    /// ```
    /// use futures_util::StreamExt as _;
    /// use streamnest_models::{ChatModelExt as _, Delta, ScriptedModel};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), streamnest_models::Error> {
    /// let mut stream = ScriptedModel::new().answer("Fine weather.").stream("How is the weather?");
    /// let mut text = String::new();
    /// while let Some(delta) = stream.next().await {
    ///     if let Delta::Token(token) = delta? {
    ///         text += &token.content;
    ///     }
    /// }
    /// assert_eq!(text, "Fine weather.");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Dropping the stream drops the model's, which cancels the call. A dropped `next()` loses nothing.
    fn stream(&self, request: impl Into<ChatRequest>) -> ScopedStream {
        ScopedStream::new(self.name(), self.call(request.into()))
    }
}

impl<M: ChatModel + ?Sized> ChatModelExt for M {}

impl<M: ChatModel + ?Sized> ChatModel for Arc<M> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn call(&self, request: ChatRequest) -> ChatStream {
        (**self).call(request)
    }
}

impl fmt::Debug for dyn ChatModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatModel").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// A stream that says why there is none.
pub(crate) fn refused(error: Error) -> ChatStream {
    Box::pin(futures_util::stream::iter([Err(error)]))
}
