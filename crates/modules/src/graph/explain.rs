//! Why something is not found, and what to do about it.

use super::{ModuleNode, ProviderNode, Sight};
use crate::{Asker, Error, Key, module::ModuleId, suggest};

/// A key that a module provides, with that module.
type Provided<'a> = (&'a Key, usize);

fn provided(providers: &[ProviderNode]) -> impl Iterator<Item = Provided<'_>> {
    let found = providers.iter().filter(|provider| provider.collected.is_none());
    found.flat_map(|provider| provider.raw.bindings.iter().map(|binding| (&binding.key, provider.module)))
}

fn name(index: usize, modules: &[ModuleNode]) -> &str {
    modules.get(index).map_or("", |module| &module.name)
}

/// Whether some module provides `key`.
pub(super) fn is_hidden(key: &Key, providers: &[ProviderNode]) -> bool {
    provided(providers).any(|(other, _)| other == key)
}

/// The error of a need that found nothing.
pub(super) fn not_found(
    provider: &ProviderNode,
    asker: Box<Asker>,
    key: &Key,
    modules: &[ModuleNode],
    providers: &[ProviderNode],
    sight: &Sight,
) -> Error {
    let mut owners: Vec<usize> =
        provided(providers).filter(|(other, _)| *other == key).map(|(_, module)| module).collect();
    // The module that needs the least change comes first.
    owners.sort_by_key(|owner| !sight.exports(*owner, key));
    let key = key.clone();
    match owners.first() {
        Some(owner) => {
            let (place, fix) = hidden(provider.module, *owner, &key, modules, sight);
            Error::HiddenProvider { asker, key, place, fix }
        }
        None => {
            let otherwise = add(&key, &asker.module);
            let named = |name: &str| format!("say which by `#[inject(name = \"{name}\")]`");
            let fix = near(&key, modules, providers, &otherwise, named).unwrap_or(otherwise);
            Error::MissingProvider { asker, key, fix }
        }
    }
}

/// Where a hidden provider is, and how it becomes visible.
fn hidden(asking: usize, owner: usize, key: &Key, modules: &[ModuleNode], sight: &Sight) -> (String, String) {
    let (here, there) = (name(asking, modules), name(owner, modules));
    let imports =
        |from: usize, to: usize| modules.get(from).is_some_and(|module| module.imports.contains(&to));
    let export = format!("add {key} to the `exports(…)` of `{there}`");
    let exported = sight.exports(owner, key);
    if imports(asking, owner) {
        return (format!("module `{there}` provides and does not export"), export);
    }
    let place = match exported {
        true => format!("module `{there}` provides and exports, and `{here}` does not import"),
        false => format!("module `{there}` provides and does not export, and `{here}` does not import"),
    };
    if leads_to(owner, asking, modules) {
        let fix = format!(
            "`{there}` leads to `{here}` by its imports, so move {key} into a module of its own that both import"
        );
        return (place, fix);
    }
    let mut fix = format!("add `{there}` to the `imports(…)` of `{here}`");
    let between = modules.get(asking).map(|module| module.imports.as_slice()).unwrap_or_default();
    if let Some(between) = between.iter().copied().find(|between| imports(*between, owner)) {
        fix.push_str(&format!(
            ", or export `{there}` again from `{}`, which imports it",
            name(between, modules)
        ));
    }
    if exported { (place, fix) } else { (place, format!("{export}, and {fix}")) }
}

/// Whether the imports of `from` lead to `to`.
fn leads_to(from: usize, to: usize, modules: &[ModuleNode]) -> bool {
    let mut open = vec![from];
    let mut seen = vec![from];
    while let Some(index) = open.pop() {
        if index == to {
            return true;
        }
        for import in modules.get(index).map(|module| module.imports.as_slice()).unwrap_or_default() {
            if !seen.contains(import) {
                seen.push(*import);
                open.push(*import);
            }
        }
    }
    false
}

fn add(key: &Key, module: &str) -> String {
    let what = match (key.is_trait(), key.name()) {
        (true, None) => format!("`… as {}`", key.short_type_name()),
        (false, None) => format!("`{}`", key.short_type_name()),
        (true, Some(name)) => format!("`named(\"{name}\", … as {})`", key.short_type_name()),
        (false, Some(name)) => format!("`named(\"{name}\", {})`", key.short_type_name()),
    };
    format!("add {what} to the `providers(…)` of `{module}`, or import a module that exports it")
}

