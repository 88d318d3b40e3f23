//! The composition root: where log, runtime and gateway meet.

use std::{fmt, sync::Arc};

use serde_json::Value;
use streamnest_core::{Clock, ControlError, LogStore, StartExecution};
use streamnest_gateway::{Gateway, GatewayOptions, StreamingWebSocketGateway, WebSocketBridgeService};
use streamnest_log::{LogOptions, MemoryStore, Registry, SystemClock};
use streamnest_runtime::{
    Engine, EngineOptions, EventStreamProcessorOptions, EventStreamProcessorService, Run,
    TokenStreamingOptions, TokenStreamingService, Workflow,
};
use tokio::{net::TcpListener, task::AbortHandle, time::timeout};

use crate::{Error, ServerFlags};

/// Where an application begins.
#[derive(Clone, Copy, Debug)]
pub struct Streamnest;

impl Streamnest {
    /// Begins an application.
    pub fn builder() -> AppBuilder {
        AppBuilder::default()
    }
}

/// Collects what an application is made of.
#[derive(Default)]
#[must_use]
pub struct AppBuilder {
    workflows:
        Vec<Box<dyn FnOnce(streamnest_runtime::EngineBuilder) -> streamnest_runtime::EngineBuilder + Send>>,
    engine: EngineOptions,
    logs: LogOptions,
    gateway: GatewayOptions,
    tokens: TokenStreamingOptions,
    events: EventStreamProcessorOptions,
    store: Option<Arc<dyn LogStore>>,
    clock: Option<Arc<dyn Clock>>,
}

impl AppBuilder {
    /// Adds a workflow. One value serves all its executions.
    pub fn workflow<W: Workflow>(mut self, workflow: W) -> Self {
        self.workflows.push(Box::new(|engine| engine.workflow(workflow)));
        self
    }

    /// Takes other bounds for running workflows.
    pub fn engine_options(mut self, options: EngineOptions) -> Self {
        self.engine = options;
        self
    }

    /// Takes other bounds for the logs.
    pub fn log_options(mut self, options: LogOptions) -> Self {
        self.logs = options;
        self
    }

    /// Takes other bounds for connections.
    pub fn gateway_options(mut self, options: GatewayOptions) -> Self {
        self.gateway = options;
        self
    }

    /// Takes other bounds for token streams that are no workflow's.
    pub fn token_streaming_options(mut self, options: TokenStreamingOptions) -> Self {
        self.tokens = options;
        self
    }

    /// Takes other bounds for the processing of events.
    pub fn event_processing_options(mut self, options: EventStreamProcessorOptions) -> Self {
        self.events = options;
        self
    }

