//! What a provider is given to make its value of.

use crate::{Dependency, Error, Need, dependency::Found};

/// What a provider's needs came to.
pub struct Given {
    provider: String,
    found: Vec<(Need, Found)>,
}

impl Given {
    pub(crate) const fn new(provider: String, found: Vec<(Need, Found)>) -> Self {
        Self { provider, found }
    }

    /// What was found for the field.
    ///
    /// # Errors
    /// [`Error::NeedNotDeclared`] if the provider declares no such field, or declares it with another type.
    pub fn field<D: Dependency>(&self, field: &str) -> Result<D, Error> {
        let found = self.found.iter().find(|(need, _)| need.field() == field).map(|(_, found)| found.clone());
        self.take(found, || field.to_owned())
    }

    /// What was found for the how-manieth need, from 0.
    pub(crate) fn position<D: Dependency>(&self, position: usize) -> Result<D, Error> {
        let found = self.found.get(position).map(|(_, found)| found.clone());
        self.take(found, || parameter(position))
    }

    fn take<D: Dependency>(&self, found: Option<Found>, field: impl Fn() -> String) -> Result<D, Error> {
        found.and_then(D::take).ok_or_else(|| Error::NeedNotDeclared {
            provider: self.provider.clone(),
            field: field(),
            key: crate::Key::of::<D::Of>(),
        })
    }
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields: Vec<_> = self.found.iter().map(|(need, _)| need).collect();
        f.debug_struct("Given").field("provider", &self.provider).field("needs", &fields).finish()
    }
}

/// How messages call the how-manieth parameter of a factory, from 0.
pub(crate) fn parameter(position: usize) -> String {
    format!("parameter {}", position + 1)
}
