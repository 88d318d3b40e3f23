//! The signature of a `#[node]` method.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    FnArg, GenericParam, ReceiverKind, ReturnType, Signature, Type, Visibility,
    parse::{ParseStream, Parser},
    spanned::Spanned,
};

use super::{args::text, item::first_ident};
use crate::{
    model::{NodeSignature, Output},
    report::Report,
};

/// Reads the signature in `rest`, and looks no further than its body's brace.
///
/// A method of a node with `each` takes an item behind the state.
pub(crate) fn parse(rest: &TokenStream, each: bool, report: &mut Report) -> Option<(Ident, NodeSignature)> {
    let is_fn = |token: TokenTree| matches!(token, TokenTree::Ident(ident) if ident == "fn");
    if !rest.clone().into_iter().any(is_fn) {
        let message =
            "`#[node]` belongs on a method: `async fn name(&self, state: &State) -> NodeResult<Update>`";
        match first_ident(rest) {
            Some(first) => report.at(first, message),
            None => report.at(rest, message),
        }
        return None;
    }
    let parser = |input: ParseStream<'_>| {
        input.parse::<Visibility>()?;
        let signature: Signature = input.parse()?;
        input.parse::<TokenStream>()?;
        Ok(signature)
    };
    let signature = report.keep(parser.parse2(rest.clone()))?;
    let node = check(&signature, each, report)?;
    Some((signature.ident, node))
}

fn check(signature: &Signature, each: bool, report: &mut Report) -> Option<NodeSignature> {
    let name = &signature.ident;
    let mut whole = true;
    let mut wrong = |tokens: &dyn ToTokens, message: String| {
        report.at(tokens, message);
        whole = false;
    };
    if let Some(token) = &signature.constness {
        wrong(
            token,
            format!("`#[node]` method `{name}` is `const`; a node runs when its workflow does, drop it"),
        );
    }
    if let syn::Safety::Unsafe(token) = &signature.safety {
        wrong(
            token,
            format!("`#[node]` method `{name}` is `unsafe`; generated code calls it and vouches for nothing"),
        );
    }
    if let Some(abi) = &signature.abi {
        wrong(abi, format!("`#[node]` method `{name}` is `extern`; only Rust calls a node, drop it"));
    }
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            let text = text(parameter);
            wrong(
                parameter,
                format!(
                    "`#[node]` method `{name}` is generic over `{text}`; a node is one function, put the parameter on the `impl` block"
                ),
            );
        }
    }
    let mut inputs = signature.inputs.iter();
    match inputs.next() {
        Some(FnArg::Receiver(receiver))
            if matches!(receiver.kind, ReceiverKind::Reference(..)) && !is_mutable(receiver) => {}
        other => {
            let message = "`#[node]` methods take `&self`: one workflow value serves all executions, \
                           keep per-execution data in the state";
            match other {
                Some(FnArg::Receiver(receiver)) => wrong(receiver, message.into()),
                Some(FnArg::Typed(_)) | None => wrong(name, message.into()),
            }
            if !matches!(other, Some(FnArg::Receiver(_))) {
                inputs = signature.inputs.iter();
            }
        }
    }
    let state = match inputs.next() {
        None => {
            wrong(
                name,
                format!("`#[node]` method `{name}` takes no state; write `fn {name}(&self, state: &State)`"),
            );
            None
        }
        Some(input) => reference(input).map(|ty| (input, ty)).or_else(|| {
            let message =
                "the state comes as `&State`: a node reads it and returns what it changes as an update";
            wrong(ty_of(input), message.into());
            None
        }),
    };
    if let Some((input, ty)) = state
        && is_context(ty)
    {
        wrong(
            ty_of(input),
            "the state comes first and then the context: `&self, state: &State, ctx: &NodeContext`".into(),
        );
    }
    let item = if each { inputs.next() } else { None };
    if each && item.and_then(reference).is_none_or(is_context) {
        let message = format!(
            "`#[node]` method `{name}` has `each` and takes no item; write `fn {name}(&self, state: &State, item: &Item)`, and \
             `ctx: &NodeContext` behind that if it wants"
        );
        match item {
            Some(item) => wrong(ty_of(item), message),
            None => wrong(name, message),
        }
    }
    let context = inputs.next();
    if let Some(input) = context
        && reference(input).is_none()
    {
        wrong(ty_of(input), "the context comes as `&NodeContext`".into());
    }
    if let Some(extra) = inputs.next() {
        let most = if each {
            "`&State`, the item and at most `&NodeContext`"
        } else {
            "`&State` and at most `&NodeContext`"
        };
        wrong(
            extra,
            format!("`{}` is one parameter too many; `#[node]` methods take `&self`, {most}", text(extra)),
        );
    }
    for input in &signature.inputs {
        let attributes = match input {
            FnArg::Receiver(receiver) => &receiver.attrs,
            FnArg::Typed(typed) => &typed.attrs,
        };
        let conditional = |a: &&syn::Attribute| a.path().is_ident("cfg") || a.path().is_ident("cfg_attr");
        if let Some(attribute) = attributes.iter().find(conditional) {
            wrong(
                attribute,
                format!("`#[cfg]` on a parameter of a node is not read; put it on the method `{name}`"),
            );
        }
    }
    let ReturnType::Type(_, output) = &signature.output else {
        wrong(
            name,
            format!(
                "`#[node]` method `{name}` returns nothing; return `NodeResult<Update>`, `NodeResult<Goto<Update>>` or a `Stream` of tokens"
            ),
        );
        return None;
    };
    if !whole {
        return None;
    }
    Some(NodeSignature {
        is_async: signature.asyncness.is_some(),
        state: ty_of(state?.0).span(),
        item: item.map(|input| ty_of(input).span()),
        context: context.map(|input| ty_of(input).span()),
        output: classify(output),
        span: output.span(),
    })
}

