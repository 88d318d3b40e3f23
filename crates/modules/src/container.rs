//! What was made of the modules of a program.

mod make;

use std::{
    any::TypeId,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use streamnest_core::ExecutionId;

pub(crate) use self::make::Made;
use crate::{
    Error, IntoModule, Key, Overrides, ProviderScope,
    graph::{Graph, Source},
    module::collect,
    provider::Instance,
};

/// The bounds of a [`Container`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ContainerOptions {
    /// The longest that one init or shutdown hook may take. Default 30 s: a database answers within that or not at all,
    /// and whoever stops a server waits no longer.
    pub hook_timeout: Duration,
}

impl Default for ContainerOptions {
    fn default() -> Self {
        Self { hook_timeout: Duration::from_secs(30) }
    }
}

impl ContainerOptions {
    /// Sets [`hook_timeout`](Self::hook_timeout).
    #[must_use]
    pub const fn with_hook_timeout(mut self, hook_timeout: Duration) -> Self {
        self.hook_timeout = hook_timeout;
        self
    }
}

/// Collects what a [`Container`] is made of.
#[derive(Debug)]
#[must_use]
pub struct ContainerBuilder {
    root: crate::Import,
    also: Vec<crate::Import>,
    overrides: Overrides,
    options: ContainerOptions,
}

impl ContainerBuilder {
    /// Takes a module that nobody needs to import, most often a global one. One without options is that which a module
    /// of the program imports with options, if there is such.
    pub fn also<Kind>(mut self, module: impl IntoModule<Kind>) -> Self {
        self.also.push(module.into_import());
        self
    }

    /// Lets providers stand in for others.
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Takes other bounds.
    pub fn options(mut self, options: ContainerOptions) -> Self {
        self.options = options;
        self
    }

    /// Checks the modules, makes every value that lives as long as the application, and runs the init hooks.
    ///
    /// # Errors
    /// Everything that is wrong with the modules, together; else the first thing that fails. Then the shutdown hooks of
    /// what has begun have run.
    pub async fn build(self) -> Result<Container, Error> {
        let container = self.make().await?;
        match container.init().await {
            Ok(()) => Ok(container),
            Err(error) => {
                container.shutdown().await;
                Err(error)
            }
        }
    }

    /// Checks the modules and makes every value that lives as long as the application.
    ///
    /// # Errors
    /// Everything that is wrong with the modules, together; else the first value that cannot be made.
    pub async fn make(self) -> Result<Container, Error> {
        let began = Instant::now();
        let graph = Graph::new(self.root, self.also, self.overrides)?;
        let (modules, providers) = (graph.modules.len(), graph.order.len());
        let slots = graph.providers.iter().map(|_| OnceLock::new()).collect();
        let begun = graph.providers.iter().map(|_| AtomicBool::new(false)).collect();
        let inner = Arc::new(Inner { graph, slots, begun, options: self.options });
        inner.make().await?;
        tracing::info!(modules, providers, elapsed = ?began.elapsed(), "modules made");
        Ok(Container(inner))
    }
}

/// What was made of the modules of a program. A cheap handle.
#[derive(Clone)]
pub struct Container(Arc<Inner>);

pub(crate) struct Inner {
    graph: Graph,
    /// The values that live as long as the application.
    slots: Vec<OnceLock<Instance>>,
    /// Whose init hook has run, or that have none: whose shutdown hook is owed.
    begun: Vec<AtomicBool>,
    options: ContainerOptions,
}

impl Container {
    /// Begins a container of `root` and all that it imports.
    pub fn builder<Kind>(root: impl IntoModule<Kind>) -> ContainerBuilder {
        ContainerBuilder {
            root: root.into_import(),
            also: Vec::new(),
            overrides: Overrides::new(),
            options: ContainerOptions::default(),
        }
    }

    /// Runs the init hooks, each after those of what it needs. Those that have run do not run again.
    ///
    /// # Errors
    /// [`Error::HookFailed`], [`Error::HookTimeout`], [`Error::ProviderPanicked`].
    pub async fn init(&self) -> Result<(), Error> {
        self.0.init().await
    }

