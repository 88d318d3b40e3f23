//! `#[module(…)]` and the struct it stands on.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Expr, ItemStruct, LitStr, Path, Token, Type,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    token::Paren,
};

use super::{
    args::{self, Arg, Owner, text},
    workflow::ModPath,
};
use crate::{
    model::{Export, Module, Provider, Source},
    options,
    report::Report,
    suggest,
};

const OWNER: Owner<'static> = Owner { title: "`#[module]`", options: options::MODULE.options };

/// The forms of an entry of `providers(…)` that are no type, each with how it is written.
const FORMS: &[(&str, &str)] = &[
    ("value", "value(Settings::default())"),
    ("shared", "shared(pool.clone())"),
    ("factory", "factory(|settings: Arc<Settings>| Cache::new(&settings))"),
    ("try_factory", "try_factory(|settings: Arc<Settings>| Cache::open(&settings))"),
    (
        "async_factory",
        "async_factory(|settings: Arc<Settings>| async move { Pool::connect(&settings).await })",
    ),
    ("provider", "provider(Provider::factory(Notes::new).scope(ProviderScope::Execution))"),
    ("named", "named(\"fast\", OfflineModel as dyn ChatModel)"),
];

/// What `#[module(…)]` says, and where the facade is.
pub(crate) struct Arguments {
    pub(crate) facade: Option<Path>,
    imports: Vec<Expr>,
    providers: Vec<Provider>,
    exports: Vec<Export>,
    workflows: Vec<Type>,
    global: bool,
}

