//! A run that is followed in process.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;
use streamnest::{
    core::Signal,
    runtime::{Events, Run},
};
use tokio::time::timeout;

use crate::{Error, IntoPattern, Transcript};

/// A run that is followed step by step.
#[derive(Debug)]
pub struct TestRun {
    run: Run,
    events: Events,
    transcript: Transcript,
    patience: Duration,
}

impl TestRun {
    pub(crate) fn new(run: Run, patience: Duration) -> Self {
        let events = run.events();
        let transcript = Transcript::new(run.execution_id().clone());
        Self { run, events, transcript, patience }
    }

    /// The run itself.
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// What it has said so far, as far as it was followed.
    pub const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The next thing that it says, as [`Transcript::lines`] has it; `None` after its end.
    ///
    /// # Errors
    /// [`Error::Stuck`] if it says nothing for too long; [`Error::Events`].
    pub async fn next(&mut self) -> Result<Option<&str>, Error> {
        let Ok(entry) = timeout(self.patience, self.events.next()).await else {
            let said = self.transcript.to_string();
            return Err(Error::Stuck { patience: self.patience, said });
        };
        let Some(entry) = entry.transpose()? else { return Ok(None) };
        Ok(Some(self.transcript.push(entry)))
    }

    /// Follows it until it says what the pattern means, which it gives.
    ///
    /// # Errors
    /// As [`next`](Self::next); [`Error::Ended`] if it came to its end without that.
    pub async fn until(&mut self, pattern: impl IntoPattern) -> Result<String, Error> {
        let pattern = pattern.into_pattern();
        loop {
            match self.next().await? {
                Some(line) if pattern.matches(line) => return Ok(line.to_owned()),
                Some(_) => {}
                None => {
                    let said = self.transcript.to_string();
                    return Err(Error::Ended { pattern: pattern.to_string(), said });
                }
            }
        }
    }

    /// Answers the oldest open question, which it waits for if there is none yet.
    ///
    /// # Errors
    /// [`Error::Answer`] if the answer is refused; the question then stays open. As [`until`](Self::until) if nothing is
    /// asked.
    pub async fn answer(&mut self, answer: impl Into<Value>) -> Result<(), Error> {
        let ask = loop {
            match self.run.waiting().first() {
                Some(open) => break open.ask,
                None => drop(self.until("approval").await?),
            }
        };
        self.run.signal(Signal::new(ask, answer.into())).await.map(drop).map_err(Error::Answer)
    }

    /// Stops it, and waits until it has.
    pub async fn cancel(&self, reason: &str) {
        self.run.cancel(reason).await;
    }

    /// Follows it to its end.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn finish(mut self) -> Result<Transcript, Error> {
        while self.next().await?.is_some() {}
        Ok(self.transcript)
    }
}
