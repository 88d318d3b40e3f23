//! A model that says what a test wrote down.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::{
    ChatModel, ChatRequest, ChatStream, Delta, Error,
    chat::refused,
    scripted::playback::{Playback, Played},
};

mod playback;
mod script;

pub use script::{Script, ScriptStep};

/// A model that says what a test wrote down: the first [`Script`] to the first call, the second to the second.
///
/// It remembers what it was [asked](Self::calls) and how many of its streams were [dropped](Self::drops) before their end.
/// A clone is a handle of the same model, so that a test keeps one and gives one away.
///
/// ```
/// use std::time::Duration;
/// use streamnest_models::{ChatModelExt as _, Script, ScriptedModel};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), streamnest_models::Error> {
/// let model = ScriptedModel::new()
///     .script(Script::new().token("Hel").delay(Duration::from_secs(1)).token("lo"))
///     .script(Script::new().token("never").hang());
///
/// assert_eq!(model.generate("Say hello.").await?.text, "Hello");
///
/// let late = tokio::time::timeout(Duration::from_secs(60), model.generate("Say it again.")).await;
/// assert!(late.is_err());
/// assert_eq!(model.drops(), 1);
/// assert_eq!(model.calls().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ScriptedModel {
    name: Arc<str>,
    state: Arc<Mutex<State>>,
}

/// What a scripted model has yet to say, and what it has seen.
#[derive(Default)]
struct State {
    scripts: VecDeque<Script>,
    /// How many scripts it was ever given; `calls` holds at most as many.
    given: usize,
    called: usize,
    calls: Vec<ChatRequest>,
    drops: usize,
}

impl ScriptedModel {
    /// A model without a script: its first call fails.
    pub fn new() -> Self {
        Self { name: "scripted".into(), state: Arc::default() }
    }

    /// With this name instead of `scripted`.
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// With one more script, for the first call that has none yet.
    pub fn script(self, script: Script) -> Self {
        self.push(script);
        self
    }

    /// With one more script that says `text`, word by word.
    pub fn answer(self, text: &str) -> Self {
        self.script(Script::from(text))
    }

    /// Adds one more script, also after the model was given away.
    pub fn push(&self, script: Script) {
        let mut state = self.state();
        state.given += 1;
        state.scripts.push_back(script);
    }

    /// The requests of the calls that had a script, in the order in which they were made.
    pub fn calls(&self) -> Vec<ChatRequest> {
        self.state().calls.clone()
    }

    /// How many streams were dropped before their end: before their last item, an error included, was taken.
    pub fn drops(&self) -> usize {
        self.state().drops
    }

    /// How many scripts are left.
    pub fn remaining(&self) -> usize {
        self.state().scripts.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ScriptedModel {
    fn default() -> Self {
        Self::new()
    }
}

impl ChatModel for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, request: ChatRequest) -> ChatStream {
        let mut state = self.state();
        state.called += 1;
        let Some(script) = state.scripts.pop_front() else {
            return refused(Error::ScriptExhausted {
                model: self.name.to_string(),
                calls: state.called,
                scripts: state.given,
            });
        };
        state.calls.push(request);
        Box::pin(ScriptedStream { playback: Playback::new(script), model: self.clone(), ended: false })
    }
}

impl fmt::Debug for ScriptedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("ScriptedModel")
            .field("name", &self.name)
            .field("called", &state.called)
            .field("drops", &state.drops)
            .field("remaining", &state.scripts.len())
            .finish()
    }
}

/// The answer to one call.
struct ScriptedStream {
    playback: Playback,
    model: ScriptedModel,
    ended: bool,
}

impl Stream for ScriptedStream {
    type Item = Result<Delta, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = match std::task::ready!(self.playback.poll(cx)) {
            Played::Delta(delta) => return Poll::Ready(Some(Ok(delta))),
            Played::Error(error) => Some(Err(error)),
            Played::End => None,
        };
        self.ended = true;
        Poll::Ready(item)
    }
}

impl Drop for ScriptedStream {
    fn drop(&mut self) {
        if !self.ended {
            self.model.state().drops += 1;
        }
    }
}

#[cfg(test)]
mod tests;