/// Reads the options.
pub(crate) fn arguments(tokens: TokenStream, report: &mut Report) -> Arguments {
    let mut said = Arguments {
        facade: None,
        imports: Vec::new(),
        providers: Vec::new(),
        exports: Vec::new(),
        workflows: Vec::new(),
        global: false,
    };
    args::read(tokens, OWNER, report, |arg, report| {
        match arg.option.name {
            "imports" => said.imports = entries(&arg, report, Expr::parse)?,
            "providers" => said.providers = entries(&arg, report, provider)?,
            "exports" => said.exports = entries(&arg, report, export)?,
            "workflows" => said.workflows = entries(&arg, report, Type::parse)?,
            "global" => said.global = arg.flag()?,
            "crate" => said.facade = Some(arg.parsed::<ModPath>("path")?.0),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    said
}

/// The module that the struct and its attribute say; `None` if it stands on something else.
pub(crate) fn parse(arguments: Arguments, item: &TokenStream, report: &mut Report) -> Option<Module> {
    let on_a_struct = "`#[module]` belongs on a struct without fields, as in `struct AppModule;`";
    let Ok(item) = syn::parse2::<ItemStruct>(item.clone()) else {
        let first = item.clone().into_iter().find(|token| !is_prefix(token));
        report.span(first.map_or_else(proc_macro2::Span::call_site, |token| token.span()), on_a_struct);
        return None;
    };
    if let Some(field) = item.fields.iter().next() {
        let what = field.ident.as_ref().map_or_else(|| text(&field.ty), Ident::to_string);
        let message = format!("{on_a_struct}; a module holds no `{what}` of its own, put it into a provider");
        report.at(field, message);
        return None;
    }
    if !item.generics.params.is_empty() {
        let message = format!(
            "module `{}` is generic over `{}`; there is one of a module, let a function return what differs",
            item.ident,
            text(&item.generics.params)
        );
        report.at(&item.generics.params, message);
        return None;
    }
    let Arguments { imports, providers, exports, workflows, global, .. } = arguments;
    Some(Module { name: item.ident, imports, providers, exports, workflows, global })
}

/// What may stand before the keyword of an item.
fn is_prefix(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(ident) => ident == "pub",
        TokenTree::Punct(punct) => punct.as_char() == '#',
        TokenTree::Group(_) => true,
        TokenTree::Literal(_) => false,
    }
}

/// The entries of a list. A mistake in one is reported and reading goes on behind the next comma.
fn entries<T>(
    arg: &Arg<'_>,
    report: &mut Report,
    read: impl Fn(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<Vec<T>> {
    let tokens = arg.list()?;
    if tokens.is_empty() {
        let message =
            format!("`{}()` lists nothing; write `{}`, or leave it out", arg.name, arg.option.example);
        return Err(syn::Error::new_spanned(&arg.name, message));
    }
    let mut found = Vec::new();
    let mut parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            match read(input).and_then(|entry| end_of(input).map(|()| entry)) {
                Ok(entry) => found.push(entry),
                Err(error) => {
                    report.push(error);
                    skip(input);
                }
            }
            let _: Option<Token![,]> = input.parse().unwrap_or(None);
        }
        Ok(())
    };
    Parser::parse2(&mut parser, tokens)?;
    Ok(found)
}

fn end_of(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    let token: TokenTree = input.parse()?;
    Err(syn::Error::new(
        token.span(),
        format!("`{token}` stands behind an entry without a comma; separate entries by `,`"),
    ))
}

fn skip(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

/// The word before a parenthesis, if the entry begins so.
fn form(input: ParseStream<'_>) -> Option<Ident> {
    let ahead = input.fork();
    let word = Ident::parse_any(&ahead).ok()?;
    ahead.peek(Paren).then_some(word)
}

fn provider(input: ParseStream<'_>) -> syn::Result<Provider> {
    let Some(word) = form(input) else {
        let source = Source::Type(Box::new(a_type(input, "providers")?));
        return Ok(Provider { source, bindings: bindings(input)?, name: None });
    };
    let name = word.unraw().to_string();
    let Some((_, example)) = FORMS.iter().find(|(form, _)| *form == name) else {
        let forms = || FORMS.iter().map(|(form, _)| *form);
        let hint = suggest::hint(&name, forms());
        let message =
            format!("`{name}(…)` is no form of a provider{hint} forms: a type, {}", suggest::list(forms()));
        return Err(syn::Error::new_spanned(word, message));
    };
    if name == "named" {
        let (label, mut inner) = group(input, &word, example, |content| {
            let label = label(content, &word, example)?;
            Ok((label, provider(content)?))
        })?;
        if let Some(second) = &inner.name {
            let message = format!("`{}` is a second name of one provider; keep one of them", second.value());
            return Err(syn::Error::new_spanned(second, message));
        }
        inner.bindings.extend(bindings(input)?);
        inner.name = Some(label);
        return Ok(inner);
    }
    let value = group(input, &word, example, Expr::parse)?;
    let source = match name.as_str() {
        "provider" => Source::Provider(value),
        _ => Source::Constructor(word, value),
    };
    Ok(Provider { source, bindings: bindings(input)?, name: None })
}

/// What stands in `word(…)`, which is one thing.
fn group<T>(
    input: ParseStream<'_>,
    word: &Ident,
    example: &str,
    read: impl FnOnce(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<T> {
    Ident::parse_any(input)?;
    let content;
    syn::parenthesized!(content in input);
    if content.is_empty() {
        return Err(syn::Error::new_spanned(word, format!("`{word}()` is empty; write `{example}`")));
    }
    let found = read(&content).and_then(|found| end_of_group(&content, example).map(|()| found));
    // One mistake is told once: the parser would name what is left over as well.
    content.parse::<TokenStream>()?;
    found
}

/// The name that stands first in `named("…", …)`.
fn label(content: ParseStream<'_>, word: &Ident, example: &str) -> syn::Result<LitStr> {
    let Ok(label) = content.parse::<LitStr>() else {
        let message = format!("`{word}(…)` begins with a name in quotes; write `{example}`");
        return Err(syn::Error::new(content.span(), message));
    };
    if label.value().trim().is_empty() {
        return Err(syn::Error::new_spanned(&label, format!("the name is empty; write `{example}`")));
    }
    if content.parse::<Token![,]>().is_err() || content.is_empty() {
        let message = format!("`{word}({})` names nothing; write `{example}`", text(&label));
        return Err(syn::Error::new_spanned(&label, message));
    }
    Ok(label)
}

fn end_of_group(content: ParseStream<'_>, example: &str) -> syn::Result<()> {
    let _: Option<Token![,]> = content.parse()?;
    if content.is_empty() {
        return Ok(());
    }
    let token: TokenTree = content.parse()?;
    Err(syn::Error::new(token.span(), format!("`{token}` is more than one thing; write `{example}`")))
}

/// `as dyn A as dyn B`.
fn bindings(input: ParseStream<'_>) -> syn::Result<Vec<Type>> {
    let mut bindings = Vec::new();
    while input.peek(Token![as]) {
        let before: Token![as] = input.parse()?;
        if input.is_empty() || input.peek(Token![,]) {
            let message = "`as` is followed by nothing; write `as dyn Trait`";
            return Err(syn::Error::new_spanned(before, message));
        }
        let binding = a_type(input, "providers")?;
        if let Type::Path(path) = &binding {
            let spelt = text(path);
            let message = format!("`as {spelt}` names no trait object; write `as dyn {spelt}`");
            return Err(syn::Error::new_spanned(path, message));
        }
        bindings.push(binding);
    }
    Ok(bindings)
}

fn a_type(input: ParseStream<'_>, list: &str) -> syn::Result<Type> {
    let ahead = input.fork();
    if ahead.parse::<Type>().is_ok() {
        return input.parse();
    }
    let wrong: TokenTree = input.parse()?;
    let message = match &wrong {
        TokenTree::Literal(literal) => {
            format!("`{literal}` is a value; write `value({literal})`, or name a type")
        }
        wrong => format!("`{wrong}` is no type; `{list}(…)` lists types, each by its name"),
    };
    Err(syn::Error::new_spanned(wrong, message))
}

fn export(input: ParseStream<'_>) -> syn::Result<Export> {
    let Some(word) = form(input) else {
        let ty = a_type(input, "exports")?;
        if input.peek(Token![as]) {
            let before: Token![as] = input.parse()?;
            let message =
                "an export is found by one type; export the trait alone, as in `exports(dyn ChatModel)`";
            return Err(syn::Error::new_spanned(before, message));
        }
        return Ok(Export::Type(Box::new(ty), None));
    };
    let name = word.unraw().to_string();
    let example = match name.as_str() {
        "named" => "named(\"fast\", dyn ChatModel)",
        "module" => "module(my_module)",
        _ => {
            let hint = suggest::hint(&name, ["named", "module"]);
            let message = format!("`{name}(…)` is no form of an export{hint} forms: a type, named, module");
            return Err(syn::Error::new_spanned(word, message));
        }
    };
    group(input, &word, example, |content| match name.as_str() {
        "named" => {
            let label = label(content, &word, example)?;
            Ok(Export::Type(Box::new(a_type(content, "exports")?), Some(label)))
        }
        _ => content.parse().map(Export::Module),
    })
}
