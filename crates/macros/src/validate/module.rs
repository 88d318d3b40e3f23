//! The rules across the lists of a module.

use quote::ToTokens;

use crate::{
    model::{Export, Module, Source},
    parse::args::text,
    report::Report,
};

/// What stands twice in a list, and exports of nothing.
pub(crate) fn module(module: &Module, report: &mut Report) {
    let types = module.providers.iter().filter_map(|provider| match &provider.source {
        Source::Type(ty) => Some((ty, provider.name.as_ref().map(syn::LitStr::value))),
        Source::Constructor(..) | Source::Provider(_) => None,
    });
    let types: Vec<_> = types.collect();
    for (index, (ty, name)) in types.iter().enumerate() {
        if types.iter().take(index).any(|(other, same)| same == name && text(other) == text(ty)) {
            let message = format!(
                "`{}` is provided twice; list it once, with every `as dyn Trait` behind it",
                text(ty)
            );
            report.at(ty, message);
        }
    }
    twice(&module.imports, "imports", report);
    twice(&module.workflows, "workflows", report);
    let exported = module.exports.iter().filter_map(|export| match export {
        Export::Type(ty, None) => Some(ty),
        Export::Type(_, Some(_)) | Export::Module(_) => None,
    });
    twice(&exported.collect::<Vec<_>>(), "exports", report);
}

fn twice<T: ToTokens>(entries: &[T], list: &str, report: &mut Report) {
    for (index, entry) in entries.iter().enumerate() {
        if entries.iter().take(index).any(|other| text(other) == text(entry)) {
            report.at(entry, format!("`{}` is listed twice in `{list}(…)`; keep one of them", text(entry)));
        }
    }
}
