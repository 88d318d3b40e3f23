//! `#[injectable(…)]`, the struct it stands on, and the `#[inject(…)]` of its fields.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{Attribute, Field, Index, Item, ItemStruct, Member, Meta, Path, ext::IdentExt, spanned::Spanned};

use super::{
    args::{self, Arg, Owner, text},
    workflow::ModPath,
};
use crate::{
    model::{FieldSource, InjectField, Injectable},
    options,
    report::Report,
};

const STRUCT: Owner<'static> = Owner { title: "`#[injectable]`", options: options::INJECTABLE.options };
const FIELD: Owner<'static> = Owner { title: "`#[inject]`", options: options::INJECT.options };
const SCOPES: &[(&str, bool)] = &[("application", false), ("execution", true)];

/// What `#[injectable(…)]` says, and where the facade is.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) facade: Option<Path>,
    execution: bool,
    init: Option<Ident>,
    shutdown: Option<Ident>,
}

/// Reads the options.
pub(crate) fn arguments(tokens: TokenStream, report: &mut Report) -> Arguments {
    let mut said = Arguments::default();
    args::read(tokens, STRUCT, report, |arg, _| {
        match arg.option.name {
            "scope" => said.execution = arg.choice(SCOPES)?,
            "init" => said.init = Some(method(&arg)?),
            "shutdown" => said.shutdown = Some(method(&arg)?),
            "crate" => said.facade = Some(arg.parsed::<ModPath>("path")?.0),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    said
}

/// The name of a method of the struct.
fn method(arg: &Arg<'_>) -> syn::Result<Ident> {
    let path = arg.parsed::<ModPath>("method")?.0;
    match path.get_ident() {
        Some(ident) => Ok(ident.clone()),
        None => {
            let last = path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
            let message = format!(
                "`{} = {}` is a path; name an `async fn(&self)` of the struct itself, as in `{} = {last}`",
                arg.name,
                text(&path),
                arg.name
            );
            Err(syn::Error::new_spanned(path, message))
        }
    }
}

/// The struct; `None` if the attribute stands on something else, which is then told.
pub(crate) fn item(tokens: &TokenStream, report: &mut Report) -> Option<ItemStruct> {
    let (at, what): (TokenStream, String) = match syn::parse2::<Item>(tokens.clone()) {
        Ok(Item::Struct(item)) => return Some(item),
        Ok(Item::Impl(item)) => {
            (item.self_ty.to_token_stream(), format!("; put it on `struct {}`", text(&item.self_ty)))
        }
        Ok(Item::Enum(item)) => (
            item.enum_token.to_token_stream(),
            format!("; provide `{}` by `value(…)` or `factory(…)`", item.ident),
        ),
        Ok(Item::Fn(item)) => (
            item.sig.fn_token.to_token_stream(),
            format!("; write `factory({})` in `providers(…)`", item.sig.ident),
        ),
        Ok(other) => (other.to_token_stream(), String::new()),
        Err(error) => {
            report.push(error);
            return None;
        }
    };
    report.at(at, format!("`#[injectable]` belongs on a struct{what}"));
    None
}

/// The injectable that the struct and its attribute say.
pub(crate) fn parse(arguments: Arguments, item: &ItemStruct, report: &mut Report) -> Injectable {
    if let Some(lifetime) = item.generics.lifetimes().next() {
        let message = format!(
            "`{}` borrows for `{}`, and a provider is shared for as long as the application; let it own what it holds",
            item.ident,
            text(&lifetime.lifetime)
        );
        report.at(&lifetime.lifetime, message);
    }
    let fields = item.fields.iter().enumerate();
    let fields = fields.map(|(index, field)| field_of(index, field, report)).collect();
    let Arguments { execution, init, shutdown, .. } = arguments;
    let (name, generics) = (item.ident.clone(), item.generics.clone());
    Injectable { name, generics, fields, execution, init, shutdown }
}

/// The struct without `#[inject]` on its fields.
pub(crate) fn without_inject(mut item: ItemStruct) -> ItemStruct {
    for field in &mut item.fields {
        field.attrs.retain(|attribute| !attribute.path().is_ident("inject"));
    }
    item
}

fn field_of(index: usize, field: &Field, report: &mut Report) -> InjectField {
    let member = match &field.ident {
        Some(name) => Member::Named(name.clone()),
        None => {
            Member::Unnamed(Index { index: u32::try_from(index).unwrap_or(u32::MAX), span: field.ty.span() })
        }
    };
    let spelt = match &member {
        Member::Named(name) => name.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    };
    let mut from: Option<(FieldSource, Ident)> = None;
    let tokens = inject_of(&field.attrs, report);
    args::read(tokens, FIELD, report, |arg, _| {
        let source = match arg.option.name {
            "name" => FieldSource::Provider(Some(arg.string()?)),
            "default" if arg.is_bare() => FieldSource::Default,
            "default" => {
                let message = format!(
                    "`default` takes no value; write `value = …` for one of your own, on field `{spelt}`"
                );
                return Err(syn::Error::new_spanned(&arg.name, message));
            }
            "value" => FieldSource::Value(Box::new(arg.expression()?)),
            _ => return Err(args::unread(&arg)),
        };
        if let Some((_, first)) = &from {
            let message = format!("field `{spelt}` has its value from `{first}` already; keep one of them");
            return Err(syn::Error::new_spanned(&arg.name, message));
        }
        from = Some((source, arg.name.clone()));
        Ok(())
    });
    let conditions =
        field.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect();
    let from = from.map_or(FieldSource::Provider(None), |(source, _)| source);
    InjectField { member, ty: field.ty.clone(), conditions, from }
}

/// What stands in all `#[inject(…)]` of a field.
fn inject_of(attributes: &[Attribute], report: &mut Report) -> TokenStream {
    let mut tokens = TokenStream::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("inject")) {
        match &attribute.meta {
            Meta::List(list) if !list.tokens.is_empty() => {
                if !tokens.is_empty() {
                    tokens.extend(quote::quote!(,));
                }
                tokens.extend(list.tokens.clone());
            }
            _ => report.at(
                attribute,
                "`#[inject]` says nothing: a field is injected without it; write `#[inject(name = \"…\")]`, \
                 `#[inject(default)]` or `#[inject(value = …)]`, or leave it out",
            ),
        }
    }
    tokens
}