/// What was probably meant by a key that nobody provides.
fn near(
    key: &Key,
    modules: &[ModuleNode],
    providers: &[ProviderNode],
    otherwise: &str,
    named: impl Fn(&str) -> String,
) -> Option<String> {
    let short = key.short_type_name();
    let same_type: Vec<&Key> = provided(providers)
        .map(|(other, _)| other)
        .filter(|other| other.type_id() == key.type_id())
        .collect();
    if !same_type.is_empty() {
        return Some(other_name(key, &same_type, named));
    }
    let shared_twice = format!("alloc::sync::Arc<{}>", key.type_name());
    if let Some((_, module)) = provided(providers).find(|(other, _)| other.type_name() == shared_twice) {
        return Some(format!(
            "module `{}` provides `Arc<{short}>` as a value; provide it by `shared(…)`, which takes the `Arc`",
            name(module, modules)
        ));
    }
    if let Some((other, module)) = provided(providers).find(|(other, _)| other.short_type_name() == short) {
        return Some(format!(
            "module `{}` provides another type of that name, `{}`; what is needed is `{}`",
            name(module, modules),
            other.type_name(),
            key.type_name()
        ));
    }
    if modules.iter().any(|module| module.id == ModuleId::Type(key.type_id())) {
        return Some(format!("`{short}` is a module; import it, and ask for what it exports"));
    }
    let names: Vec<_> =
        provided(providers).map(|(other, module)| (other.short_type_name(), module)).collect();
    let legal = names.iter().map(|(name, module)| (name.as_str(), *module));
    let (meant, module) = suggest::nearest(&short, legal)?;
    Some(format!(
        "did you mean `{meant}`, which module `{}` provides? If not, {otherwise}",
        name(module, modules)
    ))
}

/// The same type is there under other names, or without one; `named` says how one is chosen.
fn other_name(key: &Key, same_type: &[&Key], named: impl Fn(&str) -> String) -> String {
    let short = key.short_type_name();
    let names: Vec<&str> = same_type.iter().filter_map(|key| key.name()).collect();
    let list = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match (key.name(), names.first()) {
        (Some(_), None) => format!("there is `{short}` without a name; leave the name out"),
        (Some(wrong), Some(_)) => {
            let legal = names.iter().map(|name| (*name, ()));
            let hint = suggest::nearest(wrong, legal).map(|(near, ())| format!("did you mean `{near}`? "));
            format!("{}`{short}` is there under the names {list}", hint.unwrap_or_default())
        }
        (None, first) => {
            let first = first.copied().unwrap_or_default();
            format!("`{short}` is there under the names {list}; {}", named(first))
        }
    }
}

/// What to do about a key that the program asks for and nobody provides.
pub(super) fn outside(key: &Key, modules: &[ModuleNode], providers: &[ProviderNode]) -> String {
    let root = name(0, modules);
    let otherwise = format!("add it to the `providers(…)` of `{root}` or of a module that it imports");
    let named = |name: &str| format!("ask by `get_named(\"{name}\")`");
    near(key, modules, providers, &otherwise, named).unwrap_or(otherwise)
}

/// What to do about an override of what nobody provides.
pub(super) fn unused(key: &Key, modules: &[ModuleNode], providers: &[ProviderNode]) -> String {
    let otherwise = "drop it, or bind it to what it stands in for";
    let named = |name: &str| format!("say which by `named(\"{name}\")`");
    near(key, modules, providers, otherwise, named).unwrap_or_else(|| otherwise.into())
}

/// What to do about an export of what is not there.
pub(super) fn export(
    key: &Key,
    module: &ModuleNode,
    modules: &[ModuleNode],
    providers: &[ProviderNode],
) -> String {
    if let Some((_, owner)) = provided(providers).find(|(other, _)| *other == key) {
        let owner = name(owner, modules);
        return format!("module `{owner}` provides it; import `{owner}`, which must export it too");
    }
    let otherwise = format!("add it to the `providers(…)` of `{}`, or drop the export", module.name);
    let named = |name: &str| format!("say which by `named(\"{name}\", {})`", key.short_type_name());
    near(key, modules, providers, &otherwise, named).unwrap_or(otherwise)
}
