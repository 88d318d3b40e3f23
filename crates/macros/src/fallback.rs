//! What is emitted when something is wrong: the user's items, and enough of ours that the compiler finds nothing else
//! to complain about.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{FnArg, ItemImpl, ItemStruct, Signature, Type, Visibility, parse::ParseStream, parse::Parser};

use crate::{
    model::StateStruct,
    parse::{attribute::Attribute, item::Block},
    paths::Paths,
};

/// The block without our attributes.
pub(crate) fn block(block: &Block) -> TokenStream {
    let items: Vec<_> = block.items.iter().map(|item| item.without_ours()).collect();
    block.with_items(&items)
}

/// Some item that is no `impl` block, without our attributes inside it.
pub(crate) fn other(tokens: TokenStream) -> TokenStream {
    let mut kept = TokenStream::new();
    let mut pound: Option<TokenTree> = None;
    for token in tokens {
        match (pound.take(), token) {
            (Some(mark), TokenTree::Group(group)) => {
                Attribute::new(mark, group).without_ours().to_tokens(&mut kept);
            }
            (Some(mark), token) => kept.extend([mark, token]),
            (None, TokenTree::Punct(punct)) if punct.as_char() == '#' => {
                pound = Some(TokenTree::Punct(punct))
            }
            (None, TokenTree::Group(group)) => {
                let mut inner = proc_macro2::Group::new(group.delimiter(), other(group.stream()));
                inner.set_span(group.span());
                kept.extend([TokenTree::Group(inner)]);
            }
            (None, token) => kept.extend([token]),
        }
    }
    kept.extend(pound);
    kept
}

/// An `impl Workflow` that never runs, so that whoever registers the workflow hears nothing of it.
pub(crate) fn workflow(head: &ItemImpl, state: Option<&Type>, block: &Block, paths: &Paths) -> TokenStream {
    let Some(state) = state.cloned().or_else(|| state_of_nodes(block)) else { return TokenStream::new() };
    let (workflow, builder) = (paths.get("Workflow"), paths.get("WorkflowBuilder"));
    let (generics, _, filter) = head.generics.split_for_impl();
    let ty = &head.self_ty;
    quote! {
        #[automatically_derived]
        impl #generics #workflow for #ty #filter {
            type State = #state;
            fn definition() -> #builder<Self> {
                loop {}
            }
        }
    }
}

/// The state as the first node spells it.
fn state_of_nodes(block: &Block) -> Option<Type> {
    block.items.iter().filter(|item| item.mentions_ours()).find_map(|item| {
        let parser = |input: ParseStream<'_>| {
            input.parse::<Visibility>()?;
            let signature: Signature = input.parse()?;
            input.parse::<TokenStream>()?;
            Ok(signature)
        };
        let signature = parser.parse2(item.rest.clone()).ok()?;
        match signature.inputs.get(1)? {
            FnArg::Typed(typed) => match &*typed.ty {
                Type::Reference(reference) => Some((*reference.elem).clone()),
                _ => None,
            },
            FnArg::Receiver(_) => None,
        }
    })
}

/// An update with every setter and an `impl State` that never runs.
pub(crate) fn state(state: &StateStruct, paths: &Paths) -> TokenStream {
    let StateStruct { vis, name, fields, .. } = state;
    let update = format_ident!("{name}Update");
    let update_trait = paths.get("StateUpdate");
    let (trait_, error) = (paths.get("State"), paths.get("InputError"));
    let (serde, json) = (paths.get("serde"), paths.get("serde_json"));
    let setters = fields.iter().map(|field| {
        let (name, ty) = (&field.name, &field.ty);
        quote! {
            #vis fn #name(self, _: impl ::core::convert::Into<#ty>) -> Self { self }
        }
    });
    let serializer = Ident::new("S", Span::mixed_site());
    quote! {
        #[allow(missing_docs, reason = "only the errors of the real one are to show")]
        #vis struct #update {}
        #[allow(missing_docs, dead_code, reason = "only the errors of the real one are to show")]
        impl #update {
            #vis fn new() -> Self { Self {} }
            #(#setters)*
        }
        const _: () = {
            impl ::core::default::Default for #update {
                fn default() -> Self { Self {} }
            }
            impl ::core::clone::Clone for #update {
                fn clone(&self) -> Self { Self {} }
            }
            impl #serde::Serialize for #update {
                fn serialize<#serializer: #serde::Serializer>(
                    &self, _: #serializer,
                ) -> ::core::result::Result<#serializer::Ok, #serializer::Error> {
                    loop {}
                }
            }
            impl #update_trait for #update {
                type State = #name;
            }
            impl #trait_ for #name {
                type Update = #update;
                fn from_input(_: #json::Value) -> ::core::result::Result<Self, #error> {
                    loop {}
                }
                fn apply(&mut self, _: Self::Update) {}
                fn input_schema() -> #json::Value {
                    loop {}
                }
            }
        };
    }
}

/// An `impl ModuleDefinition` that never runs, so that whoever imports the module hears nothing of it.
pub(crate) fn module(name: &Ident, paths: &Paths) -> TokenStream {
    let (trait_, builder) = (paths.get("ModuleDefinition"), paths.get("Module"));
    quote! {
        #[automatically_derived]
        impl #trait_ for #name {
            fn module() -> #builder {
                loop {}
            }
        }
    }
}

/// An `impl Injectable` that never runs, so that whoever provides the struct hears nothing of it.
pub(crate) fn injectable(item: &ItemStruct, paths: &Paths) -> TokenStream {
    let (trait_, provider) = (paths.get("Injectable"), paths.get("Provider"));
    let (generics, arguments, filter) = item.generics.split_for_impl();
    let name = &item.ident;
    quote! {
        #[automatically_derived]
        impl #generics #trait_ for #name #arguments #filter {
            fn provider() -> #provider<Self> {
                loop {}
            }
        }
    }
}