    /// Runs the shutdown hooks, each before those of what it needs; only of what has begun, and once. What fails or takes
    /// too long is logged.
    pub async fn shutdown(&self) {
        self.0.shutdown().await;
    }

    /// What the program itself gets when it asks for a `T`: what the root module sees, or else what any module provides.
    ///
    /// # Errors
    /// [`Error::NotProvided`], [`Error::PerExecution`].
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>, Error> {
        self.find(&Key::of::<T>())
    }

    /// What the program itself gets when it asks for the `T` of that name.
    ///
    /// # Errors
    /// [`Error::NotProvided`], [`Error::PerExecution`].
    pub fn get_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> Result<Arc<T>, Error> {
        self.find(&Key::of::<T>().named(name))
    }

    fn find<T: ?Sized + Send + Sync + 'static>(&self, key: &Key) -> Result<Arc<T>, Error> {
        let source = self.0.graph.find(key)?;
        let scope = self.0.graph.providers.get(source.provider).map(|provider| provider.raw.scope);
        if scope == Some(ProviderScope::Execution) {
            return Err(Error::PerExecution { key: key.clone() });
        }
        let value = self.0.value(source, None);
        let value = value.and_then(|value| value.downcast_ref::<Arc<T>>().cloned());
        value.ok_or_else(|| Error::NotReady { key: key.clone() })
    }

    /// The `T`s that the modules contribute, in the order of the modules.
    pub fn collected<T: Send + Sync + 'static>(&self) -> Vec<Arc<T>> {
        let of = Some(TypeId::of::<T>());
        let graph = &self.0.graph;
        let found = graph
            .order
            .iter()
            .filter(|index| graph.providers.get(**index).is_some_and(|provider| provider.collected == of));
        found.filter_map(|index| self.0.slots.get(*index)?.get()).filter_map(collect).collect()
    }
}

impl Inner {
    /// The value of a source: of the application, or among what was made for an execution.
    pub(crate) fn value(&self, source: Source, made: Option<&Made>) -> Option<Instance> {
        let own = made.and_then(|made| made.get(source.provider));
        let instance = own.or_else(|| self.slots.get(source.provider)?.get())?;
        self.graph.providers.get(source.provider)?.raw.bindings.get(source.binding)?.cast(instance)
    }

    async fn init(self: &Arc<Self>) -> Result<(), Error> {
        for index in &self.graph.order {
            let (Some(slot), Some(begun)) = (self.slots.get(*index), self.begun.get(*index)) else {
                continue;
            };
            let Some(instance) = slot.get() else { continue };
            if !begun.load(Ordering::Acquire) {
                self.begin(*index, instance).await?;
                begun.store(true, Ordering::Release);
            }
        }
        Ok(())
    }

    async fn shutdown(self: &Arc<Self>) {
        for index in self.graph.order.iter().rev() {
            let (Some(slot), Some(begun)) = (self.slots.get(*index), self.begun.get(*index)) else {
                continue;
            };
            if let (true, Some(instance)) = (begun.swap(false, Ordering::AcqRel), slot.get()) {
                self.end(*index, instance).await;
            }
        }
    }

    /// Makes what `execution` needs for the provider at `index`, and runs the init hooks.
    pub(crate) async fn open(self: &Arc<Self>, index: usize, execution: &ExecutionId) -> Result<Made, Error> {
        let mut made = Made::new(execution);
        for index in self.graph.plan(index) {
            let begun = match self.make_one(index, Some(&made)).await {
                Ok(instance) => self.begin(index, &instance).await.map(|()| instance),
                Err(error) => Err(error),
            };
            match begun {
                Ok(instance) => made.push(index, instance),
                Err(error) => {
                    self.close(made).await;
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// Ends what was made for an execution.
    pub(crate) async fn close(self: &Arc<Self>, made: Made) {
        for (index, instance) in made.into_reverse() {
            self.end(index, &instance).await;
        }
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modules: Vec<_> = self.0.graph.modules.iter().map(|module| &module.name).collect();
        f.debug_struct("Container").field("modules", &modules).finish_non_exhaustive()
    }
}
