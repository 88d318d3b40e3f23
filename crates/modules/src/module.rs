//! What a program is made of, in parts.

use std::{
    any::{TypeId, type_name},
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    Key, Provider,
    key::short,
    provider::{Instance, RawProvider},
};

/// A part of a program: what it provides, what it imports, and what it exports to those that import it.
///
/// `#[module]` writes one for a struct. A function that returns one is a module too, and so is a value: that is how a
/// module takes options.
///
/// ```
/// use streamnest_modules::{Module, Provider};
///
/// pub struct Cache { entries: usize }
///
/// pub struct CacheModule;
///
/// impl CacheModule {
///     /// The cache, with room for so many entries.
///     pub fn for_root(entries: usize) -> Module {
///         Module::of::<Self>().provide(Provider::value(Cache { entries })).export::<Cache>()
///     }
/// }
/// # let _ = CacheModule::for_root(3);
/// ```
#[must_use]
pub struct Module {
    pub(crate) id: ModuleId,
    pub(crate) name: String,
    pub(crate) imports: Vec<Import>,
    pub(crate) providers: Vec<RawProvider>,
    pub(crate) contributions: Vec<Contribution>,
    pub(crate) exports: Vec<Export>,
    pub(crate) global: bool,
}

/// By what two imports are known to be of one module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ModuleId {
    /// There is one module of that type, or of that function.
    Type(TypeId),
    /// Each value is a module of its own.
    Value(u64),
}

/// What a module exports.
#[derive(Clone, Debug)]
pub(crate) enum Export {
    /// A provider, or the module that is defined by the type of that key.
    Key(Key),
    /// All that an imported module exports.
    Module(ModuleId, String),
}

/// What a module gives to whoever puts the program together.
#[derive(Clone)]
pub(crate) struct Contribution {
    /// The type that it is collected by.
    pub(crate) of: TypeId,
    /// How messages call it: ``workflow `ContentWriter` ``.
    pub(crate) what: String,
    pub(crate) provider: RawProvider,
}

impl Module {
    /// A module called `name` that is no other than this value.
    pub fn new(name: impl Into<String>) -> Self {
        static VALUES: AtomicU64 = AtomicU64::new(0);
        Self::with_id(ModuleId::Value(VALUES.fetch_add(1, Ordering::Relaxed)), name.into())
    }

    /// The module of type `T`, called after it. There is one of a type in a program.
    pub fn of<T: ?Sized + 'static>() -> Self {
        Self::with_id(ModuleId::Type(TypeId::of::<T>()), short(type_name::<T>()))
    }

    const fn with_id(id: ModuleId, name: String) -> Self {
        Self {
            id,
            name,
            imports: Vec::new(),
            providers: Vec::new(),
            contributions: Vec::new(),
            exports: Vec::new(),
            global: false,
        }
    }

    /// Sees what `module` exports: the type of a `#[module]`, a function, or a value.
    pub fn import<Kind>(mut self, module: impl IntoModule<Kind>) -> Self {
        self.imports.push(module.into_import());
        self
    }

    /// Provides a value.
    pub fn provide<T: ?Sized + Send + Sync + 'static>(mut self, provider: Provider<T>) -> Self {
        self.providers.push(provider.into_raw());
        self
    }

    /// Lets those that import it use its provider of `T`, or one that it imports.
    ///
    /// If `T` is the type of a module that it imports, all that that one exports.
    pub fn export<T: ?Sized + 'static>(mut self) -> Self {
        self.exports.push(Export::Key(Key::of::<T>()));
        self
    }

    /// Lets those that import it use its provider of `T` of that name.
    pub fn export_named<T: ?Sized + 'static>(mut self, name: &str) -> Self {
        self.exports.push(Export::Key(Key::of::<T>().named(name)));
        self
    }

    /// Lets those that import it use all that `module` exports, which it must import itself.
    pub fn export_module<Kind>(mut self, module: impl IntoModule<Kind>) -> Self {
        let Import { id, name, .. } = module.into_import();
        self.exports.push(Export::Module(id, name));
        self
    }

    /// Gives all modules of the program what it exports, whether or not they import it. It must still be imported by
    /// one of them.
    pub const fn global(mut self) -> Self {
        self.global = true;
        self
    }

    /// Gives a `T` to whoever puts the program together, who gets those of all modules by
    /// [`Container::collected`](crate::Container::collected). `what` is how messages call it.
    pub fn contribute<T: Send + Sync + 'static>(
        mut self,
        what: impl Into<String>,
        provider: Provider<T>,
    ) -> Self {
        let provider = provider.into_raw();
        self.contributions.push(Contribution { of: TypeId::of::<T>(), what: what.into(), provider });
        self
    }

    /// How messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let imports: Vec<_> = self.imports.iter().map(|import| &import.name).collect();
        let contributions: Vec<_> = self.contributions.iter().map(|one| (&one.what, &one.provider)).collect();
        f.debug_struct("Module")
            .field("name", &self.name)
            .field("imports", &imports)
            .field("providers", &self.providers)
            .field("contributions", &contributions)
            .field("exports", &self.exports)
            .field("global", &self.global)
            .finish()
    }
}

