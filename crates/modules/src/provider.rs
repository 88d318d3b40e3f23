//! How a value is made, by what it is found, and how long it lives.

use std::{any::Any, fmt, future::Future, marker::PhantomData, sync::Arc};

use futures_util::FutureExt as _;
use streamnest_core::BoxFuture;

use crate::{AsyncFactory, BoxError, Dependency, Error, Factory, Given, HookOutcome, Key, Need};

/// How long a value lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum ProviderScope {
    /// As long as the application: one value for all.
    #[default]
    Application,
    /// As long as an execution: one value for each, made when it starts and shut down when it has ended.
    Execution,
}

impl ProviderScope {
    /// The name in attributes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Execution => "execution",
        }
    }
}

/// A shared value of any type: an `Arc<T>` in an `Arc<dyn Any>`, since a trait object is none of its own.
pub(crate) type Instance = Arc<dyn Any + Send + Sync>;
type Make = Arc<dyn Fn(Given) -> BoxFuture<'static, Result<Instance, BoxError>> + Send + Sync>;
type Hook = Arc<dyn Fn(&Instance) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;
type Cast = Arc<dyn Fn(&Instance) -> Option<Instance> + Send + Sync>;

/// Makes a `T` of what it needs.
///
/// Most come from an [`Injectable`](crate::Injectable), a [`value`](Self::value), or a [`factory`](Self::factory) whose
/// parameters are what it needs.
///
/// ```
/// use std::sync::Arc;
/// use streamnest_modules::Provider;
///
/// struct Settings { url: String }
/// struct Pool { url: String }
///
/// impl Pool {
///     async fn close(&self) {}
/// }
///
/// let settings = Provider::value(Settings { url: "local".into() });
/// let pool = Provider::async_factory(|settings: Arc<Settings>| async move {
///     Ok::<_, std::io::Error>(Pool { url: settings.url.clone() })
/// })
/// .on_shutdown(|pool| async move { pool.close().await });
/// # let _ = (settings, pool);
/// ```
#[must_use]
pub struct Provider<T: ?Sized> {
    raw: RawProvider,
    of: PhantomData<fn() -> Arc<T>>,
}

/// A provider of any type.
#[derive(Clone)]
pub(crate) struct RawProvider {
    /// By what it is found: first its own type, then what it was bound to.
    pub(crate) bindings: Vec<Binding>,
    pub(crate) scope: ProviderScope,
    pub(crate) needs: Vec<Need>,
    pub(crate) is_value: bool,
    make: Make,
    pub(crate) init: Option<Hook>,
    pub(crate) shutdown: Option<Hook>,
}

/// One key of a provider.
#[derive(Clone)]
pub(crate) struct Binding {
    pub(crate) key: Key,
    cast: Option<Cast>,
}

impl Binding {
    /// The value as this key's type.
    pub(crate) fn cast(&self, instance: &Instance) -> Option<Instance> {
        match &self.cast {
            Some(cast) => cast(instance),
            None => Some(instance.clone()),
        }
    }
}

impl RawProvider {
    /// The key of its own type.
    pub(crate) fn key(&self) -> &Key {
        &self.bindings.first().expect("a provider is made with the key of its own type").key
    }

    pub(crate) fn make(&self, given: Given) -> BoxFuture<'static, Result<Instance, BoxError>> {
        (self.make)(given)
    }
}

impl<T: Send + Sync + 'static> Provider<T> {
    /// A `T` that is made by `make` of the fields that are then declared by [`needs`](Self::needs).
    pub fn new(make: impl Fn(&Given) -> Result<T, Error> + Send + Sync + 'static) -> Self {
        let made = move |given: Given| {
            let made = make(&given).map(shared).map_err(BoxError::from);
            std::future::ready(made).boxed()
        };
        Self::raw(Vec::new(), Arc::new(made))
    }

    /// A `T` that is there already.
    pub fn value(value: T) -> Self {
        Self::shared(Arc::new(value))
    }

    /// A `T` that a function makes; its parameters are what it needs.
    pub fn factory<Arguments>(factory: impl Factory<Arguments, T>) -> Self {
        Self::by(factory, |made| Ok(made))
    }

    /// A `T` that a function makes, or fails to.
    pub fn try_factory<Arguments, E: Into<BoxError>>(factory: impl Factory<Arguments, Result<T, E>>) -> Self {
        Self::by(factory, |made| made.map_err(Into::into))
    }

    /// A `T` that an async function makes, or fails to.
    pub fn async_factory<Arguments, F, E>(factory: F) -> Self
    where
        F: AsyncFactory<Arguments, T, E>,
        E: Into<BoxError>,
    {
        let factory = Arc::new(factory);
        let make = move |given: Given| match factory.clone().call(&given) {
            Ok(making) => async move { making.await.map(shared).map_err(Into::into) }.boxed(),
            Err(error) => std::future::ready(Err(BoxError::from(error))).boxed(),
        };
        Self::raw(F::needs(), Arc::new(make))
    }

    fn by<F, Arguments, Made>(
        factory: F,
        finish: impl Fn(Made) -> Result<T, BoxError> + Send + Sync + 'static,
    ) -> Self
    where
        F: Factory<Arguments, Made>,
    {
        let make = move |given: Given| {
            let made = factory.call(&given).map_err(BoxError::from).and_then(&finish).map(shared);
            std::future::ready(made).boxed()
        };
        Self::raw(F::needs(), Arc::new(make))
    }
}

