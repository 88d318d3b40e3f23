//! The one place that spells `::streamnest::__private`, and the list of what generated code names there.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Path;

/// What generated code names in the facade's `__private`; [`Paths::get`] gives nothing else.
pub(crate) const NAMES: &[&str] = &[
    "Delivery",
    "EventFilter",
    "EventOptions",
    "EventType",
    "Given",
    "Granularity",
    "Injectable",
    "InputError",
    "InputReader",
    "Module",
    "ModuleDefinition",
    "NodeBuilder",
    "NodeContext",
    "NodeKind",
    "NodeResult",
    "OnDisconnect",
    "Priority",
    "ProgressFormat",
    "ProgressOptions",
    "Provider",
    "ProviderScope",
    "Reducer",
    "RetryOn",
    "RetryOptions",
    "SchemaBuilder",
    "State",
    "StateUpdate",
    "TokenFilter",
    "TokenFormat",
    "TokenOptions",
    "WithWorkflows",
    "Workflow",
    "WorkflowBuilder",
    "items",
    "reduce",
    "serde",
    "serde_json",
    "stream_tokens",
    "workflow_configured",
];

/// A variable of generated code. Hygiene keeps it apart from the user's variables, and its name from the user's
/// constants, which a pattern would otherwise mean.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(&format!("__streamnest_{name}"), Span::mixed_site())
}

/// Where the facade is found in the user's crate.
#[derive(Clone)]
pub(crate) struct Paths {
    facade: TokenStream,
}

impl Paths {
    /// The facade under its own name, or where `crate = path` says.
    pub(crate) fn new(renamed: Option<&Path>) -> Self {
        Self { facade: renamed.map_or_else(|| quote!(::streamnest), Path::to_token_stream) }
    }

    /// The path of `name`, hygienic: nothing that the user declares can stand in its way.
    pub(crate) fn get(&self, name: &str) -> TokenStream {
        let facade = &self.facade;
        path_of(facade, name, Span::mixed_site())
    }

    /// The path of `name`, told at `span` when the compiler finds it does not fit.
    pub(crate) fn spanned(&self, name: &str, span: Span) -> TokenStream {
        // All of it, for the compiler shows a whole attribute where a path begins there.
        let there = self.facade.clone().into_iter().map(|mut token| {
            token.set_span(span.resolved_at(token.span()));
            token
        });
        path_of(&there.collect(), name, span)
    }
}

fn path_of(facade: &TokenStream, name: &str, span: Span) -> TokenStream {
    debug_assert!(NAMES.contains(&name), "`{name}` is missing in the list of names");
    let name = Ident::new(name, span);
    quote_spanned!(span=> #facade::__private::#name)
}
