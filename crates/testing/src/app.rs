//! An application without sockets.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use streamnest::{
    App, AppBuilder, Streamnest,
    core::{ExecutionId, StartExecution},
    models::{ChatModel, ScriptedModel},
    modules::{IntoModule, Provider},
};

use crate::{Error, PausedClock, TestRun, Transcript};

/// Collects what a [`TestApp`] is made of.
#[derive(Debug)]
#[must_use]
pub struct TestAppBuilder {
    app: AppBuilder,
    patience: Duration,
}

impl TestAppBuilder {
    /// `provider` stands in for every provider of the same keys.
    pub fn replace<T: ?Sized + Send + Sync + 'static>(mut self, provider: Provider<T>) -> Self {
        self.app = self.app.replace(provider);
        self
    }

    /// `model` stands in for every `dyn ChatModel` without a name. The test keeps its handle of it.
    pub fn model(self, model: &ScriptedModel) -> Self {
        let model: Arc<dyn ChatModel> = Arc::new(model.clone());
        self.replace(Provider::shared(model))
    }

    /// How long a run may say nothing before the test gives up. Default 10 min, which pass at once where time is
    /// paused.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Begins the application.
    ///
    /// # Errors
    /// [`Error::App`].
    pub async fn start(self) -> Result<TestApp, Error> {
        let app = self.app.clock(Arc::new(PausedClock::new())).build().await?;
        Ok(TestApp { app, patience: self.patience })
    }
}

/// An application without sockets, by whose runs a workflow is tested.
#[derive(Clone, Debug)]
pub struct TestApp {
    app: App,
    patience: Duration,
}

impl TestApp {
    /// The application of a module and all that it imports.
    pub fn of<Kind>(module: impl IntoModule<Kind>) -> TestAppBuilder {
        Self::builder(Streamnest::builder().module(module))
    }

    /// The application that a builder makes. Its clock is a [`PausedClock`].
    pub const fn builder(app: AppBuilder) -> TestAppBuilder {
        TestAppBuilder { app, patience: Duration::from_secs(600) }
    }

    /// Runs a workflow to its end.
    ///
    /// # Errors
    /// [`Error::Start`]; [`Error::Stuck`] if it says nothing for too long.
    pub async fn run(&self, workflow: &str, input: Value) -> Result<Transcript, Error> {
        self.start(workflow, input).await?.finish().await
    }

    /// Starts a workflow, to follow it step by step.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub async fn start(&self, workflow: &str, input: Value) -> Result<TestRun, Error> {
        Ok(TestRun::new(self.app.start(workflow, input).await?, self.patience))
    }

    /// Starts a workflow under an id.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub async fn start_as(&self, id: ExecutionId, workflow: &str, input: Value) -> Result<TestRun, Error> {
        let request = StartExecution {
            workflow: workflow.into(),
            input,
            execution_id: Some(id),
            on_disconnect: None,
            trace: None,
        };
        Ok(TestRun::new(self.app.start_with(request).await?, self.patience))
    }

    /// Follows an execution that was started before, from its first entry: by a service, or by another part of the program.
    ///
    /// # Errors
    /// [`Error::Start`] if there is none of that id.
    pub async fn attach(&self, id: &ExecutionId) -> Result<TestRun, Error> {
        Ok(TestRun::new(self.app.attach(id).await?, self.patience))
    }

    /// The application itself.
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// Ends it as a program ends: executions, then the shutdown hooks of providers.
    pub async fn shut_down(&self) {
        self.app.shut_down().await;
    }
}
