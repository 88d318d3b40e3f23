//! What `#[module]` and `#[injectable]` say, as types.

use proc_macro2::Ident;
use syn::{Attribute, Expr, Generics, LitStr, Member, Type};

/// A module: a struct without fields, and what its attribute lists.
pub(crate) struct Module {
    pub(crate) name: Ident,
    /// Types, functions and values that are modules.
    pub(crate) imports: Vec<Expr>,
    pub(crate) providers: Vec<Provider>,
    pub(crate) exports: Vec<Export>,
    pub(crate) workflows: Vec<Type>,
    pub(crate) global: bool,
}

/// One entry of `providers(…)`.
pub(crate) struct Provider {
    pub(crate) source: Source,
    /// The types after `as`.
    pub(crate) bindings: Vec<Type>,
    /// The name of `named("…", …)`.
    pub(crate) name: Option<LitStr>,
}

/// Where a provider's value comes from.
pub(crate) enum Source {
    /// A type that is injectable.
    Type(Box<Type>),
    /// `value(…)`, `shared(…)`, `factory(…)`, `try_factory(…)` or `async_factory(…)`: a constructor of the same name.
    Constructor(Ident, Expr),
    /// `provider(…)`: a provider as it stands.
    Provider(Expr),
}

/// One entry of `exports(…)`.
pub(crate) enum Export {
    /// A provider of that type and name, or the module of that type.
    Type(Box<Type>, Option<LitStr>),
    /// `module(…)`: all that this module exports.
    Module(Expr),
}

/// A struct that says what it is made of.
pub(crate) struct Injectable {
    pub(crate) name: Ident,
    pub(crate) generics: Generics,
    pub(crate) fields: Vec<InjectField>,
    pub(crate) execution: bool,
    /// The method that runs when the application begins.
    pub(crate) init: Option<Ident>,
    /// The method that runs when it ends.
    pub(crate) shutdown: Option<Ident>,
}

/// A field of it.
pub(crate) struct InjectField {
    pub(crate) member: Member,
    pub(crate) ty: Type,
    /// `#[cfg]`s of the field.
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) from: FieldSource,
}

/// Where a field's value comes from.
pub(crate) enum FieldSource {
    /// A provider, of that name if there is one.
    Provider(Option<LitStr>),
    /// Its type's default.
    Default,
    /// An expression.
    Value(Box<Expr>),
}
