//! The application: where log, runtime and gateway meet.

mod builder;

use std::{path::Path, sync::Arc};

use serde_json::Value;
use streamnest_core::{ControlError, ExecutionId, LogStore, StartExecution};
use streamnest_gateway::{Gateway, StreamingWebSocketGateway, WebSocketBridgeService};
use streamnest_log::Registry;
use streamnest_modules::Container;
use streamnest_runtime::{Engine, EventStreamProcessorService, Run, TokenStreamingService};
use tokio::{net::TcpListener, task::AbortHandle, time::timeout};

pub use self::builder::{AppBuilder, Streamnest};
use crate::{
    Error, ServerFlags,
    store::LateStore,
    streaming::{Serving, Settled},
};

/// What lives as long as the application: what its modules made, and the task that looks after the logs.
#[derive(Debug)]
struct Living {
    container: Container,
    maintenance: AbortHandle,
}

impl Living {
    fn new(container: Container, logs: Registry) -> Self {
        let maintenance = tokio::spawn(async move { logs.maintain().await }).abort_handle();
        Self { container, maintenance }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.maintenance.abort();
    }
}

/// An application: workflows, the logs of their executions, and the gateway to both. A cheap handle.
#[derive(Clone, Debug)]
pub struct App {
    engine: Engine,
    tokens: TokenStreamingService,
    events: EventStreamProcessorService,
    gateway: Gateway,
    /// Set unless the program said where its logs are kept.
    late: Option<Arc<LateStore>>,
    settled: Arc<Settled>,
    living: Arc<Living>,
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
            trace: None,
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

    /// A handle of an execution that was started before, by whomever: under way or at its end.
    ///
    /// # Errors
    /// [`ControlError::UnknownExecution`]; [`ControlError::Unavailable`] if its log cannot be read.
    pub async fn attach(&self, id: &ExecutionId) -> Result<Run, ControlError> {
        self.engine.attach(id).await
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

    /// What the modules provide: what the root module sees, or else what any of them has.
    ///
    /// # Errors
    /// [`NotProvided`](streamnest_modules::Error::NotProvided) and
    /// [`PerExecution`](streamnest_modules::Error::PerExecution), in [`Error::Modules`].
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>, Error> {
        Ok(self.container().get()?)
    }

    /// What the modules made.
    pub fn container(&self) -> &Container {
        &self.living.container
    }

    /// Its routes, to be mounted into an axum program. The application lives as long as they do; when that program ends,
    /// [`shut_down`](Self::shut_down) a clone that was made before.
    ///
    /// Limits by address have an effect only if it is served by `into_make_service_with_connect_info::<SocketAddr>()`. Of options
    /// that have none in such a program a warning tells.
    pub fn into_router(self) -> axum::Router {
        for error in self.settled.without_effect(self.serving(false)) {
            tracing::warn!("{error}");
        }
        self.gateway.router().layer(axum::Extension(self.living))
    }

    /// Serves connections of `listener` until `shutdown` completes, then drains: nothing new is started, executions get
    /// [`drain_grace`](streamnest_gateway::GatewayOptions::drain_grace) to come to their end and are cancelled then, and only after that their clients
    /// are told to leave, so that each of them reads how its execution ended. At last the shutdown hooks of providers run.
    ///
    /// # Errors
    /// [`Error::OptionAlone`] if an option has no effect, [`Error::Gateway`] if the listener breaks.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let result = match self.check_effects() {
            Ok(()) => self.serve_until(listener, shutdown).await,
            Err(refused) => Err(refused),
        };
        self.container().shutdown().await;
        // Nobody writes any more. The next start finds an orderly stop.
        self.logs().close().await;
        result
    }

    async fn serve_until(
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
        let result = tokio::select! {
            result = &mut served => result,
            () = &mut drained => served.await,
        };
        Ok(result?)
    }

    /// Keeps the logs in `store` from here on, and takes up what it has of earlier processes. To be called before anything is
    /// started.
    ///
    /// # Errors
    /// [`Error::StoreChosen`] if the application has a store already, or has used its logs; [`Error::Log`].
    pub(crate) async fn keep_in(&self, store: Arc<dyn LogStore>) -> Result<(), Error> {
        if !self.late.as_ref().is_some_and(|late| late.choose(store)) {
            return Err(Error::StoreChosen);
        }
        self.engine.recover().await?;
        Ok(())
    }

    /// The store to be chosen, unless that is done.
    pub(crate) fn open_choice(&self) -> Option<&LateStore> {
        self.late.as_deref().filter(|late| late.is_open())
    }

    /// Whether the program itself said where its logs are kept.
    pub(crate) const fn has_own_store(&self) -> bool {
        self.late.is_none()
    }

    /// Ends as [`serve`](Self::serve) does, for a program that serves the [routes](Self::into_router) itself, or none:
    /// executions come to their end, then connections do, then the shutdown hooks of providers run.
    pub async fn shut_down(&self) {
        self.drain().await;
        self.gateway.shut_down().await;
        self.container().shutdown().await;
        self.logs().close().await;
    }

    /// The file that its options were read from.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.settled.0.source.as_ref().map(|source| source.path.as_path())
    }

    /// The port to listen on where no flag says otherwise.
    pub(crate) fn port(&self) -> u16 {
        self.settled.0.websocket.port
    }

    /// Refuses an option that has no effect in a program that accepts connections itself, now that its flags had theirs.
    ///
    /// # Errors
    /// [`Error::OptionAlone`].
    pub(crate) fn check_effects(&self) -> Result<(), Error> {
        self.settled.without_effect(self.serving(true)).into_iter().next().map_or(Ok(()), Err)
    }

    fn serving(&self, listens: bool) -> Serving {
        Serving {
            authenticates: self.gateway.authenticates(),
            encrypts: listens && self.gateway.encrypts(),
            listens,
            has_origins: self.gateway.allows_origins(),
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
