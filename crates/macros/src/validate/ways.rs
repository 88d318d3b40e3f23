//! The ways that a node declares, beside those that its body takes.

use crate::{
    model::{Node, Way},
    parse::args::text,
    report::Report,
    suggest,
};

/// Where both are known they are the same.
pub(super) fn check(node: &Node, report: &mut Report) {
    let Some(routes) = node.options.routes.as_ref().filter(|_| !node.options.broken) else { return };
    let name = &node.name.text;
    let before = report.len();
    for way in &node.ways.said {
        match way {
            Way::To(to) if !routes.targets.iter().any(|target| target.value() == to.value()) => {
                let routes = || routes.targets.iter().map(syn::LitStr::value).collect::<Vec<_>>();
                let hint = suggest::hint(&to.value(), routes().iter().map(String::as_str));
                let add = if hint.is_empty() { "; add it to its `routes(…)`" } else { "" };
                let message = format!("`{}` is no route of `{name}`{hint}{add}", text(to));
                report.at(to, message);
            }
            Way::End(span) if !routes.end => {
                let message = format!("`end` is no route of `{name}`; add it to its `routes(…)`");
                report.span(*span, message);
            }
            _ => {}
        }
    }
    let Some(all) = node.ways.all.as_ref().filter(|_| report.len() == before) else { return };
    let taken = |wanted: &str| all.iter().any(|way| matches!(way, Way::To(to) if to.value() == wanted));
    for target in routes.targets.iter().filter(|target| !taken(&target.value())) {
        let message =
            format!("`{name}` never goes to {}; drop the route, or let a `Goto` take it", text(target));
        report.at(target, message);
    }
    if routes.end && !all.iter().any(|way| matches!(way, Way::End(_))) {
        let message =
            format!("`{name}` never goes to `end`; drop it from the routes, or let a `Goto::end()` take it");
        report.span(routes.span, message);
    }
}
