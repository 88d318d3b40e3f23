//! The rules within one node.

use quote::ToTokens;

use crate::{
    model::{Kind, Node, Output},
    report::Report,
};

pub(super) fn check(node: &Node, report: &mut Report) {
    let method = &node.method;
    let options = &node.options;
    let kind_span = options.kind.map_or_else(|| method.span(), |(_, span)| span);
    let is_goto = matches!(node.signature.output, Output::Outcome { goto: true, .. });
    if node.kind() == Kind::Condition && !options.names("routes") && !options.names("each") {
        let message = format!(
            "condition `{}` declares no `routes(…)`; list where its `Goto` may lead, as in `routes(\"draft\", end)`",
            node.name.text
        );
        report.span(kind_span, message);
    } else if is_goto && !options.names("routes") {
        let message = format!(
            "`{method}` returns a `Goto` and declares no `routes(…)`; list where it may lead, as in `routes(\"draft\", end)`"
        );
        report.span(node.signature.span, message);
    }
    together(node, kind_span, report);
    match (node.streams(), &options.gather) {
        // The values of items are gathered whatever they are.
        (None, Some(_)) if options.names("each") => {}
        (Some(_), None) if options.names("gather") => {}
        (Some(_), None) => {
            let message = format!(
                "`{method}` streams its text and gathers it nowhere; add `gather = \"field\"` to name the field of the \
                 state that takes the whole"
            );
            report.span(if node.kind() == Kind::Stream { kind_span } else { node.signature.span }, message);
        }
        (Some(_), Some(_)) => {
            if let Some(routes) = &options.routes {
                let message = format!(
                    "`{method}` returns a stream, which cannot say where to go; put `routes(…)` on a node after it"
                );
                report.span(routes.span, message);
            }
        }
        (None, Some(gather)) => {
            let message = format!(
                "`gather = {}` gathers a stream, and `{method}` returns a `Goto`; drop it or return `impl Stream`",
                gather.to_token_stream()
            );
            report.at(gather, message);
        }
        (None, None) => {}
    }
    if node.streams().is_none() && !node.signature.is_async {
        let message = format!(
            "`#[node]` method `{method}` is not `async`; write `async fn {method}(…)` (only one that returns \
             `impl Stream` may do without)"
        );
        report.at(method, message);
    }
}

/// Options that need one another, or cannot stand beside each other.
fn together(node: &Node, kind_span: proc_macro2::Span, report: &mut Report) {
    let (method, options) = (&node.method, &node.options);
    if options.broken {
        return;
    }
    if node.kind() == Kind::Aggregator && !node.is_join() {
        let message = format!(
            "aggregator `{}` brings nothing together; list the nodes that it waits for, as in `after(\"a\", \"b\")`",
            node.name.text
        );
        report.span(kind_span, message);
    }
    match (node.kind(), &options.workflow) {
        (Kind::Subgraph, None) => {
            let message = format!(
                "subgraph `{}` names no workflow; add `workflow = Type`, the one that `ctx.run_subgraph` runs",
                node.name.text
            );
            report.span(kind_span, message);
        }
        (Kind::Subgraph, Some((_, span))) if node.signature.context.is_none() => {
            let message = format!(
                "`{method}` names a workflow and takes no `ctx: &NodeContext`, by which `ctx.run_subgraph` runs it; add that parameter"
            );
            report.span(*span, message);
        }
        (Kind::Subgraph, Some(_)) => {}
        (_, Some((_, span))) => {
            let message = format!(
                "`workflow = …` belongs to `kind = \"subgraph\"`; add that to node `{}`",
                node.name.text
            );
            report.span(*span, message);
        }
        (_, None) => {}
    }
    if let (Some((_, span)), None) = (&options.concurrency, &options.each) {
        report.span(
            *span,
            "`concurrency` says how many items of `each = \"field\"` run at once; add that, or drop it",
        );
    }
    if let Some(each) = &options.each {
        if let Some(routes) = &options.routes {
            let message = format!(
                "`{method}` runs once for each item, and items cannot choose where to go; put `routes(…)` on a node after it"
            );
            report.span(routes.span, message);
        } else if node.kind() == Kind::Condition {
            let message = format!(
                "`each` and `kind = \"condition\"` do not go together; items of `{method}` cannot choose where to go"
            );
            report.at(each, message);
        }
    }
}
