//! What a provider is found by.

use std::{
    any::{TypeId, type_name},
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// What a provider is found by: a type, which may be a trait object's, and a name if there are several of that type.
#[derive(Clone)]
pub struct Key {
    id: TypeId,
    type_name: &'static str,
    name: Option<Arc<str>>,
}

impl Key {
    /// The key of `T`, or of `dyn Trait`, without a name.
    pub fn of<T: ?Sized + 'static>() -> Self {
        Self { id: TypeId::of::<T>(), type_name: type_name::<T>(), name: None }
    }

    /// The same type under a name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// The name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The type as a person writes it, without the paths: `dyn ChatModel`.
    pub fn short_type_name(&self) -> String {
        short(self.type_name)
    }

    /// The type with its paths.
    pub const fn type_name(&self) -> &'static str {
        self.type_name
    }

    pub(crate) const fn type_id(&self) -> TypeId {
        self.id
    }

    pub(crate) fn with_name(self, name: Option<Arc<str>>) -> Self {
        Self { name, ..self }
    }

    pub(crate) fn is_trait(&self) -> bool {
        self.type_name.starts_with("dyn ")
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
        self.name.hash(state);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.short_type_name())?;
        match &self.name {
            Some(name) => write!(f, " named `{name}`"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A type's name without the paths in it: `Vec<Word>` of `alloc::vec::Vec<app::Word>`.
pub(crate) fn short(full: &str) -> String {
    let mut out = String::new();
    let mut start = 0;
    let mut letters = full.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == ':' && letters.peek() == Some(&':') {
            letters.next();
            match out.strip_suffix("}}").and_then(|out| out.rfind("{{")) {
                // A type that is declared within a closure.
                Some(closure) => out.truncate(closure),
                // A path within `<T as Trait>::Type` has no name before it to drop.
                None if out.ends_with('>') => {}
                None => out.truncate(start),
            }
            start = out.len();
            continue;
        }
        out.push(letter);
        if !(letter.is_alphanumeric() || letter == '_') {
            start = out.len();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_called_as_a_person_writes_it() {
        for (full, expected) in [
            ("dyn app::models::ChatModel", "dyn ChatModel"),
            ("alloc::vec::Vec<app::Word>", "Vec<Word>"),
            ("alloc::sync::Arc<dyn a::b::C>", "Arc<dyn C>"),
            ("&str", "&str"),
            ("(u8, core::option::Option<a::B>)", "(u8, Option<B>)"),
            ("app::my_module", "my_module"),
            ("Vec<app::f::{{closure}}::Word>", "Vec<Word>"),
            ("<a::B as c::D>::E", "<B as D>E"),
        ] {
            assert_eq!(short(full), expected);
        }
    }

    #[test]
    fn a_name_makes_another_key() {
        assert_eq!(Key::of::<u8>(), Key::of::<u8>());
        assert_ne!(Key::of::<u8>(), Key::of::<i8>());
        assert_ne!(Key::of::<u8>().named("a"), Key::of::<u8>());
        assert_eq!(Key::of::<dyn Send>().named("fast").to_string(), "`dyn Send` named `fast`");
    }
}
