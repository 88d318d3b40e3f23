//! Each need to what it gets.

use streamnest_core::ExecutionId;

use super::{
    Edge, ModuleNode, ProviderNode, explain,
    sight::{Found, Sight, Source},
};
use crate::{Error, Key, Need, NeedKind, ProviderScope};

/// Finds what every provider needs.
pub(super) fn wire(
    modules: &[ModuleNode],
    providers: &mut [ProviderNode],
    sight: &Sight,
    errors: &mut Vec<Error>,
) {
    let mut edges = Vec::with_capacity(providers.len());
    for provider in providers.iter() {
        let found = provider.raw.needs.iter().map(|need| {
            edge(provider, need, modules, providers, sight).unwrap_or_else(|error| {
                errors.push(error);
                Edge::Nothing
            })
        });
        edges.push(found.collect());
    }
    for (provider, edges) in providers.iter_mut().zip(edges) {
        provider.edges = edges;
    }
}

fn edge(
    provider: &ProviderNode,
    need: &Need,
    modules: &[ModuleNode],
    providers: &[ProviderNode],
    sight: &Sight,
) -> Result<Edge, Error> {
    let (key, kind) = (need.key(), need.kind());
    let asker = || provider.asker(need.field(), modules);
    let shorter = || Error::ShorterLife { asker: asker(), key: key.clone() };
    let long = provider.raw.scope == ProviderScope::Application;
    match sight.find(provider.module, key) {
        Found::One(source) if kind == NeedKind::Scoped => Ok(Edge::Handle(source)),
        Found::One(source) if long && is_short(source, providers) => Err(shorter()),
        Found::One(source) => Ok(Edge::Value(source)),
        Found::Several(sources) => {
            let module = |source: &Source| {
                let module = providers.get(source.provider)?.module;
                modules.get(module).map(|module| format!("`{}`", module.name))
            };
            let names: Vec<_> = sources.iter().filter_map(module).collect();
            Err(Error::AmbiguousProvider { asker: asker(), key: key.clone(), modules: names.join(", ") })
        }
        // Every execution provides its own id.
        Found::None if *key == Key::of::<ExecutionId>() && kind != NeedKind::Scoped => {
            if long {
                Err(shorter())
            } else {
                Ok(Edge::ExecutionId)
            }
        }
        Found::None if kind == NeedKind::Optional => {
            if explain::is_hidden(key, providers) {
                let asker = asker();
                tracing::debug!(%asker, %key, "optional need is provided by a module that is not seen; it gets none");
            }
            Ok(Edge::Nothing)
        }
        Found::None => Err(explain::not_found(provider, asker(), key, modules, providers, sight)),
    }
}

fn is_short(source: Source, providers: &[ProviderNode]) -> bool {
    providers.get(source.provider).is_some_and(|provider| provider.raw.scope == ProviderScope::Execution)
}