    /// Keeps the logs in `store`. Default a [`MemoryStore`].
    pub fn store(mut self, store: Arc<dyn LogStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Takes the time from `clock`. Default the [`SystemClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Checks everything and puts it together. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The first thing that is wrong with a workflow or an option.
    pub async fn build(self) -> Result<App, Error> {
        self.logs.validate()?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new(clock.clone())));
        let logs = Registry::new(store, clock, self.logs);
        let mut engine = Engine::builder(logs.clone()).options(self.engine);
        for add in self.workflows {
            engine = add(engine);
        }
        let engine = engine.build()?;
        let tokens = TokenStreamingService::new(engine.clone(), self.tokens)?;
        let events = EventStreamProcessorService::new(logs.clone(), self.events);
        let gateway = Gateway::new(Arc::new(engine.clone()), logs.clone(), self.gateway)?;
        let maintenance = tokio::spawn(async move { logs.maintain().await }).abort_handle();
        Ok(App { engine, tokens, events, gateway, maintenance: Arc::new(Maintenance(maintenance)) })
    }
}

impl fmt::Debug for AppBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppBuilder")
            .field("engine", &self.engine)
            .field("logs", &self.logs)
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

/// The task that looks after the logs; it ends with the application.
#[derive(Debug)]
struct Maintenance(AbortHandle);

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An application: workflows, the logs of their executions, and the gateway to both. A cheap handle.
#[derive(Clone, Debug)]
pub struct App {
    engine: Engine,
    tokens: TokenStreamingService,
    events: EventStreamProcessorService,
    gateway: Gateway,
    maintenance: Arc<Maintenance>,
}

impl App {
    /// Starts an execution of `workflow` with a new id.
    ///
    /// # Errors
    /// [`ControlError::UnknownWorkflow`], [`ControlError::InvalidInput`], [`ControlError::TooManyExecutions`].
    pub async fn start(&self, workflow: &str, input: Value) -> Result<Run, ControlError> {
        self.start_with(StartExecution {
            workflow: workflow.into(),
            input,
            execution_id: None,
            on_disconnect: None,
        })
        .await
    }

    /// Starts an execution, or attaches to it: the same id, workflow and input again is the same execution.
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`ControlError::Conflict`].
    pub async fn start_with(&self, request: StartExecution) -> Result<Run, ControlError> {
        self.engine.run(request).await
    }

    /// The gateway to its executions.
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Runs the executions.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Streams tokens into executions from anywhere in the program, and views them.
    pub const fn token_streaming(&self) -> &TokenStreamingService {
        &self.tokens
    }

    /// Processes what executions say.
    pub const fn event_processing(&self) -> &EventStreamProcessorService {
        &self.events
    }

    /// Lets streams of the program flow to its clients.
    pub fn bridge(&self) -> WebSocketBridgeService {
        self.gateway.bridge()
    }

    /// Holds the logs of the executions.
    pub fn logs(&self) -> &Registry {
        self.engine.logs()
    }

    /// Sends to clients.
    pub fn sockets(&self) -> StreamingWebSocketGateway {
        self.gateway.sockets()
    }

    /// Its routes, to be mounted into an axum program. The application lives as long as they do.
    pub fn into_router(self) -> axum::Router {
        self.gateway.router().layer(axum::Extension(self.maintenance))
    }

    /// Serves connections of `listener` until `shutdown` completes, then drains: nothing new is started, executions get
    /// [`GatewayOptions::drain_grace`] to come to their end and are cancelled then, and only after that their clients
    /// are told to leave, so that each of them reads how its execution ended.
    ///
    /// # Errors
    /// [`Error::Gateway`] if the listener breaks.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = self.gateway.serve(listener, async {
            // The sender goes when the executions have ended, or when serving has ended by itself.
            let _ = stopped.await;
        });
        let drained = async {
            shutdown.await;
            self.drain().await;
            drop(stop);
        };
        tokio::pin!(served, drained);
        tokio::select! {
            result = &mut served => Ok(result?),
            () = &mut drained => Ok(served.await?),
        }
    }

    /// Takes nothing new, and brings every execution to its end. Connections stay.
    async fn drain(&self) {
        let options = self.gateway.options();
        let engine = self.engine.drain(options.drain_grace);
        let begun = async {
            tokio::select! {
                biased;
                // Polled once, this takes the gateway into its drain; dropped, it leaves it there.
                () = self.gateway.shut_down() => {}
                () = std::future::ready(()) => {}
            }
        };
        // The gateway begins when the engine has: then nothing starts that it does not see.
        let ended = async { tokio::join!(biased; engine, begun) };
        // A cancelled execution ends at once, unless its store hangs.
        if timeout(options.drain_grace.saturating_add(options.close_timeout), ended).await.is_err() {
            tracing::warn!("executions did not end though they were cancelled, and are left");
        }
    }

    /// Serves where the program's own flags say: see [`ServerFlags`]. Returns after SIGTERM or Ctrl-C, when everything
    /// has come to its end.
    ///
    /// Prints `listening on http://…` on standard output once connections are accepted. Reads the arguments of the
    /// program, and ends it with a message if they cannot be understood.
    ///
    /// # Errors
    /// [`Error::Listen`], [`Error::NotLoopback`], [`Error::Gateway`].
    pub async fn listen(&self) -> Result<(), Error> {
        ServerFlags::from_args().serve(self).await
    }
}