fn is_mutable(receiver: &syn::Receiver) -> bool {
    receiver
        .to_token_stream()
        .into_iter()
        .any(|token| matches!(token, TokenTree::Ident(ident) if ident == "mut"))
}

fn ty_of(input: &FnArg) -> &dyn ToTokens {
    match input {
        FnArg::Receiver(receiver) => receiver,
        FnArg::Typed(typed) => &*typed.ty,
    }
}

/// What a shared reference refers to.
fn reference(input: &FnArg) -> Option<&Type> {
    let FnArg::Typed(typed) = input else { return None };
    match ungroup(&typed.ty) {
        Type::Reference(reference) if reference.mutability.is_none() => Some(ungroup(&reference.elem)),
        _ => None,
    }
}

/// A type that came through a `macro_rules` fragment stands in invisible brackets.
fn ungroup(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungroup(&group.elem),
        Type::Paren(paren) => ungroup(&paren.elem),
        other => other,
    }
}

fn last_segment(ty: &Type) -> Option<&Ident> {
    match ungroup(ty) {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

fn is_context(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|name| name == "NodeContext")
}

/// What a method returns, as far as its spelling tells; the rest is for the traits to say.
fn classify(output: &Type) -> Output {
    let names = |wanted: &[&str]| mentions(output.to_token_stream(), wanted);
    if names(&["Stream", "BoxStream"]) {
        return Output::Stream { fallible: is_result(output) };
    }
    Output::Outcome { goto: names(&["Goto"]), fallible: is_result(output) }
}

fn is_result(output: &Type) -> bool {
    last_segment(output).is_some_and(|name| name == "Result" || name == "NodeResult")
}

fn mentions(tokens: TokenStream, wanted: &[&str]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => wanted.iter().any(|wanted| ident == wanted),
        TokenTree::Group(group) => mentions(group.stream(), wanted),
        _ => false,
    })
}
