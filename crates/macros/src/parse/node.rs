//! A node: `#[node(…)]`, its stream attributes and its method.

use proc_macro2::TokenStream;
use syn::{Expr, ExprCall, ExprLit, Ident, Lit, LitStr, ext::IdentExt, parse::Parser};

use super::{
    args::{self, Arg, Owner, text},
    attribute::{Attribute, Ours},
    item::Item,
    signature, stream,
    value::{self, Zero},
    ways,
};
use crate::{
    model::{After, Kind, Node, NodeName, NodeOptions, Retry, RetryOn, Routes},
    report::Report,
};

const KINDS: &[(&str, Kind)] = &[
    ("standard", Kind::Standard),
    ("llm", Kind::Llm),
    ("tool", Kind::Tool),
    ("task", Kind::Task),
    ("condition", Kind::Condition),
    ("aggregator", Kind::Aggregator),
    ("stream", Kind::Stream),
    ("subgraph", Kind::Subgraph),
];

/// The longest name of a node or a workflow, in characters.
const NAME_MAX: usize = 64;

/// Reads a node; `None` if too much is wrong for the graph to be checked with it.
pub(crate) fn parse(item: &Item, report: &mut Report) -> Option<Node> {
    let mut ours: Vec<(Ours, Attribute)> = Vec::new();
    for attribute in &item.attributes {
        let Some(which) = attribute.ours() else { continue };
        if ours.iter().any(|(other, _)| *other == which) {
            let message = format!("{} stands here twice; merge the options of both into one", which.title());
            report.at(&attribute.path, message);
            continue;
        }
        ours.push((which, attribute.clone()));
    }
    let Some((_, node)) = ours.iter().find(|(which, _)| *which == Ours::Node) else {
        for (which, attribute) in &ours {
            let message = format!("{} needs `#[node]` on the same method: only nodes stream", which.title());
            report.at(&attribute.path, message);
        }
        return None;
    };
    let before = report.len();
    let arguments = node.arguments(report);
    let mut options = parse_options(arguments, report);
    options.broken |= report.len() > before;
    let streams = stream::parse(&ours, report);
    let each = options.names("each");
    let (method, signature) = signature::parse(&item.rest, each, report)?;
    let name = match &options.name {
        Some(literal) => NodeName { text: literal.value(), span: literal.span() },
        None => NodeName { text: method.unraw().to_string(), span: method.span() },
    };
    if options.name.is_none()
        && let Err(error) = check_name(&name.text, "node", &method)
    {
        report.push(error);
    }
    let stream::Streams { token, event, progress } = streams;
    let ways = ways::read(&item.rest);
    Some(Node { method, name, options, signature, ways, token, event, progress })
}

