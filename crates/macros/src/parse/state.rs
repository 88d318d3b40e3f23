//! `#[derive(State)]`: the struct, its fields and their `#[state(…)]`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Attribute, Data, DeriveInput, Expr, ExprLit, Field, Fields, Lit, Meta, ext::IdentExt, spanned::Spanned,
};

use super::{
    args::{self, Arg, Owner},
    workflow::ModPath,
};
use crate::{
    model::{FieldDefault, Reducer, StateField, StateStruct},
    options,
    report::Report,
    suggest,
};

const STRUCT: Owner<'static> =
    Owner { title: "`#[state]` (of a struct)", options: options::STATE_STRUCT.options };
const FIELD: Owner<'static> = Owner { title: "`#[state]`", options: options::STATE_FIELD.options };

/// Reads the struct as far as it is right; `None` if it is not a struct with named fields.
pub(crate) fn parse(input: &DeriveInput, report: &mut Report) -> StateStruct {
    let mut facade = None;
    let tokens = arguments(&input.attrs, report);
    args::read(tokens, STRUCT, report, |arg, _| {
        match arg.option.name {
            "crate" => facade = Some(arg.parsed::<ModPath>("path")?.0),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    if !input.generics.params.is_empty() {
        let params = &input.generics.params;
        let message = format!(
            "`#[derive(State)]` on `{}`, which is generic over `{}`; a state is one shape of JSON, name the types",
            input.ident,
            args::text(params)
        );
        report.at(params, message);
    }
    serde_of_struct(&input.attrs, report);
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => {
                fields.named.iter().filter_map(|field| field_of(field, input, report)).collect()
            }
            Fields::Unit => Vec::new(),
            Fields::Unnamed(fields) => {
                let message = format!(
                    "`{}` has fields without names; a field's name is its name in the input",
                    input.ident
                );
                report.at(fields, message);
                Vec::new()
            }
        },
        Data::Enum(data) => wrong_item(input, &data.enum_token, report),
        Data::Union(data) => wrong_item(input, &data.union_token, report),
    };
    StateStruct { facade, vis: input.vis.clone(), name: input.ident.clone(), fields }
}

fn wrong_item(input: &DeriveInput, keyword: &dyn ToTokens, report: &mut Report) -> Vec<StateField> {
    let message =
        format!("`#[derive(State)]` belongs on a struct with named fields; `{}` is none", input.ident);
    report.at(keyword, message);
    Vec::new()
}

fn field_of(field: &Field, input: &DeriveInput, report: &mut Report) -> Option<StateField> {
    let name = field.ident.clone()?;
    let wire = name.unraw().to_string();
    if wire == "new" {
        let message =
            format!("field `new` of `{}` would hide `{}Update::new()`; rename it", input.ident, input.ident);
        report.at(&name, message);
        return None;
    }
    let mut default = None;
    let mut reducer = Reducer::Replace;
    let mut commutes = None;
    args::read(arguments(&field.attrs, report), FIELD, report, |arg, _| {
        match arg.option.name {
            "default" => default = Some(default_of(&arg)?),
            "reducer" => reducer = reducer_of(&arg)?,
            "commutes" => commutes = arg.flag()?.then(|| arg.name.clone()),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    match (&mut reducer, commutes) {
        (Reducer::Function { commutes, .. }, Some(_)) => *commutes = true,
        (_, Some(said)) => {
            let message = format!(
                "`commutes` says of a function of your own that its order does not matter; field `{name}` has none, write \
                 `reducer = path, commutes`"
            );
            report.at(said, message);
        }
        (_, None) => {}
    }
    serde_of_field(field, &name, default.is_some(), report);
    Some(StateField { wire, ty: field.ty.clone(), doc: doc(&field.attrs), default, reducer, name })
}

fn default_of(arg: &Arg<'_>) -> syn::Result<FieldDefault> {
    if arg.is_bare() {
        return Ok(FieldDefault::OfType);
    }
    Ok(FieldDefault::Expression(Box::new(arg.expression()?)))
}

fn reducer_of(arg: &Arg<'_>) -> syn::Result<Reducer> {
    let own = "replace, append, merge, maximum, minimum, sum, or the path of your own `fn(&mut T, T)`";
    match arg.expression()? {
        Expr::Path(path) if path.qself.is_none() => {
            let reducer = match path.path.get_ident().map(ToString::to_string).as_deref() {
                Some("replace") => Reducer::Replace,
                Some("append") => Reducer::Append(path.span()),
                Some("merge") => Reducer::Merge(path.span()),
                Some("maximum") => Reducer::Maximum(path.span()),
                Some("minimum") => Reducer::Minimum(path.span()),
                Some("sum") => Reducer::Sum(path.span()),
                _ => Reducer::Function { path: path.path, commutes: false },
            };
            Ok(reducer)
        }
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => {
            let word = literal.value();
            let near = suggest::nearest(&word, ["replace", "append", "merge", "maximum", "minimum", "sum"])
                .unwrap_or("append");
            let message =
                format!("`reducer = \"{word}\"` is text; write `reducer = {near}` without quotes: {own}");
            Err(syn::Error::new_spanned(literal, message))
        }
        other => {
            let message = format!("`reducer = {}` is no function; reducers: {own}", args::text(&other));
            Err(syn::Error::new_spanned(other, message))
        }
    }
}

/// What stands in all `#[state(…)]` of an item.
fn arguments(attributes: &[Attribute], report: &mut Report) -> TokenStream {
    let mut tokens = TokenStream::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("state")) {
        match &attribute.meta {
            Meta::List(list) => {
                if !tokens.is_empty() {
                    tokens.extend(quote::quote!(,));
                }
                tokens.extend(list.tokens.clone());
            }
            other => {
                report.at(other, "`#[state]` takes its options in parentheses; write `#[state(default)]`")
            }
        }
    }
    tokens
}

/// The words of `#[serde(…)]` that stand for themselves, with the token that spells each.
fn serde_words(attributes: &[Attribute]) -> Vec<Ident> {
    let mut words = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let Meta::List(list) = &attribute.meta else { continue };
        let mut first = true;
        for token in list.tokens.clone() {
            match token {
                TokenTree::Ident(ident) if first => {
                    words.push(ident);
                    first = false;
                }
                TokenTree::Punct(punct) => first = punct.as_char() == ',',
                _ => first = false,
            }
        }
    }
    words
}

fn serde_of_field(field: &Field, name: &Ident, has_default: bool, report: &mut Report) {
    for word in serde_words(&field.attrs) {
        let text = word.to_string();
        let why = match text.as_str() {
            "rename" | "alias" => {
                "a field's name is its name in the input and in updates; rename the field itself".to_owned()
            }
            "flatten" => {
                "each field of a state is one entry of the input and of updates; write the inner fields out".to_owned()
            }
            "skip" | "skip_serializing" | "skip_deserializing" | "skip_serializing_if" => {
                "each field of a state is part of the input and of updates; keep it in the workflow's struct instead"
                    .to_owned()
            }
            "with" | "serialize_with" | "deserialize_with" => {
                "the input and updates are read and written by the field's type; wrap it in a newtype".to_owned()
            }
            "default" if !has_default => {
                "the input is read field by field; write `#[state(default)]`, so that the schema says it too".to_owned()
            }
            _ => continue,
        };
        report.at(
            &word,
            format!("`#[serde({text})]` on field `{name}` of a state has no effect on its input: {why}"),
        );
    }
}

fn serde_of_struct(attributes: &[Attribute], report: &mut Report) {
    for word in serde_words(attributes) {
        let text = word.to_string();
        if [
            "rename_all",
            "rename_all_fields",
            "transparent",
            "tag",
            "untagged",
            "content",
            "from",
            "try_from",
            "into",
            "remote",
        ]
        .contains(&text.as_str())
        {
            report.at(
                &word,
                format!("`#[serde({text})]` on a state has no effect on its input: a field's name is its name in the input and in updates"),
            );
        }
    }
}

/// The doc comment, as the text of the schema.
fn doc(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    let text = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
    (!text.is_empty()).then_some(text)
}
