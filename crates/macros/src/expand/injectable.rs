//! `impl Injectable`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Member, ext::IdentExt, spanned::Spanned};

use crate::{
    model::{FieldSource, InjectField, Injectable},
    paths::{Paths, local},
};

/// The `impl Injectable` of a struct.
pub(crate) fn injectable(injectable: &Injectable, paths: &Paths) -> TokenStream {
    let (trait_, provider, given) = (paths.get("Injectable"), paths.get("Provider"), paths.get("Given"));
    let Injectable { name, generics, fields, .. } = injectable;
    let (generics, arguments, filter) = generics.split_for_impl();
    let (variable, from) = (local("provider"), local("given"));
    let values = fields.iter().map(|field| value(field, &from));
    let needs = fields.iter().filter_map(|field| need(field, &variable));
    let scope = injectable.execution.then(|| {
        let scope = paths.get("ProviderScope");
        quote!(let #variable = #variable.scope(#scope::Execution);)
    });
    let init = injectable.init.as_ref().map(|method| hook("on_init", method, &variable));
    let shutdown = injectable.shutdown.as_ref().map(|method| hook("on_shutdown", method, &variable));
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #generics #trait_ for #name #arguments #filter {
                fn provider() -> #provider<Self> {
                    let #variable = #provider::<Self>::new(|#from: &#given| {
                        ::core::result::Result::Ok(Self { #(#values,)* })
                    });
                    #(#needs)*
                    #scope
                    #init
                    #shutdown
                    #variable
                }
            }
        };
    }
}

/// The field's name as messages call it.
fn spelt(member: &Member) -> String {
    match member {
        Member::Named(name) => name.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

fn value(field: &InjectField, given: &Ident) -> TokenStream {
    let InjectField { member, ty, conditions, from } = field;
    let value = match from {
        FieldSource::Provider(_) => {
            let spelt = spelt(member);
            quote_spanned!(ty.span()=> #given.field::<#ty>(#spelt)?)
        }
        FieldSource::Default => quote_spanned!(ty.span()=> <#ty as ::core::default::Default>::default()),
        FieldSource::Value(value) => quote!(#value),
    };
    quote!(#(#conditions)* #member: #value)
}

fn need(field: &InjectField, variable: &Ident) -> Option<TokenStream> {
    let InjectField { member, ty, conditions, from } = field;
    let spelt = spelt(member);
    let call = match from {
        FieldSource::Provider(None) => quote_spanned!(ty.span()=> needs::<#ty>(#spelt)),
        FieldSource::Provider(Some(name)) => quote_spanned!(ty.span()=> needs_named::<#ty>(#spelt, #name)),
        FieldSource::Default | FieldSource::Value(_) => return None,
    };
    Some(quote!(#(#conditions)* let #variable = #variable.#call;))
}

/// The call is spelt at the method's name, so that a method that is missing or not async is told there.
fn hook(hook: &str, method: &Ident, variable: &Ident) -> TokenStream {
    let this = local("this");
    let span = method.span().resolved_at(Span::mixed_site());
    let hook = Ident::new(hook, span);
    let mut called = this.clone();
    called.set_span(span);
    quote_spanned! {span=>
        let #variable = #variable.#hook(|#this: ::std::sync::Arc<Self>| async move { Self::#method(&#called).await });
    }
}