/// A type that is a module.
///
/// `#[module]` writes this. By hand:
///
/// ```
/// use streamnest_modules::{Module, ModuleDefinition, Provider};
///
/// struct AppModule;
///
/// impl ModuleDefinition for AppModule {
///     fn module() -> Module {
///         Module::of::<Self>().provide(Provider::value(7_u32)).export::<u32>()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no module",
    label = "is no module",
    note = "a module is a struct with `#[module(…)]`, a `fn() -> Module`, or a `Module`"
)]
pub trait ModuleDefinition: 'static {
    /// What the module is made of.
    fn module() -> Module;
}

/// A module as another imports it. It is defined when it is first needed, so that many may import it.
pub struct Import {
    pub(crate) id: ModuleId,
    pub(crate) name: String,
    pub(crate) define: Define,
}

pub(crate) enum Define {
    /// It has its options.
    Now(Box<Module>),
    /// It is the one of its type.
    Later(Box<dyn FnOnce() -> Module + Send>),
}

impl Import {
    /// The module of type `T`.
    pub fn of<T: ModuleDefinition>() -> Self {
        Self {
            id: ModuleId::Type(TypeId::of::<T>()),
            name: short(type_name::<T>()),
            define: Define::Later(Box::new(T::module)),
        }
    }
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Import").field(&self.name).finish()
    }
}

/// What can be imported: the type of a `#[module]`, a function that returns a [`Module`], or one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no module",
    label = "is no module",
    note = "a module is a struct with `#[module(…)]`, a `fn() -> Module`, or a `Module`"
)]
pub trait IntoModule<Kind> {
    /// As another module imports it.
    fn into_import(self) -> Import;
}

/// Tells the kinds of modules apart.
#[derive(Debug)]
#[doc(hidden)]
pub enum Value {}
#[derive(Debug)]
#[doc(hidden)]
pub enum Type {}
#[derive(Debug)]
#[doc(hidden)]
pub enum Function {}
#[derive(Debug)]
#[doc(hidden)]
pub enum Prepared {}

impl IntoModule<Prepared> for Import {
    fn into_import(self) -> Import {
        self
    }
}

impl IntoModule<Value> for Module {
    fn into_import(self) -> Import {
        Import { id: self.id, name: self.name.clone(), define: Define::Now(Box::new(self)) }
    }
}

impl<T: ModuleDefinition> IntoModule<Type> for T {
    fn into_import(self) -> Import {
        Import::of::<T>()
    }
}

impl<F: FnOnce() -> Module + Send + 'static> IntoModule<Function> for F {
    fn into_import(self) -> Import {
        Import {
            id: ModuleId::Type(TypeId::of::<F>()),
            name: short(type_name::<F>()),
            define: Define::Later(Box::new(self)),
        }
    }
}

/// Contributions are found by the type of their value.
pub(crate) fn collect<T: Send + Sync + 'static>(instance: &Instance) -> Option<std::sync::Arc<T>> {
    instance.downcast_ref::<std::sync::Arc<T>>().cloned()
}
