//! `impl State` and the update of a state.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::{
    model::{FieldDefault, Reducer, StateField, StateStruct},
    paths::{Paths, local},
};

/// The update type of a state, and its `impl State`.
pub(crate) fn state(state: &StateStruct, paths: &Paths) -> TokenStream {
    let StateStruct { vis, name, fields, .. } = state;
    let update = format_ident!("{name}Update");
    let update_doc = format!(
        "A change of [`{name}`]: the fields that are set, each to meet what the state holds by the field's reducer."
    );
    let new_doc = "A change of nothing.";
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let types = fields.iter().map(|field| &field.ty);
    let setters = fields.iter().map(|field| {
        let StateField { name, ty, .. } = field;
        let doc = setter_doc(field);
        quote! {
            #[doc = #doc]
            #[must_use]
            #vis fn #name(mut self, #name: impl ::core::convert::Into<#ty>) -> Self {
                self.#name = ::core::option::Option::Some(::core::convert::Into::into(#name));
                self
            }
        }
    });
    let traits = traits(state, &update, paths);
    quote! {
        #[doc = #update_doc]
        #vis struct #update {
            #(#names: ::core::option::Option<#types>,)*
        }

        #[allow(dead_code, reason = "a workflow need not set every field of its state")]
        impl #update {
            #[doc = #new_doc]
            #[must_use]
            #vis fn new() -> Self {
                Self { #(#names: ::core::option::Option::None,)* }
            }
            #(#setters)*
        }

        #traits
    }
}

fn setter_doc(field: &StateField) -> String {
    let what = match &field.reducer {
        Reducer::Replace => "in place of what it holds".to_owned(),
        Reducer::Append(_) => "to follow what it holds".to_owned(),
        Reducer::Merge(_) => "to be merged into what it holds".to_owned(),
        Reducer::Maximum(_) => "which stays if it is greater than what it holds".to_owned(),
        Reducer::Minimum(_) => "which stays if it is smaller than what it holds".to_owned(),
        Reducer::Sum(_) => "to be added to what it holds".to_owned(),
        Reducer::Function { path, .. } => {
            format!("to be joined to what it holds by `{}`", crate::parse::args::text(path).replace(' ', ""))
        }
    };
    format!("Sets `{}`, {what}. The last call counts.", field.wire)
}

/// Everything about the two types that needs no name of its own.
fn traits(state: &StateStruct, update: &Ident, paths: &Paths) -> TokenStream {
    let StateStruct { name, fields, .. } = state;
    let (serde, json) = (paths.get("serde"), paths.get("serde_json"));
    let update_trait = paths.get("StateUpdate");
    let (trait_, error) = (paths.get("State"), paths.get("InputError"));
    let (reader, schema) = (paths.get("InputReader"), paths.get("SchemaBuilder"));
    let (input, change, map, formatter, serializer) = (
        local("input"),
        local("update"),
        local("map"),
        local("formatter"),
        Ident::new("S", Span::mixed_site()),
    );
    let (text, value, schema_builder, output) =
        (local("text"), local("value"), local("schema"), local("output"));
    let title = name.to_string();
    let update_title = update.to_string();
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let wires: Vec<_> = fields.iter().map(|field| &field.wire).collect();
    let values: Vec<_> =
        fields.iter().enumerate().map(|(index, _)| local(&format!("field_{index}"))).collect();
    let reads = fields.iter().map(|field| read(field, &input));
    let reductions = fields.iter().map(|field| reduce(field, &change, &value, paths));
    let entries = fields.iter().map(|field| schema_entry(field, field.default.is_none(), &schema_builder));
    let state_entries = fields.iter().map(|field| schema_entry(field, true, &schema_builder));
    let reducer_kind = paths.get("Reducer");
    let kinds = fields.iter().map(|field| reducer_variant(&field.reducer));
    quote! {
        const _: () = {
            #[automatically_derived]
            impl ::core::default::Default for #update {
                fn default() -> Self {
                    Self::new()
                }
            }

            #[automatically_derived]
            impl ::core::clone::Clone for #update {
                fn clone(&self) -> Self {
                    Self { #(#names: ::core::clone::Clone::clone(&self.#names),)* }
                }
            }

            #[automatically_derived]
            impl #serde::Serialize for #update {
                fn serialize<#serializer: #serde::Serializer>(
                    &self,
                    #output: #serializer,
                ) -> ::core::result::Result<#serializer::Ok, #serializer::Error> {
                    let mut #map = #serde::Serializer::serialize_map(#output, ::core::option::Option::None)?;
                    #(if let ::core::option::Option::Some(#value) = &self.#names {
                        #serde::ser::SerializeMap::serialize_entry(&mut #map, #wires, #value)?;
                    })*
                    #serde::ser::SerializeMap::end(#map)
                }
            }

            #[automatically_derived]
            impl ::core::fmt::Debug for #update {
                fn fmt(&self, #formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    let #text = #json::to_string(self).map_err(|_| ::core::fmt::Error)?;
                    ::core::write!(#formatter, "{}{}", #update_title, #text)
                }
            }

            #[automatically_derived]
            impl #update_trait for #update {
                type State = #name;
            }

            #[automatically_derived]
            impl #trait_ for #name {
                type Update = #update;

                fn from_input(#input: #json::Value) -> ::core::result::Result<Self, #error> {
                    let mut #input = #reader::new(#input)?;
                    #(let #values = #reads;)*
                    #input.finish(&[#(#wires),*])?;
                    ::core::result::Result::Ok(Self { #(#names: #values,)* })
                }

                fn apply(&mut self, #change: Self::Update) {
                    #(#reductions)*
                }

                fn input_schema() -> #json::Value {
                    let #schema_builder = #schema::new(#title);
                    #(let #schema_builder = #entries;)*
                    #schema_builder.finish()
                }

                fn reducer(#text: &str) -> #reducer_kind {
                    match #text {
                        #(#wires => #reducer_kind::#kinds,)*
                        _ => #reducer_kind::Replace,
                    }
                }

                fn schema() -> #json::Value {
                    let #schema_builder = #schema::of_state(#title);
                    #(let #schema_builder = #state_entries;)*
                    #schema_builder.finish()
                }
            }
        };
    }
}

