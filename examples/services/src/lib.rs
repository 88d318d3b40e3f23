//! A radio that no workflow runs: token streams, views and bridges by the services alone.
//!
//! ```sh
//! cargo run --release -p services -- --listen 127.0.0.1:8080
//! curl -N 'http://127.0.0.1:8080/executions/programme-1/events'   # from its beginning, live or late
//! ```
//!
//! A programme is an execution. Its `host` speaks by a model, its `weather` by hand; every few moments it is told how many
//! tokens went over the air so far. Between programmes there is silence. All of it can be followed like a workflow's run: it
//! is listed at `/executions`, resumed from any position, and cancelled.

use std::time::Duration;

use futures_util::StreamExt as _;
use streamnest::{prelude::*, runtime::TokenStatistics};
use tokio::time::sleep;

/// What the host is asked for.
const QUESTIONS: [&str; 3] = ["Why is a log enough?", "What does a client miss?", "Who slows whom?"];

/// How a radio sounds.
#[derive(Clone, Debug)]
pub struct Radio {
    /// Who speaks.
    pub model: OfflineModel,
    /// The silence between two programmes.
    pub pause: Duration,
}

impl Radio {
    /// Sends programme after programme until it is dropped.
    ///
    /// # Errors
    /// The first thing that goes wrong, for example that the server shuts down.
    pub async fn on_air(&self, app: &App) -> Result<(), StreamingError> {
        let mut number = 0_usize;
        loop {
            let question = QUESTIONS.get(number % QUESTIONS.len()).copied().unwrap_or_default();
            number += 1;
            let id = format!("programme-{number}");
            let programme = ExecutionId::new(&id).map_err(TokenStreamingError::Name)?;
            self.send(app, &programme, question).await?;
            sleep(self.pause).await;
        }
    }

    /// Sends one programme, from its first word to its end.
    ///
    /// # Errors
    /// What goes wrong.
    pub async fn send(
        &self,
        app: &App,
        programme: &ExecutionId,
        question: &str,
    ) -> Result<(), StreamingError> {
        let tokens = app.token_streaming();
        let host = tokens.initialize_token_stream(programme, "host", TokenOptions::default()).await?;
        let weather = tokens.initialize_token_stream(programme, "weather", TokenOptions::default()).await?;
        let program = async {
            // The model finds the stream by its scope, as it would find a workflow's node.
            let spoken = self.model.generate(question).in_scope(host.scope()).await;
            if let Err(error) = spoken {
                tracing::warn!(%error, "host lost the thread");
            }
            weather.token("And now the weather: ").await?;
            for word in ["sunny", " with", " a", " chance", " of", " tokens", "."] {
                weather.token(word).await?;
            }
            tokens.close_execution_token_streams(programme).await
        };
        // The figures are a view of all executions; the bridge takes them to whoever follows this one, until it ends.
        let figures = tokens.get_token_stats().sample(Duration::from_secs(2)).items();
        let figures = figures.filter_map(|figures| std::future::ready(figures.ok().map(on_air)));
        let told = async {
            let ended = app.bridge().bridge_to_execution(programme, "on_air", figures).await;
            tracing::debug!(?ended, "nothing more is told");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = program => ended?,
            () = told => {}
        }
        Ok(())
    }
}

/// What listeners are told of the figures.
fn on_air(figures: TokenStatistics) -> String {
    format!("{} tokens so far, {:.0} a second now", figures.tokens, figures.tokens_per_second)
}

/// Tells the server's trace what is said, in batches: an observer that no listener can feel.
pub fn archive(app: &App) -> Subscription {
    let events = app.event_processing();
    let said = events.live(FilterCriteria::all().with_types([EventType::TOKEN]));
    let archivist = Subscriber::new(|batch: Vec<StreamUpdate>| {
        let text: String = batch.iter().filter_map(StreamUpdate::token).map(|token| token.content).collect();
        tracing::info!(entries = batch.len(), text, "archived");
    });
    events.process_batch(said, 20, Duration::from_secs(1)).subscribe_with(archivist.named("archive"))
}
