//! Calls that pass their tokens to the node they are made in.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use streamnest_core::{MessageOrigin, MessageSink, Scope, TokenDelta, Usage};

use crate::{ChatAnswer, ChatStream, Delta, Error, answer::Assembly};

/// The answer to come. Made by [`ChatModelExt::generate`](crate::ChatModelExt::generate).
///
/// It borrows nothing: it may be spawned, joined with others, or raced against a timeout.
#[must_use = "a call does nothing until it is awaited"]
pub struct Generation(Pin<Box<dyn Future<Output = Result<ChatAnswer, Error>> + Send>>);

impl Generation {
    pub(crate) fn new(model: &str, raw: ChatStream) -> Self {
        let mut call = ScopedCall::new(model, raw);
        let mut answer = Assembly::new(model);
        Self(Box::pin(async move {
            while let Some(delta) = call.next().await {
                let delta = delta?;
                answer.take(&delta)?;
                if let Delta::Token(token) = delta {
                    call.pass(token).await;
                }
            }
            answer.finish()
        }))
    }
}

impl Future for Generation {
    type Output = Result<ChatAnswer, Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generation(..)")
    }
}

/// The pieces of an answer. Made by [`ChatModelExt::stream`](crate::ChatModelExt::stream).
#[must_use = "a call does nothing until it is polled"]
pub struct ScopedStream(Pin<Box<dyn Stream<Item = Result<Delta, Error>> + Send>>);

impl ScopedStream {
    pub(crate) fn new(model: &str, raw: ChatStream) -> Self {
        let pieces = stream::unfold(ScopedCall::new(model, raw), |mut call| async move {
            let delta = call.next().await?;
            if let Ok(Delta::Token(token)) = &delta
                && call.sink.is_some()
            {
                call.pass(token.clone()).await;
            }
            Some((delta, call))
        });
        Self(Box::pin(pieces.fuse()))
    }

    /// The next piece; `None` after the last one. For programs that import no `StreamExt`.
    ///
    /// # Cancel safety
    /// Safe: a piece is returned or not taken.
    pub async fn next(&mut self) -> Option<Result<Delta, Error>> {
        self.0.next().await
    }
}

impl Stream for ScopedStream {
    type Item = Result<Delta, Error>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for ScopedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopedStream(..)")
    }
}

/// One call of a model, and the message that it is in the node that made it.
struct ScopedCall {
    model: String,
    /// The scope that stood when the call was made.
    scope: Option<Scope>,
    begun: bool,
    /// None once the call has ended.
    raw: Option<ChatStream>,
    sink: Option<Box<dyn MessageSink>>,
    usage: Option<Usage>,
    finished: bool,
}

impl ScopedCall {
    fn new(model: &str, raw: ChatStream) -> Self {
        Self {
            model: model.into(),
            scope: Scope::current(),
            begun: false,
            raw: Some(raw),
            sink: None,
            usage: None,
            finished: false,
        }
    }

    /// The next piece, checked for its place in the stream. The message is finished when the stream is, and broken off
    /// when that fails.
    async fn next(&mut self) -> Option<Result<Delta, Error>> {
        self.begin();
        let raw = self.raw.as_mut()?;
        let failed = match poll_fn(|cx| raw.as_mut().poll_next(cx)).await {
            Some(Ok(delta)) => match self.check(&delta) {
                Ok(()) => return Some(Ok(delta)),
                Err(error) => error,
            },
            Some(Err(error)) => error,
            None if self.finished => {
                self.raw = None;
                if let Some(sink) = self.sink.take() {
                    sink.finish(self.usage.take()).await;
                }
                return None;
            }
            None => Error::BrokenOff { model: self.model.clone() },
        };
        self.raw = None;
        self.sink = None;
        Some(Err(failed))
    }

    /// Gives a token to the node and waits until it has room for more.
    async fn pass(&mut self, token: TokenDelta) {
        if let Some(sink) = &mut self.sink {
            sink.token(token).await;
        }
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        match self.scope.take().or_else(Scope::current) {
            Some(scope) => {
                let origin =
                    MessageOrigin { model: Some(self.model.clone()), role: Some("assistant".to_owned()) };
                self.sink = Some(scope.open_message(origin));
            }
            None => Scope::report_call_without_scope(&self.model),
        }
    }

    fn check(&mut self, delta: &Delta) -> Result<(), Error> {
        let what = match delta {
            Delta::Usage(usage) => {
                self.usage = Some(usage.clone());
                return Ok(());
            }
            _ if !self.finished => {
                self.finished = matches!(delta, Delta::Finish(_));
                return Ok(());
            }
            Delta::Token(_) => "a token",
            Delta::ToolCall(_) => "a tool call",
            Delta::Finish(_) => "a second finish",
        };
        let reason = format!("{what} came after its finish");
        Err(Error::Malformed { model: self.model.clone(), reason })
    }
}

#[cfg(test)]
mod tests;