/// The value of a field, read from the input.
fn read(field: &StateField, input: &Ident) -> TokenStream {
    let StateField { wire, ty, default, .. } = field;
    let span = ty.span().resolved_at(Span::mixed_site());
    let default = match default {
        None => return quote_spanned!(span=> #input.required::<#ty>(#wire)?),
        Some(FieldDefault::OfType) => quote_spanned!(span=> <#ty as ::core::default::Default>::default()),
        Some(FieldDefault::Expression(value)) => {
            let variable = local("default");
            quote!({ let #variable: #ty = #value; #variable })
        }
    };
    let value = local("value");
    quote_spanned! {span=>
        match #input.optional::<#ty>(#wire)? {
            ::core::option::Option::Some(#value) => #value,
            ::core::option::Option::None => #default,
        }
    }
}

/// What an update does to a field.
fn reduce(field: &StateField, update: &Ident, value: &Ident, paths: &Paths) -> TokenStream {
    let StateField { name, ty, reducer, .. } = field;
    let reduce = paths.get("reduce");
    let function = local("reducer");
    let ours = |span: &Span, name: &str| {
        let name = Ident::new(name, Span::mixed_site());
        quote_spanned!(span.resolved_at(Span::mixed_site())=> #reduce::#name::<#ty>)
    };
    let by = match reducer {
        Reducer::Replace => quote!(#reduce::replace::<#ty>),
        Reducer::Append(span) => ours(span, "append"),
        Reducer::Merge(span) => ours(span, "merge"),
        Reducer::Maximum(span) => ours(span, "maximum"),
        Reducer::Minimum(span) => ours(span, "minimum"),
        Reducer::Sum(span) => ours(span, "sum"),
        Reducer::Function { path, .. } => quote!(#path),
    };
    quote! {
        if let ::core::option::Option::Some(#value) = #update.#name {
            let #function: fn(&mut #ty, #ty) = #by;
            #function(&mut self.#name, #value);
        }
    }
}

/// The name of a reducer in the runtime's list of them.
fn reducer_variant(reducer: &Reducer) -> Ident {
    let name = match reducer {
        Reducer::Replace => "Replace",
        Reducer::Append(_) => "Append",
        Reducer::Merge(_) => "Merge",
        Reducer::Maximum(_) => "Maximum",
        Reducer::Minimum(_) => "Minimum",
        Reducer::Sum(_) => "Sum",
        Reducer::Function { commutes: false, .. } => "Function",
        Reducer::Function { commutes: true, .. } => "Commuting",
    };
    Ident::new(name, Span::mixed_site())
}

fn schema_entry(field: &StateField, required: bool, schema: &Ident) -> TokenStream {
    let StateField { wire, ty, doc, .. } = field;
    let doc = match doc {
        Some(doc) => quote!(::core::option::Option::Some(#doc)),
        None => quote!(::core::option::Option::None),
    };
    let span = ty.span().resolved_at(Span::mixed_site());
    quote_spanned!(span=> #schema.field::<#ty>(#wire, #required, #doc))
}
