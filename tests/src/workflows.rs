//! Workflows that do what a test needs.

use std::{sync::Arc, time::Duration};

use streamnest::prelude::*;
use tokio::sync::Semaphore;

/// How a node behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// It returns.
    Return,
    /// It fails with a text that no client may see.
    Fail,
    /// It panics.
    Panic,
    /// It runs longer than it may.
    Hang,
}

/// The state of [`Steps`].
#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StepsState {
    /// What the first node streams.
    tokens: u32,
    /// The time between two tokens, in milliseconds.
    #[state(default)]
    pause_ms: u64,
    /// What the first node does then.
    #[state(default = Behaviour::Return)]
    then: Behaviour,
    /// What it streamed.
    #[state(default)]
    text: String,
}

/// Two nodes: the first streams tokens and does as it is told, the second says that it was there.
#[derive(Clone, Debug)]
pub struct Steps {
    /// The first node waits for a permit before each token, once it is bounded.
    pub permits: Arc<Semaphore>,
}

impl Default for Steps {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) }
    }
}

#[workflow(name = "steps", state = StepsState)]
impl Steps {
    #[node(start, timeout = "20s")]
    #[stream_token(buffer_size = 1)]
    #[stream_progress(granularity = "detailed")]
    async fn stream(&self, state: &StepsState, ctx: &NodeContext) -> NodeResult<StepsStateUpdate> {
        let mut text = String::new();
        for number in 0..state.tokens {
            self.permits.acquire().await?.forget();
            if state.pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(state.pause_ms)).await;
            }
            let token = format!("t{number} ");
            text.push_str(&token);
            ctx.token(token).await;
            ctx.progress(number + 1, state.tokens).await;
        }
        match state.then {
            Behaviour::Return => {}
            Behaviour::Fail => Err(std::io::Error::other("the password is hunter2"))?,
            Behaviour::Panic => panic!("on purpose"),
            Behaviour::Hang => std::future::pending().await,
        }
        Ok(StepsStateUpdate::new().text(text))
    }

    #[node(after = "stream")]
    async fn confirm(&self, _state: &StepsState, ctx: &NodeContext) -> NodeResult<()> {
        ctx.emit("confirmed", ctx.visit()).await
    }
}
