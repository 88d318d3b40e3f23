//! What a provider may ask for.

use std::{borrow::Cow, sync::Arc};

use crate::{Key, Scoped, provider::Instance, scoped::RawScoped};

/// One thing that a provider needs: what, and in which field or parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Need {
    field: Cow<'static, str>,
    key: Key,
    kind: NeedKind,
}

impl Need {
    /// What `D` asks for, in `field`.
    pub fn of<D: Dependency>(field: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), key: Key::of::<D::Of>(), kind: D::KIND }
    }

    /// The same under a name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { key: self.key.named(name), ..self }
    }

    /// The field or parameter that takes it.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is asked for.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// How it is asked for.
    pub const fn kind(&self) -> NeedKind {
        self.kind
    }
}

/// How something is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NeedKind {
    /// It must be there.
    Required,
    /// It may be missing.
    Optional,
    /// A way to make one for each execution.
    Scoped,
}

/// What was found for a need.
#[derive(Clone)]
pub(crate) enum Found {
    Instance(Instance),
    Handle(RawScoped),
    Nothing,
}

/// What a field or parameter of a provider may be: `Arc<T>`, `Arc<dyn Trait>`, an `Option` of those, or [`Scoped<T>`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be injected",
    label = "is not what a provider makes",
    note = "providers are shared: a field is `Arc<T>`, `Arc<dyn Trait>`, an `Option` of those, or `Scoped<T>`",
    note = "a field that is nobody's provider takes `#[inject(default)]` or `#[inject(value = …)]`"
)]
pub trait Dependency: sealed::Sealed + Send + 'static {
    /// What is asked for.
    type Of: ?Sized + 'static;

    /// How it is asked for.
    const KIND: NeedKind;
}

pub(crate) mod sealed {
    use super::Found;

    /// What is found is taken by types of this crate only.
    pub trait Sealed: Sized {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "nobody outside can name or call it")]
        fn take(found: Found) -> Option<Self>;
    }
}

impl<T: ?Sized + Send + Sync + 'static> sealed::Sealed for Arc<T> {
    #[expect(private_interfaces, reason = "the trait is sealed")]
    fn take(found: Found) -> Option<Self> {
        match found {
            Found::Instance(instance) => instance.downcast_ref::<Self>().cloned(),
            Found::Handle(_) | Found::Nothing => None,
        }
    }
}

impl<T: ?Sized + Send + Sync + 'static> Dependency for Arc<T> {
    type Of = T;
    const KIND: NeedKind = NeedKind::Required;
}

impl<T: ?Sized + Send + Sync + 'static> sealed::Sealed for Option<Arc<T>> {
    #[expect(private_interfaces, reason = "the trait is sealed")]
    fn take(found: Found) -> Option<Self> {
        match found {
            Found::Nothing => Some(None),
            found => sealed::Sealed::take(found).map(Some),
        }
    }
}

impl<T: ?Sized + Send + Sync + 'static> Dependency for Option<Arc<T>> {
    type Of = T;
    const KIND: NeedKind = NeedKind::Optional;
}

impl<T: ?Sized + Send + Sync + 'static> sealed::Sealed for Scoped<T> {
    #[expect(private_interfaces, reason = "the trait is sealed")]
    fn take(found: Found) -> Option<Self> {
        match found {
            Found::Handle(handle) => Some(Self::new(handle)),
            Found::Instance(_) | Found::Nothing => None,
        }
    }
}

impl<T: ?Sized + Send + Sync + 'static> Dependency for Scoped<T> {
    type Of = T;
    const KIND: NeedKind = NeedKind::Scoped;
}
