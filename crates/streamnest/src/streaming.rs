//! The module that streams.

mod file;
mod needs;
mod options;
mod source;
mod tokens;

use std::sync::Arc;

use streamnest_core::{Clock, ExecutionControl, LogStore};
use streamnest_gateway::{Gateway, StreamingWebSocketGateway, WebSocketBridgeService};
use streamnest_log::{Registry, SystemClock};
use streamnest_modules::{AsyncFactory, BoxError, Module, ModuleDefinition, Provider};
use streamnest_runtime::{Engine, EventStreamProcessorService, FeatureOptions, TokenStreamingService};

pub(crate) use self::{needs::Serving, source::named};
pub use self::{
    options::{CorsOptions, HeartbeatOptions, StreamingOptions, WebSocketOptions},
    source::OptionName,
    tokens::AuthOptions,
};
use crate::{Error, ServerFlags, store::LateStore};

/// The module that streams: the logs, the engine, the gateway, and the services to both.
///
/// Every program has it; one that imports it says how. One that does not takes the file that its flag `--config` names. It is global: any provider may ask for
///
/// | what | to |
/// |---|---|
/// | [`TokenStreamingService`] | stream tokens into executions, also without a workflow |
/// | [`EventStreamProcessorService`] | filter, group, batch and replay what executions say |
/// | [`StreamingWebSocketGateway`] | send to clients |
/// | [`WebSocketBridgeService`] | let streams of the program flow to its clients |
/// | `dyn ExecutionControl`, [`Engine`] | start, follow and stop executions |
/// | [`Registry`], `dyn LogStore` | read logs |
/// | `dyn Clock` | ask for the time |
///
/// ```
/// use streamnest::{StreamingModule, StreamingOptions, prelude::*};
///
/// #[module(imports(StreamingModule::for_root(StreamingOptions::default().with_default_buffer_size(20))))]
/// struct AppModule;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), streamnest::Error> {
/// let app = Streamnest::create::<AppModule>().await?;
/// # drop(app);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StreamingModule;

impl StreamingModule {
    /// With options.
    pub fn for_root(options: StreamingOptions) -> Module {
        Self::with(Provider::value(options))
    }

    /// With options that an async function makes of what the module sees: chain
    /// [`import`](Module::import) for where that comes from.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streamnest::{StreamingModule, StreamingOptions, prelude::*};
    ///
    /// struct Settings {
    ///     buffer_size: usize,
    /// }
    ///
    /// #[module(providers(value(Settings { buffer_size: 20 })), exports(Settings))]
    /// struct SettingsModule;
    ///
    /// fn streaming() -> Module {
    ///     StreamingModule::for_root_async(|settings: Arc<Settings>| async move {
    ///         Ok::<_, streamnest::Error>(StreamingOptions::default().with_default_buffer_size(settings.buffer_size))
    ///     })
    ///     .import(SettingsModule)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), streamnest::Error> {
    /// # drop(Streamnest::builder().module(streaming()).build().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn for_root_async<Arguments, E: Into<BoxError>>(
        factory: impl AsyncFactory<Arguments, StreamingOptions, E>,
    ) -> Module {
        Self::with(Provider::async_factory(factory))
    }

    /// Options for the workflows of the module that imports this, and of no other.
    pub fn for_feature(options: FeatureOptions) -> Module {
        Module::new("StreamingFeature").provide(Provider::value(options)).export::<FeatureOptions>()
    }

    fn with(options: Provider<StreamingOptions>) -> Module {
        Module::of::<Self>()
            .provide(options)
            .provide(Provider::try_factory(Settled::new))
            .provide(Provider::factory(|| SystemClock).bind::<dyn Clock>(|clock| clock))
            .provide(Provider::try_factory(late_store).bind::<dyn LogStore>(|store| store))
            .provide(Provider::try_factory(logs))
            .provide(Provider::try_factory(engine).bind::<dyn ExecutionControl>(|engine| engine))
            .provide(Provider::try_factory(tokens))
            .provide(Provider::try_factory(events))
            .provide(Provider::try_factory(gateway))
            .provide(Provider::factory(|gateway: Arc<Gateway>| gateway.sockets()))
            .provide(Provider::factory(|gateway: Arc<Gateway>| gateway.bridge()))
            .export::<dyn Clock>()
            .export::<dyn LogStore>()
            .export::<Registry>()
            .export::<Engine>()
            .export::<dyn ExecutionControl>()
            .export::<TokenStreamingService>()
            .export::<EventStreamProcessorService>()
            .export::<Gateway>()
            .export::<StreamingWebSocketGateway>()
            .export::<WebSocketBridgeService>()
            .global()
    }
}

