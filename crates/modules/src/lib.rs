//! Modules and providers: what a program is made of, who may use what, and in which order it begins and ends.
//!
//! A [`Provider`] makes a value, once for the application or once for each execution, of what other providers made. A
//! [`Module`] is a list of providers, of the modules it imports, and of what it exports to those that import it. The
//! [`Container`] checks the whole graph before it makes anything, makes everything in the order in which it is needed,
//! and ends it in the reverse order.
//!
//! ```
//! use std::sync::Arc;
//! use streamnest_modules::{Container, Module, Provider};
//!
//! trait Greeting: Send + Sync {
//!     fn text(&self) -> String;
//! }
//!
//! struct English;
//!
//! impl Greeting for English {
//!     fn text(&self) -> String {
//!         "Hello".into()
//!     }
//! }
//!
//! struct Greeter {
//!     greeting: Arc<dyn Greeting>,
//! }
//!
//! fn greetings() -> Module {
//!     Module::new("Greetings")
//!         .provide(Provider::value(English).bind::<dyn Greeting>(|english| english))
//!         .export::<dyn Greeting>()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), streamnest_modules::Error> {
//! let app = Module::new("App")
//!     .import(greetings)
//!     .provide(Provider::factory(|greeting: Arc<dyn Greeting>| Greeter { greeting }));
//! let container = Container::builder(app).build().await?;
//! assert_eq!(container.get::<Greeter>()?.greeting.text(), "Hello");
//! container.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Who sees what
//! A provider sees what its own module provides, what the modules export that its module imports, and what global
//! modules export. Of its own and an imported one with the same key it gets its own. A module may export what it
//! provides, what it sees by an import, and all that a module exports which it imports.
//!
//! # Order
//! Modules come after those they import, providers in the order in which they stand in their module, but after what they
//! need. When all values are made, the init hooks run in that order; the shutdown hooks run in the reverse order.

mod container;
mod dependency;
mod error;
mod factory;
mod given;
mod graph;
mod hook;
mod injectable;
mod key;
mod module;
mod overrides;
mod provider;
mod scoped;
mod suggest;

pub use container::{Container, ContainerBuilder, ContainerOptions};
pub use dependency::{Dependency, Need, NeedKind};
pub use error::{Asker, BoxError, Error};
pub use factory::{AsyncFactory, Factory};
pub use given::Given;
pub use hook::HookOutcome;
pub use injectable::Injectable;
pub use key::Key;
pub use module::{Import, IntoModule, Module, ModuleDefinition};
pub use overrides::Overrides;
pub use provider::{Provider, ProviderScope};
pub use scoped::{Lease, Scoped};
