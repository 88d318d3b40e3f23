//! `impl ModuleDefinition`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::{
    model::{Export, Module, Provider, Source},
    paths::{Paths, local},
};

/// The `impl ModuleDefinition` of a module.
pub(crate) fn module(module: &Module, paths: &Paths) -> TokenStream {
    let (trait_, builder) = (paths.get("ModuleDefinition"), paths.get("Module"));
    let name = &module.name;
    let variable = local("module");
    let mut steps: Vec<TokenStream> = Vec::new();
    let mut step = |call: TokenStream| steps.push(quote!(let #variable = #variable.#call;));
    for import in &module.imports {
        // The call is spelt at the module, so that what is none is told there.
        step(quote_spanned!(import.span()=> import(#import)));
    }
    for entry in &module.providers {
        let provider = provider(entry, paths);
        step(quote!(provide(#provider)));
    }
    for export in &module.exports {
        step(match export {
            Export::Type(ty, None) => quote!(export::<#ty>()),
            Export::Type(ty, Some(name)) => quote!(export_named::<#ty>(#name)),
            Export::Module(module) => quote_spanned!(module.span()=> export_module(#module)),
        });
    }
    if module.global {
        step(quote!(global()));
    }
    let workflows = module.workflows.iter().map(|workflow| {
        let with = paths.spanned("WithWorkflows", workflow.span());
        quote_spanned!(workflow.span()=> let #variable = #with::workflow::<#workflow>(#variable);)
    });
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #trait_ for #name {
                fn module() -> #builder {
                    let #variable = #builder::of::<Self>();
                    #(#steps)*
                    #(#workflows)*
                    #variable
                }
            }
        };
    }
}

fn provider(entry: &Provider, paths: &Paths) -> TokenStream {
    let mut tokens = match &entry.source {
        Source::Type(ty) => {
            let injectable = paths.spanned("Injectable", ty.span());
            quote_spanned!(ty.span()=> <#ty as #injectable>::provider())
        }
        Source::Constructor(constructor, value) => {
            let provider = paths.spanned("Provider", constructor.span());
            quote!(#provider::#constructor(#value))
        }
        Source::Provider(provider) => quote!(#provider),
    };
    for binding in &entry.bindings {
        // What does not implement the trait is told at the trait.
        let mut value = local("value");
        value.set_span(binding.span().resolved_at(Span::mixed_site()));
        let cast = quote_spanned!(binding.span()=> bind::<#binding>(|#value| #value));
        tokens = quote!(#tokens.#cast);
    }
    if let Some(name) = &entry.name {
        tokens = quote!(#tokens.named(#name));
    }
    tokens
}
