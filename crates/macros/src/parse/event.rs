//! `#[stream_event(…)]`.

use proc_macro2::TokenStream;
use syn::{Expr, ExprLit, Lit};

use super::{
    args::{self, Arg, Owner, text},
    token::size,
    value,
};
use crate::{
    model::{EventFilter, EventOptions, EventType},
    report::Report,
    suggest,
};

/// The well-known types that a node can say. Those of the workflow itself (`status`, `workflow_start`,
/// `workflow_end`, `workflow_error`) are not among them: naming one on a node would do nothing.
const OF_NODES: &[&str] = &[
    "token",
    "progress",
    "values",
    "updates",
    "events",
    "node_start",
    "node_complete",
    "node_error",
    "node_retry",
    "node_cancelled",
    "item_start",
    "item_complete",
    "tool_start",
    "tool_complete",
    "llm_start",
    "llm_complete",
    "error",
    "warning",
    "debug",
    "messages",
    "milestone",
    "final",
    "custom",
];
const OF_WORKFLOWS: &[&str] = &["status", "workflow_start", "workflow_end", "workflow_error"];
/// What is written whatever the node's attributes choose.
const OF_QUESTIONS: &[&str] = &["approval", "approval_answer"];

/// The longest name of an event type, in characters.
const NAME_MAX: usize = 64;

const PRIORITIES: &[(&str, &str)] = &[("low", "Low"), ("medium", "Medium"), ("high", "High")];
const DELIVERIES: &[(&str, &str)] =
    &[("at-most-once", "AtMostOnce"), ("at-least-once", "AtLeastOnce"), ("exactly-once", "ExactlyOnce")];

pub(crate) fn parse(tokens: TokenStream, owner: Owner<'_>, report: &mut Report) -> EventOptions {
    let mut options = EventOptions::default();
    args::read(tokens, owner, report, |arg, report| {
        match arg.option.name {
            "events" => options.events = Some(types(&arg, report)?),
            "enabled" => options.enabled = Some(arg.flag()?),
            "buffer_size" => options.buffer_size = Some(size(&arg)?),
            "batch_size" => options.batch_size = Some(size(&arg)?),
            "transformer" => options.transformer = Some(arg.function("fn(Event) -> Event")?),
            "filter" => options.filter = Some(filter(&arg, report)?),
            "delivery" => options.delivery = Some(arg.choice(DELIVERIES)?),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    options
}

fn filter(arg: &Arg<'_>, report: &mut Report) -> syn::Result<EventFilter> {
    let mut filter = EventFilter::default();
    let mut excluded = None;
    args::read(arg.list()?, arg.group("`filter(…)`"), report, |arg, report| {
        match arg.option.name {
            "event_types" => filter.event_types = Some(types(&arg, report)?),
            "exclude_types" => {
                filter.exclude_types = Some(types(&arg, report)?);
                excluded = Some(arg.name);
            }
            "min_priority" => filter.min_priority = Some(arg.choice(PRIORITIES)?),
            "include_debug" => filter.include_debug = Some(arg.flag()?),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    if let (Some(only), Some(without), Some(name)) = (&filter.event_types, &filter.exclude_types, excluded)
        && let Some(both) = without.iter().find(|event| only.contains(event))
    {
        let message = format!(
            "`{}` stands in `event_types(…)` and in `exclude_types(…)`; keep it in one of them",
            both.name
        );
        report.at(name, message);
    }
    Ok(filter)
}

fn types(arg: &Arg<'_>, report: &mut Report) -> syn::Result<Vec<EventType>> {
    let mut found: Vec<EventType> = Vec::new();
    for item in value::expressions(arg.list()?, arg, report) {
        let Some(event) = report.keep(event_type(&item)) else { continue };
        if found.contains(&event) {
            let message = format!("`{}` is listed twice in `{}(…)`; keep one of them", event.name, arg.name);
            report.at(item, message);
            continue;
        }
        found.push(event);
    }
    Ok(found)
}

fn event_type(item: &Expr) -> syn::Result<EventType> {
    let own = match item {
        Expr::Path(path) => match path.path.get_ident() {
            Some(ident) => return well_known(item, &ident.to_string()),
            None => None,
        },
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => Some(literal),
        _ => None,
    };
    let Some(literal) = own else {
        let message = format!(
            "`{}` is no event type; write a well-known one ({}) or a name of your own in quotes",
            text(item),
            camel_list()
        );
        return Err(syn::Error::new_spanned(item, message));
    };
    let name = literal.value();
    let snake = name.replace(':', "_");
    if OF_NODES.contains(&snake.as_str()) {
        return Ok(EventType { name: snake, well_known: true });
    }
    if OF_WORKFLOWS.contains(&snake.as_str()) || OF_QUESTIONS.contains(&snake.as_str()) {
        return well_known(item, &snake);
    }
    let length = name.chars().count();
    let why = if length == 0 || length > NAME_MAX {
        format!("has {length} characters; an event type has 1 to {NAME_MAX}")
    } else if name.chars().any(char::is_control) {
        "holds a control character; an event type is one line of text".into()
    } else {
        return Ok(EventType { name, well_known: false });
    };
    Err(syn::Error::new_spanned(item, format!("`{}` {why}", text(item))))
}

fn well_known(item: &Expr, name: &str) -> syn::Result<EventType> {
    let snake = snake_case(name);
    if OF_NODES.contains(&snake.as_str()) {
        return Ok(EventType { name: snake, well_known: true });
    }
    let message = if OF_WORKFLOWS.contains(&snake.as_str()) {
        format!(
            "`{name}` is said by the workflow, not by a node, so listing it has no effect; types: {}",
            camel_list()
        )
    } else if OF_QUESTIONS.contains(&snake.as_str()) {
        format!(
            "`{name}` is written whatever a node chooses, because a question must reach who answers it, so listing it has no effect; types: {}",
            camel_list()
        )
    } else {
        let near = suggest::nearest(&snake, OF_NODES.iter().copied()).map(camel_case);
        let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        format!(
            "unknown event type `{name}`; {hint}types: {}; a type of your own stands in quotes: \"{snake}\"",
            camel_list()
        )
    };
    Err(syn::Error::new_spanned(item, message))
}

fn camel_list() -> String {
    OF_NODES.iter().copied().map(camel_case).collect::<Vec<_>>().join(", ")
}

/// `ToolStart` of `tool_start`.
fn camel_case(snake: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    snake.split('_').map(word).collect()
}

/// `tool_start` of `ToolStart`, `tool_start` or `TOOL_START`.
fn snake_case(name: &str) -> String {
    if name.chars().any(|c| c == '_') || !name.chars().any(char::is_lowercase) {
        return name.to_lowercase();
    }
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_well_known_type_are_the_same() {
        for spelling in ["ToolStart", "tool_start", "TOOL_START", "\"tool_start\"", "\"tool:start\""] {
            let item = syn::parse_str(spelling).unwrap();
            let expected = EventType { name: "tool_start".into(), well_known: true };
            assert_eq!(event_type(&item).unwrap(), expected, "{spelling}");
        }
        assert_eq!(camel_case("tool_start"), "ToolStart");
    }

    #[test]
    fn a_type_of_ones_own_stands_in_quotes() {
        let own = event_type(&syn::parse_str("\"invoice:sent\"").unwrap()).unwrap();
        assert_eq!(own, EventType { name: "invoice:sent".into(), well_known: false });
        let message = event_type(&syn::parse_str("InvoiceSent").unwrap()).unwrap_err().to_string();
        assert!(message.contains("\"invoice_sent\""), "{message}");
    }
}
