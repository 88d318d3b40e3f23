//! `#[workflow(…)]` and the `impl` block it stands on.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Ident, ItemImpl, LitStr, Path, Type,
    parse::{Parse, ParseStream},
    spanned::Spanned,
};

use super::{
    args::{self, Owner},
    item::Block,
    node,
    value::Zero,
};
use crate::{
    model::{OnDisconnect, Workflow},
    options,
    report::Report,
};

const OWNER: Owner<'static> = Owner { title: "`#[workflow]`", options: options::WORKFLOW.options };
const ON_DISCONNECT: &[(&str, OnDisconnect)] =
    &[("continue", OnDisconnect::Continue), ("cancel", OnDisconnect::Cancel)];

/// A path such as `crate::deps::streamnest`.
pub(crate) struct ModPath(pub(crate) Path);

impl Parse for ModPath {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Path::parse_mod_style(input).map(Self)
    }
}

/// What `#[workflow(…)]` says.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) facade: Option<Path>,
    pub(crate) state: Option<Type>,
    name: Option<LitStr>,
    description: Option<LitStr>,
    streaming: Option<bool>,
    max_steps: Option<u32>,
    timeout: Option<std::time::Duration>,
    on_disconnect: Option<OnDisconnect>,
    values: Option<bool>,
}

/// Reads the options.
pub(crate) fn arguments(tokens: TokenStream, report: &mut Report) -> Arguments {
    let mut options = Arguments::default();
    let mut named = Vec::new();
    args::read(tokens, OWNER, report, |arg, _| {
        named.push(arg.option.name);
        match arg.option.name {
            "name" => options.name = Some(node::name(&arg, "workflow")?),
            "state" => options.state = Some(arg.parsed("type")?),
            "description" => options.description = Some(arg.string()?),
            "streaming" => options.streaming = Some(arg.flag()?),
            "max_steps" => {
                options.max_steps = Some(arg.count(1, u32::MAX.into())?.try_into().unwrap_or(u32::MAX));
            }
            "timeout" => options.timeout = Some(arg.duration(Zero::Refused)?),
            "on_disconnect" => options.on_disconnect = Some(arg.choice(ON_DISCONNECT)?),
            "values" => options.values = Some(arg.flag()?),
            "crate" => options.facade = Some(arg.parsed::<ModPath>("path")?.0),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    if !named.contains(&"state") {
        let message = "`#[workflow]` needs `state = Type`: the struct that derives `State` and holds what its nodes share";
        report.span(proc_macro2::Span::call_site(), message);
    }
    options
}

/// The head of the block.
pub(crate) fn head(block: &Block, report: &mut Report) -> Option<ItemImpl> {
    let head = &block.head;
    let item: ItemImpl = report.keep(syn::parse2(quote!(#head {})))?;
    if let Some((path, _)) = &item.trait_ {
        let message = format!(
            "`#[workflow]` belongs on an inherent `impl` block; write `impl {}` without the trait `{}`",
            args::text(&item.self_ty),
            args::text(path)
        );
        report.at(path, message);
        return None;
    }
    Some(item)
}

/// The workflow that the block and its attribute say; `None` if too much is missing.
pub(crate) fn parse(
    arguments: Arguments,
    head: ItemImpl,
    block: &Block,
    report: &mut Report,
) -> Option<Workflow> {
    let mut nodes = Vec::new();
    let mut complete = true;
    for item in block.items.iter().filter(|item| item.mentions_ours()) {
        match node::parse(item, report) {
            Some(node) => nodes.push(node),
            None => complete = false,
        }
    }
    if nodes.is_empty() && complete {
        let message = format!(
            "`#[workflow]` of `{}` holds no node; mark its methods with `#[node]`, one of them with `#[node(start)]`",
            args::text(&head.self_ty)
        );
        report.at(&head.self_ty, message);
    }
    let name = match &arguments.name {
        Some(name) => name.value(),
        None => {
            let name = default_name(&head.self_ty);
            if let Err(error) = node::check_name(&name, "workflow", &head.self_ty) {
                report.push(error);
            }
            name
        }
    };
    let Arguments { state, description, streaming, max_steps, timeout, on_disconnect, values, .. } =
        arguments;
    let workflow = Workflow {
        name,
        state: state?,
        description,
        streaming,
        max_steps,
        timeout,
        on_disconnect,
        values,
        generics: head.generics,
        self_type: *head.self_ty,
        nodes,
    };
    complete.then_some(workflow)
}

/// `content-writer` of `ContentWriter<M>`.
fn default_name(ty: &Type) -> String {
    let last = match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.clone()),
        _ => None,
    };
    let last = last.unwrap_or_else(|| Ident::new("workflow", ty.span()));
    let mut name = String::new();
    let text = syn::ext::IdentExt::unraw(&last).to_token_stream().to_string();
    let mut before = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        // A word begins at a capital after a small letter, and at the last capital of a row: `HTTPCall` is `http-call`.
        let after_small = before.is_some_and(|before: char| !before.is_uppercase() && before != '_');
        let before_small =
            before.is_some_and(char::is_uppercase) && letters.peek().is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_small || before_small) {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
        before = Some(letter);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_without_a_name_is_called_after_its_type() {
        for (ty, name) in [
            ("ContentWriter", "content-writer"),
            ("crate::flows::DraftReply<M>", "draft-reply"),
            ("HTTPCall", "http-call"),
            ("Rag2", "rag2"),
            ("r#Match", "match"),
        ] {
            assert_eq!(default_name(&syn::parse_str(ty).unwrap()), name);
        }
    }
}
