//! Values of which each execution has its own.

use std::{
    fmt,
    marker::PhantomData,
    ops::Deref,
    sync::{Arc, Weak},
};

use streamnest_core::ExecutionId;

use crate::{
    Error, Key, ProviderScope,
    container::{Inner, Made},
    graph::Source,
    provider::Instance,
};

/// A way to make a `T` for an execution: a field that a provider with a longer life takes in place of `Arc<T>`.
///
/// If one `T` serves the whole application, all leases share it.
///
/// ```
/// use std::sync::Arc;
/// use streamnest_core::ExecutionId;
/// use streamnest_modules::{Container, Module, Provider, ProviderScope, Scoped};
///
/// struct Notes { of: ExecutionId }
/// struct Desk { notes: Scoped<Notes> }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app = Module::new("App")
///     .provide(
///         Provider::factory(|id: Arc<ExecutionId>| Notes { of: (*id).clone() })
///             .scope(ProviderScope::Execution),
///     )
///     .provide(Provider::factory(|notes: Scoped<Notes>| Desk { notes }));
/// let container = Container::builder(app).build().await?;
/// let lease = container.get::<Desk>()?.notes.open(&ExecutionId::new("first")?).await?;
/// assert_eq!(lease.of.as_str(), "first");
/// lease.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Scoped<T: ?Sized> {
    raw: RawScoped,
    of: PhantomData<fn() -> Arc<T>>,
}

/// Where a scoped value comes from.
#[derive(Clone)]
pub(crate) struct RawScoped {
    pub(crate) container: Weak<Inner>,
    pub(crate) source: Source,
    pub(crate) scope: ProviderScope,
}

impl<T: ?Sized + Send + Sync + 'static> Scoped<T> {
    pub(crate) const fn new(raw: RawScoped) -> Self {
        Self { raw, of: PhantomData }
    }

    /// Makes what an execution needs for its `T`, in the order in which it is needed, and runs the init hooks.
    ///
    /// # Errors
    /// [`Error::ProviderFailed`], [`Error::ProviderPanicked`], [`Error::HookFailed`], [`Error::HookTimeout`];
    /// [`Error::NotReady`] in a constructor; [`Error::Ended`] when the application has.
    ///
    /// # Cancel safety
    /// A future that is dropped drops what it has made, without the shutdown hooks.
    pub async fn open(&self, execution: &ExecutionId) -> Result<Lease<T>, Error> {
        let key = Key::of::<T>();
        let container = self.raw.container.upgrade().ok_or_else(|| Error::Ended { key: key.clone() })?;
        let made = match self.raw.scope {
            ProviderScope::Application => Made::default(),
            ProviderScope::Execution => container.open(self.raw.source.provider, execution).await?,
        };
        let value = container.value(self.raw.source, Some(&made)).and_then(|value| as_type(&value));
        match value {
            Some(value) => Ok(Lease { value, made, container }),
            None => Err(Error::NotReady { key }),
        }
    }

    /// Whether each execution has its own, or all share one.
    pub const fn scope(&self) -> ProviderScope {
        self.raw.scope
    }
}

fn as_type<T: ?Sized + Send + Sync + 'static>(value: &Instance) -> Option<Arc<T>> {
    value.downcast_ref::<Arc<T>>().cloned()
}

impl<T: ?Sized> fmt::Debug for Scoped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("scope", &self.raw.scope).finish_non_exhaustive()
    }
}

impl<T: ?Sized> Clone for Scoped<T> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), of: PhantomData }
    }
}

/// What was made for one execution.
#[must_use = "what was made is dropped without its shutdown hooks unless the lease is closed"]
pub struct Lease<T: ?Sized> {
    value: Arc<T>,
    made: Made,
    container: Arc<Inner>,
}

impl<T: ?Sized> Lease<T> {
    /// The value, to be shared. What else was made for it lives as long as it needs it.
    pub fn value(&self) -> Arc<T> {
        self.value.clone()
    }

    /// Runs the shutdown hooks of what was made for the execution, in the reverse order. What fails is logged.
    pub async fn close(self) {
        let Self { value, made, container } = self;
        drop(value);
        container.close(made).await;
    }
}

impl<T: ?Sized> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
