//! Modules from their definitions: each once, however many import it.

use std::collections::{HashMap, VecDeque};

use super::{ModuleNode, ProviderNode};
use crate::{
    Error, Import, Key, Overrides,
    graph::explain,
    module::{Contribution, Define, Module, ModuleId},
    provider::RawProvider,
};

/// Imports that are still to be looked at, each with the module that asked for it.
#[derive(Default)]
struct Open {
    /// Those that have options come first: whoever imports the same module without means them.
    now: VecDeque<(Import, Option<usize>)>,
    later: VecDeque<(Import, Option<usize>)>,
    /// Those that nobody imports come last: whoever imports the same module says how.
    last: VecDeque<Import>,
}

impl Open {
    fn push(&mut self, import: Import, importer: Option<usize>) {
        match import.define {
            Define::Now(_) => self.now.push_back((import, importer)),
            Define::Later(_) => self.later.push_back((import, importer)),
        }
    }

    fn pop(&mut self) -> Option<(Import, Option<usize>)> {
        let imported = self.now.pop_front().or_else(|| self.later.pop_front());
        imported.or_else(|| self.last.pop_front().map(|import| (import, None)))
    }
}

/// Loads `root` and all that it imports, and what comes beside it. The root is the first module.
pub(super) fn load(
    root: Import,
    also: Vec<Import>,
    errors: &mut Vec<Error>,
) -> (Vec<ModuleNode>, Vec<ProviderNode>) {
    let mut modules: Vec<ModuleNode> = Vec::new();
    let mut imports: Vec<Vec<ModuleId>> = Vec::new();
    let mut importers: Vec<Option<usize>> = Vec::new();
    let mut providers = Vec::new();
    let mut known: HashMap<ModuleId, usize> = HashMap::new();
    let mut open = Open::default();
    // The root is the first to be looked at, whatever options others have.
    open.now.push_front((root, None));
    for import in also {
        match import.define {
            Define::Now(_) => open.now.push_back((import, None)),
            Define::Later(_) => open.last.push_back(import),
        }
    }
    while let Some((import, importer)) = open.pop() {
        let name = |index: Option<usize>| {
            index
                .and_then(|index| modules.get(index))
                .map_or_else(|| "the program".into(), |m| m.name.clone())
        };
        if let Some(known) = known.get(&import.id) {
            if matches!(import.define, Define::Now(_)) {
                let first = name(importers.get(*known).copied().flatten());
                errors.push(Error::ModuleTwice { module: import.name, first, second: name(importer) });
            }
            continue;
        }
        let module = match import.define {
            Define::Now(module) => *module,
            Define::Later(define) => define(),
        };
        let index = modules.len();
        known.insert(import.id, index);
        importers.push(importer);
        let Module { name, imports: wanted, providers: own, contributions, exports, global, .. } = module;
        duplicates(&name, &own, errors);
        providers.extend(own.into_iter().map(|raw| node(raw, index)));
        providers.extend(contributions.into_iter().map(|contribution| contributed(contribution, index)));
        imports.push(wanted.iter().map(|import| import.id).collect());
        wanted.into_iter().for_each(|import| open.push(import, Some(index)));
        modules.push(ModuleNode { id: import.id, name, imports: Vec::new(), exports, global });
    }
    for (module, ids) in modules.iter_mut().zip(imports) {
        module.imports = ids.iter().filter_map(|id| known.get(id).copied()).collect();
    }
    for provider in &providers {
        value_per_execution(provider, &modules, errors);
    }
    (modules, providers)
}

fn node(raw: RawProvider, module: usize) -> ProviderNode {
    let what = raw.key().to_string();
    ProviderNode { raw, module, what, collected: None, replaced: false, edges: Vec::new() }
}

fn contributed(contribution: Contribution, module: usize) -> ProviderNode {
    let Contribution { of, what, provider } = contribution;
    ProviderNode { raw: provider, module, what, collected: Some(of), replaced: false, edges: Vec::new() }
}

fn duplicates(module: &str, providers: &[RawProvider], errors: &mut Vec<Error>) {
    let mut seen: Vec<&Key> = Vec::new();
    for key in providers.iter().flat_map(|provider| &provider.bindings).map(|binding| &binding.key) {
        if seen.contains(&key) {
            errors.push(Error::DuplicateProvider { module: module.into(), key: key.clone() });
        }
        seen.push(key);
    }
}

fn value_per_execution(provider: &ProviderNode, modules: &[ModuleNode], errors: &mut Vec<Error>) {
    if provider.raw.is_value && provider.raw.scope == crate::ProviderScope::Execution {
        let module = modules.get(provider.module).map(|module| module.name.clone()).unwrap_or_default();
        errors.push(Error::ValuePerExecution { key: provider.raw.key().clone(), module });
    }
}

/// Which provider stands in for which key of which module.
pub(super) type Replacements = HashMap<(usize, Key), super::Source>;

/// Adds overrides beside the providers that they stand in for.
pub(super) fn overrides(
    overrides: Overrides,
    modules: &[ModuleNode],
    providers: &mut Vec<ProviderNode>,
    errors: &mut Vec<Error>,
) -> Replacements {
    let mut replacements = Replacements::new();
    for raw in overrides.0 {
        let keys: Vec<Key> = raw.bindings.iter().map(|binding| binding.key.clone()).collect();
        let mut places: Vec<usize> = Vec::new();
        for provider in providers.iter_mut().filter(|provider| provider.collected.is_none()) {
            if provider.raw.bindings.iter().any(|binding| keys.contains(&binding.key)) {
                provider.replaced = true;
                places.push(provider.module);
            }
        }
        places.dedup();
        if places.is_empty() {
            // What it is bound to last is what a test means: the trait of a double.
            let key = keys.last().unwrap_or(raw.key()).clone();
            let fix = explain::unused(&key, modules, providers);
            errors.push(Error::UnusedOverride { key, fix });
        }
        for module in places {
            let provider = providers.len();
            for (binding, key) in keys.iter().enumerate() {
                replacements.insert((module, key.clone()), super::Source { provider, binding });
            }
            providers.push(node(raw.clone(), module));
        }
    }
    replacements
}