impl<T: ?Sized + Send + Sync + 'static> Provider<T> {
    /// A `T`, or a `dyn Trait`, that is there already and shared with others.
    pub fn shared(value: Arc<T>) -> Self {
        let instance: Instance = Arc::new(value);
        let mut provider =
            Self::raw(Vec::new(), Arc::new(move |_| std::future::ready(Ok(instance.clone())).boxed()));
        provider.raw.is_value = true;
        provider
    }

    fn raw(needs: Vec<Need>, make: Make) -> Self {
        let raw = RawProvider {
            bindings: vec![Binding { key: Key::of::<T>(), cast: None }],
            scope: ProviderScope::Application,
            needs,
            is_value: false,
            make,
            init: None,
            shutdown: None,
        };
        Self { raw, of: PhantomData }
    }

    /// Declares a field that [`new`](Self::new)'s function takes.
    pub fn needs<D: Dependency>(mut self, field: &'static str) -> Self {
        self.raw.needs.push(Need::of::<D>(field));
        self
    }

    /// Declares a field that takes the provider of that name.
    pub fn needs_named<D: Dependency>(mut self, field: &'static str, name: &str) -> Self {
        self.raw.needs.push(Need::of::<D>(field).named(name));
        self
    }

    /// Is also found as `U`, most often a `dyn Trait`: `bind::<dyn ChatModel>(|model| model)`. It stays one value.
    pub fn bind<U: ?Sized + Send + Sync + 'static>(
        mut self,
        cast: impl Fn(Arc<T>) -> Arc<U> + Send + Sync + 'static,
    ) -> Self {
        let cast = move |instance: &Instance| {
            let value = instance.downcast_ref::<Arc<T>>()?.clone();
            Some(Arc::new(cast(value)) as Instance)
        };
        let key = Key::of::<U>().with_name(self.name());
        self.raw.bindings.push(Binding { key, cast: Some(Arc::new(cast)) });
        self
    }

    /// Is found under `name` only, so that there may be several of its type.
    pub fn named(mut self, name: &str) -> Self {
        for binding in &mut self.raw.bindings {
            binding.key = binding.key.clone().named(name);
        }
        self
    }

    /// Lives so long. Default as long as the application.
    pub fn scope(mut self, scope: ProviderScope) -> Self {
        self.raw.scope = scope;
        self
    }

    /// Runs when everything has been made and what this needs has begun. If it fails, the application does not start.
    pub fn on_init<Fut, Outcome>(mut self, hook: impl Fn(Arc<T>) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Outcome> + Send + 'static,
        Outcome: HookOutcome,
    {
        self.raw.init = Some(erase(hook));
        self
    }

    /// Runs at the end, before what this needs ends. If it fails, that is logged.
    pub fn on_shutdown<Fut, Outcome>(mut self, hook: impl Fn(Arc<T>) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Outcome> + Send + 'static,
        Outcome: HookOutcome,
    {
        self.raw.shutdown = Some(erase(hook));
        self
    }

    fn name(&self) -> Option<Arc<str>> {
        self.raw.key().name().map(Into::into)
    }

    pub(crate) fn into_raw(self) -> RawProvider {
        self.raw
    }
}

fn shared<T: Send + Sync + 'static>(value: T) -> Instance {
    Arc::new(Arc::new(value))
}

fn erase<T, Fut, Outcome>(hook: impl Fn(Arc<T>) -> Fut + Send + Sync + 'static) -> Hook
where
    T: ?Sized + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
    Outcome: HookOutcome,
{
    Arc::new(move |instance| {
        let value = instance.downcast_ref::<Arc<T>>().expect("a provider's hook gets what the provider made");
        hook(value.clone()).map(HookOutcome::into_result).boxed()
    })
}

impl<T: ?Sized> fmt::Debug for Provider<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.raw, f)
    }
}

impl fmt::Debug for RawProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.bindings.iter().map(|binding| &binding.key).collect();
        f.debug_struct("Provider")
            .field("keys", &keys)
            .field("scope", &self.scope)
            .field("needs", &self.needs)
            .field("is_value", &self.is_value)
            .field("init", &self.init.is_some())
            .field("shutdown", &self.shutdown.is_some())
            .finish()
    }
}