fn parse_options(tokens: TokenStream, report: &mut Report) -> NodeOptions {
    let mut node = NodeOptions::default();
    let title = Ours::Node.title();
    let owner = Owner { title: &title, options: Ours::Node.table().options };
    let mut said = Vec::new();
    let before = report.len();
    args::read(tokens, owner, report, |arg, report| {
        said.push(arg.option.name);
        match arg.option.name {
            "kind" => node.kind = Some((arg.choice(KINDS)?, arg.name.span())),
            "start" => node.start = arg.flag()?.then(|| arg.name.span()),
            "after" => node.after = Some(after(&arg, report)?),
            "routes" => node.routes = Some(routes(&arg, report)?),
            "retry" => node.retry = Some(retry(&arg, report)?),
            "timeout" => node.timeout = Some(arg.duration(Zero::Refused)?),
            "each" => node.each = Some(field(&arg, "lists the items")?),
            "concurrency" => {
                let count = usize::try_from(arg.count(1, u32::MAX.into())?).unwrap_or(usize::MAX);
                node.concurrency = Some((count, arg.name.span()));
            }
            "workflow" => node.workflow = Some((arg.parsed("type")?, arg.name.span())),
            "gather" => node.gather = Some(field(&arg, "takes the whole text, or the values of all items")?),
            "name" => node.name = Some(name(&arg, "node")?),
            "description" => node.description = Some(arg.string()?),
            "tags" => node.tags = tags(&arg, report)?,
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    node.said = said;
    node.broken = report.len() > before;
    node
}

/// `after = "a"`, `after("a", "b")` or `after(any("a", "b"))`.
fn after(arg: &Arg<'_>, report: &mut Report) -> syn::Result<After> {
    let span = arg.name.span();
    if !arg.is_list() {
        return Ok(After { span, nodes: vec![arg.string()?], any: false });
    }
    let mut after = After { span, nodes: Vec::new(), any: false };
    let mut items = value::expressions(arg.list()?, arg, report);
    if let [Expr::Call(call)] = items.as_slice()
        && is_any(call)
    {
        after.any = true;
        items = call.args.iter().cloned().map(args::ungroup).collect();
    }
    if items.is_empty() && after.any {
        report.at(&arg.name, "`any()` lists nothing; write `after(any(\"a\", \"b\"))`");
    }
    for item in items {
        match item {
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => {
                if after.nodes.iter().any(|other| other.value() == literal.value()) {
                    let text = text(&literal);
                    report.at(&literal, format!("`{text}` is listed twice in `after(…)`; keep one of them"));
                }
                after.nodes.push(literal);
            }
            Expr::Call(call) if is_any(&call) => {
                let message = "`any(…)` stands alone in `after(…)`: a node waits for all that it lists, or for the first";
                report.at(call, message);
            }
            Expr::Path(path) => {
                let name = text(&path);
                report.at(path, format!("`{name}` in `after(…)` has no quotes; write `\"{name}\"`"));
            }
            other => {
                let message = format!(
                    "`{}` is no node; write `after(\"a\", \"b\")` to wait for all, or `after(any(\"a\", \"b\"))` for the first",
                    text(&other)
                );
                report.at(other, message);
            }
        }
    }
    Ok(after)
}

fn is_any(call: &ExprCall) -> bool {
    matches!(&*call.func, Expr::Path(path) if path.path.is_ident("any"))
}

fn retry(arg: &Arg<'_>, report: &mut Report) -> syn::Result<Retry> {
    let mut retry = Retry::default();
    args::read(arg.list()?, arg.group("`retry(…)`"), report, |arg, report| {
        match arg.option.name {
            "attempts" => {
                retry.attempts = Some(arg.count(2, u32::MAX.into())?.try_into().unwrap_or(u32::MAX));
            }
            "backoff" => retry.backoff = Some(arg.duration(Zero::Allowed)?),
            "max_backoff" => retry.max_backoff = Some(arg.duration(Zero::Allowed)?),
            "jitter" => retry.jitter = Some(arg.share()?),
            "on" => retry.on = Some(retry_on(&arg, report)?),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    if let (Some(first), Some(longest)) = (retry.backoff, retry.max_backoff)
        && longest < first
    {
        let message = format!(
            "`max_backoff` is {longest:?} and `backoff` is {first:?}; the longest wait is no shorter than the first"
        );
        report.at(&arg.name, message);
    }
    Ok(retry)
}

fn retry_on(arg: &Arg<'_>, report: &mut Report) -> syn::Result<Vec<RetryOn>> {
    let mut on = Vec::new();
    for item in value::expressions(arg.list()?, arg, report) {
        match item {
            Expr::Lit(ExprLit { lit: Lit::Str(code), .. }) => on.push(RetryOn::Code(code)),
            Expr::Path(path) if path.path.is_ident("retryable") => on.push(RetryOn::Retryable),
            other => {
                let message = format!(
                    "`{}` is no failure; write a code in quotes, as in `\"node_timeout\"`, or `retryable`",
                    text(&other)
                );
                report.at(other, message);
            }
        }
    }
    Ok(on)
}

fn routes(arg: &Arg<'_>, report: &mut Report) -> syn::Result<Routes> {
    let mut routes = Routes { span: arg.name.span(), targets: Vec::new(), end: false };
    for item in value::expressions(arg.list()?, arg, report) {
        let twice = match &item {
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => {
                let known = routes.targets.iter().any(|other| other.value() == literal.value());
                routes.targets.push(literal.clone());
                known
            }
            Expr::Path(path) if path.path.is_ident("end") => std::mem::replace(&mut routes.end, true),
            Expr::Path(path) => {
                let name = text(path);
                report.at(path, format!("`{name}` in `routes(…)` has no quotes; write `\"{name}\"`, or `end` to end the workflow"));
                false
            }
            other => {
                let message = format!("`{}` is no route; write `{}`", text(other), arg.option.example);
                report.at(other, message);
                false
            }
        };
        if twice {
            report.at(&item, format!("`{}` is listed twice in `routes(…)`; keep one of them", text(&item)));
        }
    }
    Ok(routes)
}

/// The name of a field of the state that does `what`.
fn field(arg: &Arg<'_>, what: &str) -> syn::Result<LitStr> {
    let literal = arg.string()?;
    if Ident::parse_any.parse_str(&literal.value()).is_ok() {
        return Ok(literal);
    }
    let message =
        format!("`{} = {}` is no field; name the field of the state that {what}", arg.name, text(&literal));
    Err(syn::Error::new_spanned(literal, message))
}

/// The name of a node or a workflow.
pub(crate) fn name(arg: &Arg<'_>, what: &str) -> syn::Result<LitStr> {
    let literal = arg.string()?;
    check_name(&literal.value(), what, &literal)?;
    Ok(literal)
}

/// Holds the rule of `NodeName` and `WorkflowName` at compile time.
pub(crate) fn check_name(name: &str, what: &str, at: &dyn quote::ToTokens) -> syn::Result<()> {
    let rule = format!("a {what}'s name has 1 to {NAME_MAX} characters of a-z A-Z 0-9 - _");
    let length = name.chars().count();
    if length > NAME_MAX {
        return Err(syn::Error::new_spanned(at, format!("`{name}` has {length} characters; {rule}")));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(c) => Err(syn::Error::new_spanned(at, format!("`{name}` holds `{}`; {rule}", c.escape_debug()))),
        None => Ok(()),
    }
}

fn tags(arg: &Arg<'_>, report: &mut Report) -> syn::Result<Vec<LitStr>> {
    let tags = value::strings(arg.list()?, arg, report);
    for (index, tag) in tags.iter().enumerate() {
        let value = tag.value();
        if value.trim().is_empty() {
            report.at(tag, format!("a tag is empty; write `{}`", arg.option.example));
        } else if tags.iter().take(index).any(|other| other.value() == value) {
            report.at(tag, format!("tag `{value}` is listed twice; keep one of them"));
        }
    }
    Ok(tags)
}
