//! What an application is made of.

use std::{fmt, path::PathBuf, sync::Arc};

use streamnest_core::{Clock, LogStore};
use streamnest_gateway::{Gateway, GatewayOptions};
use streamnest_log::{LogOptions, MemoryStore, Registry};
use streamnest_log_disk::{DiskOptions, DiskStore};
use streamnest_modules::{
    Container, ContainerOptions, Import, IntoModule, Module, ModuleDefinition, Overrides, Provider,
};
use streamnest_runtime::{
    Engine, EngineOptions, EventStreamProcessorOptions, EventStreamProcessorService, TokenStreamingOptions,
    TokenStreamingService, Workflow, WorkflowContribution,
};

use super::{App, Living};
use crate::{Error, StreamingModule, StreamingOptions, store::LateStore, streaming::Settled};

/// Where an application begins.
#[derive(Clone, Copy, Debug)]
pub struct Streamnest;

impl Streamnest {
    /// Makes the application of a module and all that it imports, and begins it.
    ///
    /// ```
    /// use streamnest::prelude::*;
    ///
    /// #[module]
    /// struct AppModule;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), streamnest::Error> {
    /// let app = Streamnest::create::<AppModule>().await?;
    /// let error = app.start("draft", serde_json::json!({})).await.unwrap_err();
    /// assert_eq!(error.code(), "unknown_workflow");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`AppBuilder::build`].
    pub async fn create<M: ModuleDefinition>() -> Result<App, Error> {
        Self::builder().module(Import::of::<M>()).build().await
    }

    /// Begins an application that is put together piece by piece.
    pub fn builder() -> AppBuilder {
        AppBuilder::default()
    }
}

/// Collects what an application is made of: modules, workflows that are values, or both.
#[derive(Default)]
#[must_use]
pub struct AppBuilder {
    modules: Vec<Import>,
    workflows: Vec<(String, WorkflowContribution)>,
    /// What was chosen here; if nothing was, the modules may say.
    streaming: Option<StreamingOptions>,
    kept: Option<Kept>,
    overrides: Overrides,
    container: ContainerOptions,
}

/// Where the program says that its logs are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    Store,
    Directory,
}

impl AppBuilder {
    /// Adds a module, and all that it imports.
    pub fn module<Kind>(mut self, module: impl IntoModule<Kind>) -> Self {
        self.modules.push(module.into_import());
        self
    }

    /// Adds a workflow. One value serves all its executions.
    pub fn workflow<W: Workflow>(mut self, workflow: W) -> Self {
        let name = format!("workflow `{}`", std::any::type_name::<W>());
        self.workflows.push((name, WorkflowContribution::shared(Arc::new(workflow))));
        self
    }