impl ModuleDefinition for StreamingModule {
    /// With the options of the file that `--config` or the variable `STREAMNEST_CONFIG` names, or else with defaults.
    fn module() -> Module {
        Self::with(Provider::try_factory(ServerFlags::options_of_file))
    }
}

/// The options where they have their effect.
#[derive(Debug)]
pub(crate) struct Settled(pub(crate) StreamingOptions);

impl Settled {
    fn new(options: Arc<StreamingOptions>) -> Result<Self, Error> {
        let settled = (*options).clone().settle().map_err(|error| refuse(&options, error))?;
        match needs::without_effect(&settled, None).into_iter().next() {
            Some(error) => Err(error),
            None => Ok(Self(settled)),
        }
    }

    /// What a part refuses, by the name and place of the option where it was given.
    pub(crate) fn refuse(&self, error: impl Into<Error>) -> Error {
        refuse(&self.0, error.into())
    }

    /// Those options that have no effect in a program that serves so.
    pub(crate) fn without_effect(&self, serving: Serving) -> Vec<Error> {
        needs::without_effect(&self.0, Some(serving))
    }
}

fn refuse(options: &StreamingOptions, error: Error) -> Error {
    let keys = options.authentication.as_ref().map(AuthOptions::keys).unwrap_or_default();
    named(error, &keys, |key| options.source.as_ref()?.name(key))
}

fn late_store(options: Arc<Settled>, clock: Arc<dyn Clock>) -> Result<LateStore, Error> {
    options.0.disk.validate().map_err(|error| options.refuse(error))?;
    Ok(LateStore::new(clock, options.0.disk.clone(), options.0.data_dir.clone()))
}

fn logs(options: Arc<Settled>, clock: Arc<dyn Clock>, store: Arc<dyn LogStore>) -> Result<Registry, Error> {
    options.0.logs.validate().map_err(|error| options.refuse(error))?;
    Ok(Registry::new(store, clock, options.0.logs.clone()))
}

/// The engine, which gets its workflows when all they are made of is there: that may be this engine, too.
fn engine(options: Arc<Settled>, logs: Arc<Registry>) -> Result<Engine, Error> {
    let engine = Engine::builder((*logs).clone()).options(options.0.engine.clone()).open();
    engine.map_err(|error| options.refuse(error))
}

fn tokens(options: Arc<Settled>, engine: Arc<Engine>) -> Result<TokenStreamingService, Error> {
    let service = TokenStreamingService::new((*engine).clone(), options.0.token_streams.clone());
    service.map_err(|error| options.refuse(error))
}

fn events(options: Arc<Settled>, logs: Arc<Registry>) -> Result<EventStreamProcessorService, Error> {
    let service = EventStreamProcessorService::new((*logs).clone(), options.0.event_processing.clone());
    service.map_err(|error| options.refuse(error))
}

fn gateway(
    options: Arc<Settled>,
    engine: Arc<dyn ExecutionControl>,
    logs: Arc<Registry>,
) -> Result<Gateway, Error> {
    let gateway = Gateway::new(engine, (*logs).clone(), options.0.gateway.clone());
    gateway.map_err(|error| options.refuse(error))
}
