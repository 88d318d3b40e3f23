//! What stands in for providers in a test.

use crate::{Provider, provider::RawProvider};

/// Providers that stand in for others, wherever those are provided: for tests.
///
/// ```
/// use streamnest_modules::{Container, Module, Overrides, Provider};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), streamnest_modules::Error> {
/// let app = Module::new("App").provide(Provider::value("the real one"));
/// let overrides = Overrides::new().replace(Provider::value("a double"));
/// let container = Container::builder(app).overrides(overrides).build().await?;
/// assert_eq!(*container.get::<&str>()?, "a double");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct Overrides(pub(crate) Vec<RawProvider>);

impl Overrides {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// `provider` stands in for every provider that is found by one of its keys: its type, or what it is bound to, under
    /// its name if it has one.
    ///
    /// What it replaces is not made, unless somebody needs it by another key.
    pub fn replace<T: ?Sized + Send + Sync + 'static>(mut self, provider: Provider<T>) -> Self {
        self.0.push(provider.into_raw());
        self
    }
}
