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
    if node.kind() == Kind::Condition && !options.names("routes") {
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
    match (node.streams(), &options.gather) {
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