    /// Lets `provider` stand in for every provider of the same keys, as [`Overrides::replace`] tells: for tests.
    pub fn replace<T: ?Sized + Send + Sync + 'static>(mut self, provider: Provider<T>) -> Self {
        self.overrides = self.overrides.replace(provider);
        self
    }

    /// Takes other options. They must not stand in a module too.
    pub fn options(mut self, options: StreamingOptions) -> Self {
        self.streaming = Some(options);
        self
    }

    /// Takes other bounds for running workflows.
    pub fn engine_options(mut self, options: EngineOptions) -> Self {
        self.streaming.get_or_insert_default().engine = options;
        self
    }

    /// Takes other bounds for the data directory.
    pub fn disk_options(mut self, options: DiskOptions) -> Self {
        self.streaming.get_or_insert_default().disk = options;
        self
    }

    /// Takes other bounds for the logs.
    pub fn log_options(mut self, options: LogOptions) -> Self {
        self.streaming.get_or_insert_default().logs = options;
        self
    }

    /// Takes other bounds for connections.
    pub fn gateway_options(mut self, options: GatewayOptions) -> Self {
        self.streaming.get_or_insert_default().gateway = options;
        self
    }

    /// Takes other bounds for token streams that are no workflow's.
    pub fn token_streaming_options(mut self, options: TokenStreamingOptions) -> Self {
        self.streaming.get_or_insert_default().token_streams = options;
        self
    }

    /// Takes other bounds for the processing of events.
    pub fn event_processing_options(mut self, options: EventStreamProcessorOptions) -> Self {
        self.streaming.get_or_insert_default().event_processing = options;
        self
    }

    /// Takes other bounds for the hooks of providers.
    pub fn container_options(mut self, options: ContainerOptions) -> Self {
        self.container = options;
        self
    }

    /// Keeps the logs in `store`, whatever the flags say. Default is what the flags say to a program that calls
    /// [`App::listen`], a data directory; and memory to any other, with a warning.
    pub fn store(self, store: Arc<dyn LogStore>) -> Self {
        self.kept(Kept::Store, Provider::shared(store))
    }

    /// Keeps the logs in the data directory `path`, by [`StreamingOptions::disk`], whatever the flags say: for a program that
    /// serves the routes itself, or none. It is opened, and what an earlier process left is taken up, when this is built.
    ///
    /// ```
    /// use streamnest::Streamnest;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let app = Streamnest::builder().data_dir(path).build().await?;
    /// assert!(app.logs().is_persistent());
    /// # Ok(())
    /// # }
    /// ```
    pub fn data_dir(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let open = move |options: Arc<Settled>, clock: Arc<dyn Clock>| match options.0.data_dir {
            Some(_) => Err(Error::OptionTwice { option: "data_dir", beneath: "AppBuilder::data_dir" }),
            None => Ok(DiskStore::open(&path, clock, options.0.disk.clone())?),
        };
        let store = Provider::try_factory(open).bind::<dyn LogStore>(|store| store);
        self.kept(Kept::Directory, store)
    }

    /// Keeps the logs in memory, whatever the flags say: nothing survives the program.
    pub fn in_memory(self) -> Self {
        let store = Provider::factory(|clock: Arc<dyn Clock>| MemoryStore::new(clock));
        self.kept(Kept::Store, store.bind::<dyn LogStore>(|store| store))
    }

    fn kept<T: ?Sized + Send + Sync + 'static>(mut self, kept: Kept, store: Provider<T>) -> Self {
        self.kept = Some(kept);
        self.replace(store)
    }

    /// Takes the time from `clock`. Default the [`SystemClock`](streamnest_log::SystemClock).
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.replace(Provider::shared(clock))
    }

    /// Checks everything, puts it together, and runs the init hooks. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Everything that is wrong with the modules, or the first thing that is wrong with a workflow or an option, that
    /// cannot be made or does not begin.
    pub async fn build(self) -> Result<App, Error> {
        let Self { modules, workflows, streaming, kept, overrides, container } = self;
        let container = Container::builder(root(modules, workflows)).overrides(overrides).options(container);
        let container = match streaming {
            Some(options) => container.also(StreamingModule::for_root(options)),
            None => container.also(StreamingModule),
        };
        let container = container.make().await?;
        let settled = container.get::<Settled>()?;
        let engine = Arc::unwrap_or_clone(container.get::<Engine>()?);
        let workflows = container.collected::<WorkflowContribution>();
        engine.adopt(workflows.iter().map(|workflow| &**workflow))?;
        let store = container.get::<dyn LogStore>()?;
        let late = container.get::<LateStore>().ok();
        let late = late.filter(|late| std::ptr::addr_eq(Arc::as_ptr(late), Arc::as_ptr(&store)));
        if late.is_none() {
            check_kept(kept, &settled.0)?;
            engine.recover().await?;
        }
        let app = App {
            late,
            tokens: Arc::unwrap_or_clone(container.get::<TokenStreamingService>()?),
            events: Arc::unwrap_or_clone(container.get::<EventStreamProcessorService>()?),
            gateway: Arc::unwrap_or_clone(container.get::<Gateway>()?),
            settled: settled.clone(),
            living: Arc::new(Living::new(
                container.clone(),
                Arc::unwrap_or_clone(container.get::<Registry>()?),
            )),
            engine,
        };
        if let Err(error) = container.init().await {
            container.shutdown().await;
            return Err(error.into());
        }
        Ok(app)
    }
}

/// Refuses options of a data directory where the program itself says where its logs are kept.
fn check_kept(kept: Option<Kept>, options: &StreamingOptions) -> Result<(), Error> {
    let reason = "the program keeps its logs in a store of its own";
    match kept {
        Some(Kept::Directory) => Ok(()),
        _ if options.data_dir.is_some() => Err(Error::OptionUnused { option: "data_dir", reason }),
        _ if options.disk != DiskOptions::default() => Err(Error::OptionUnused { option: "disk", reason }),
        _ => Ok(()),
    }
}

/// The module itself if there is nothing else, so that messages name what the user wrote.
fn root(mut modules: Vec<Import>, workflows: Vec<(String, WorkflowContribution)>) -> Import {
    if modules.len() == 1
        && workflows.is_empty()
        && let Some(module) = modules.pop()
    {
        return module;
    }
    let app = modules.into_iter().fold(Module::new("App"), Module::import);
    let app = workflows
        .into_iter()
        .fold(app, |app, (name, workflow)| app.contribute(name, Provider::value(workflow)));
    app.into_import()
}

impl fmt::Debug for AppBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppBuilder")
            .field("modules", &self.modules)
            .field("streaming", &self.streaming)
            .field("kept", &self.kept)
            .field("container", &self.container)
            .finish_non_exhaustive()
    }
}
