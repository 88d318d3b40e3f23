//! Who sees what.

use std::collections::HashMap;

use super::{ModuleNode, ProviderNode, explain, load::Replacements};
use crate::{
    Error, Key,
    module::{Export, ModuleId},
};

/// A provider, by one of its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    pub(crate) provider: usize,
    pub(crate) binding: usize,
}

/// What each module provides, exports and sees.
pub(crate) struct Sight {
    modules: Vec<Seen>,
    /// What global modules export.
    global: HashMap<Key, Vec<Source>>,
}

#[derive(Default)]
struct Seen {
    own: HashMap<Key, Source>,
    exported: HashMap<Key, Vec<Source>>,
    imported: HashMap<Key, Vec<Source>>,
}

/// What a module gets when it asks.
pub(super) enum Found<'a> {
    One(Source),
    Several(&'a [Source]),
    None,
}

impl Sight {
    /// Reads exports along `order`, in which imported modules come first.
    pub(super) fn new(
        modules: &[ModuleNode],
        providers: &[ProviderNode],
        order: &[usize],
        replacements: &Replacements,
        errors: &mut Vec<Error>,
    ) -> Self {
        let mut seen: Vec<Seen> = modules.iter().map(|_| Seen::default()).collect();
        for (provider, node) in providers.iter().enumerate().filter(|(_, node)| node.collected.is_none()) {
            let Some(module) = seen.get_mut(node.module) else { continue };
            for (binding, key) in node.raw.bindings.iter().map(|binding| &binding.key).enumerate() {
                let source = replacements.get(&(node.module, key.clone()));
                module.own.insert(key.clone(), source.copied().unwrap_or(Source { provider, binding }));
            }
        }
        let mut global = HashMap::new();
        for index in order.iter().copied() {
            let Some(module) = modules.get(index) else { continue };
            let mut imported = HashMap::new();
            for import in module.imports.iter().filter_map(|import| seen.get(*import)) {
                merge(&mut imported, &import.exported);
            }
            let mut exported = HashMap::new();
            for export in &module.exports {
                let own = seen.get(index).map(|seen| &seen.own);
                let place = Place { module, modules, providers, own, imported: &imported };
                match place.export(export, &seen) {
                    Ok(found) => merge(&mut exported, &found),
                    Err(error) => errors.push(error),
                }
            }
            if module.global {
                merge(&mut global, &exported);
            }
            if let Some(seen) = seen.get_mut(index) {
                seen.imported = imported;
                seen.exported = exported;
            }
        }
        Self { modules: seen, global }
    }

    /// What `module` gets when it asks for `key`.
    pub(super) fn find(&self, module: usize, key: &Key) -> Found<'_> {
        let Some(seen) = self.modules.get(module) else { return Found::None };
        if let Some(own) = seen.own.get(key) {
            return Found::One(*own);
        }
        let found =
            seen.imported.get(key).or_else(|| self.global.get(key)).map_or(&[] as &[_], Vec::as_slice);
        match found {
            [] => Found::None,
            [one] => Found::One(*one),
            several => Found::Several(several),
        }
    }

    /// Whether `module` exports `key`.
    pub(super) fn exports(&self, module: usize, key: &Key) -> bool {
        self.modules.get(module).is_some_and(|seen| seen.exported.contains_key(key))
    }

    /// What the program gets when it asks: what the root sees, or else what any module provides.
    pub(super) fn for_program(&self, key: &Key) -> Option<Source> {
        match self.find(0, key) {
            Found::One(source) => Some(source),
            Found::Several(_) => None,
            Found::None => self.modules.iter().find_map(|seen| seen.own.get(key).copied()),
        }
    }
}

/// A module whose exports are read.
struct Place<'a> {
    module: &'a ModuleNode,
    modules: &'a [ModuleNode],
    providers: &'a [ProviderNode],
    own: Option<&'a HashMap<Key, Source>>,
    imported: &'a HashMap<Key, Vec<Source>>,
}

impl Place<'_> {
    fn export(&self, export: &Export, seen: &[Seen]) -> Result<HashMap<Key, Vec<Source>>, Error> {
        match export {
            Export::Key(key) => {
                if let Some(own) = self.own.and_then(|own| own.get(key)) {
                    return Ok(HashMap::from([(key.clone(), vec![*own])]));
                }
                if let Some(found) = self.imported.get(key) {
                    return Ok(HashMap::from([(key.clone(), found.clone())]));
                }
                // The type of a module stands for the module.
                let id = ModuleId::Type(key.type_id());
                match self.modules.iter().find(|module| module.id == id) {
                    Some(module) if key.name().is_none() => self.module_of(id, &module.name, seen),
                    _ => Err(Error::UnknownExport {
                        module: self.module.name.clone(),
                        key: key.clone(),
                        fix: explain::export(key, self.module, self.modules, self.providers),
                    }),
                }
            }
            Export::Module(id, name) => self.module_of(*id, name, seen),
        }
    }

    fn module_of(&self, id: ModuleId, name: &str, seen: &[Seen]) -> Result<HashMap<Key, Vec<Source>>, Error> {
        let is = |index: &&usize| self.modules.get(**index).is_some_and(|module| module.id == id);
        let found = self.module.imports.iter().find(is).and_then(|index| seen.get(*index));
        found
            .map(|seen| seen.exported.clone())
            .ok_or_else(|| Error::ModuleNotImported { module: self.module.name.clone(), export: name.into() })
    }
}

/// One provider that comes two ways is one.
fn merge(into: &mut HashMap<Key, Vec<Source>>, from: &HashMap<Key, Vec<Source>>) {
    for (key, sources) in from {
        let all = into.entry(key.clone()).or_default();
        for source in sources {
            if !all.contains(source) {
                all.push(*source);
            }
        }
    }
}
