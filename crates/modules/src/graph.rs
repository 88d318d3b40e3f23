//! The modules and providers of a program, and what each needs of which other.

mod explain;
mod load;
mod order;
mod sight;
mod wiring;

use std::any::TypeId;

use crate::{Asker, Error, Import, Key, Overrides, provider::RawProvider};

use self::sight::Sight;
pub(crate) use self::sight::Source;

/// Everything that a program is made of, checked: every need has what it needs, and nothing needs itself.
pub(crate) struct Graph {
    pub(crate) modules: Vec<ModuleNode>,
    pub(crate) providers: Vec<ProviderNode>,
    /// The providers that live as long as the application, each after those that it needs.
    pub(crate) order: Vec<usize>,
    sight: Sight,
}

/// A module in its place.
pub(crate) struct ModuleNode {
    id: crate::module::ModuleId,
    pub(crate) name: String,
    imports: Vec<usize>,
    exports: Vec<crate::module::Export>,
    global: bool,
}

/// A provider in its place.
pub(crate) struct ProviderNode {
    pub(crate) raw: RawProvider,
    pub(crate) module: usize,
    /// How messages call it.
    pub(crate) what: String,
    /// The type that it is collected by; `None` if it is found by its keys.
    pub(crate) collected: Option<TypeId>,
    /// An override stands in for it, so it is only made if somebody needs it by another key.
    replaced: bool,
    /// What its needs came to, in their order.
    pub(crate) edges: Vec<Edge>,
}

/// What a need came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Edge {
    /// The value of a provider.
    Value(Source),
    /// A way to make the value of a provider for each execution.
    Handle(Source),
    /// The id of the execution.
    ExecutionId,
    /// Nothing, which is all right.
    Nothing,
}

impl Graph {
    /// Loads the modules from the root on, and checks them.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn new(root: Import, also: Vec<Import>, overrides: Overrides) -> Result<Self, Error> {
        let mut errors = Vec::new();
        let (modules, mut providers) = load::load(root, also, &mut errors);
        // What follows walks along the imports.
        Error::gather(std::mem::take(&mut errors))?;
        let replacements = load::overrides(overrides, &modules, &mut providers, &mut errors);
        let order = order::modules(&modules)?;
        let sight = Sight::new(&modules, &providers, &order, &replacements, &mut errors);
        wiring::wire(&modules, &mut providers, &sight, &mut errors);
        Error::gather(errors)?;
        let order = order::providers(&order, &providers)?;
        Ok(Self { modules, providers, order, sight })
    }

    /// The provider that the program itself gets when it asks for `key`.
    ///
    /// # Errors
    /// [`Error::NotProvided`].
    pub(crate) fn find(&self, key: &Key) -> Result<Source, Error> {
        self.sight.for_program(key).ok_or_else(|| Error::NotProvided {
            key: key.clone(),
            fix: explain::outside(key, &self.modules, &self.providers),
        })
    }

    /// The providers of which each execution has its own and that are needed to make the one at `index`, which is the
    /// last of them.
    pub(crate) fn plan(&self, index: usize) -> Vec<usize> {
        order::plan(index, &self.providers)
    }

    pub(crate) fn module_name(&self, provider: &ProviderNode) -> &str {
        self.modules.get(provider.module).map_or("", |module| &module.name)
    }
}

impl ProviderNode {
    /// Who asks, as messages call it.
    fn asker(&self, field: &str, modules: &[ModuleNode]) -> Box<Asker> {
        Box::new(Asker {
            provider: self.what.clone(),
            // What is contributed is named for what it needs.
            field: self.collected.is_none().then(|| field.to_owned()),
            module: modules.get(self.module).map(|module| module.name.clone()).unwrap_or_default(),
        })
    }
}
