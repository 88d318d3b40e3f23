//! Where the body of a node goes, as far as it says so.
//!
//! A body is read and nothing of it is changed. What it leaves open, by a name that is worked out or a function that
//! chooses, is left to the run, which refuses a route that is not declared.

use std::collections::HashMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Block, Expr, ExprCall, ExprLit, ImplItemFn, Lit, Local, Macro, Pat, PatIdent, Path, Stmt,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use crate::model::{Way, Ways};

/// How many names may stand for one another, so that a circle of them comes to an end.
const DEPTH: usize = 16;

/// Macros that never return.
const DIVERGING: [&str; 4] = ["panic", "unreachable", "todo", "unimplemented"];

/// Macros that go on after themselves, unless what stands in them returns. Of any other it is not known.
const GOES_ON: [&str; 27] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "concat",
    "dbg",
    "debug",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "eprint",
    "eprintln",
    "error",
    "format",
    "format_args",
    "info",
    "json",
    "line",
    "log",
    "matches",
    "print",
    "println",
    "stringify",
    "trace",
    "vec",
    "warn",
    "write",
    "writeln",
];

/// Reads the body of a method; one that is half typed says nothing.
pub(crate) fn read(method: &TokenStream) -> Ways {
    let Ok(ImplItemFn { block, .. }) = syn::parse2(method.clone()) else { return Ways::default() };
    let mut said = Said::default();
    said.visit_block(&block);
    let mut exits = Exits::default();
    exits.visit_block(&block);
    Ways { said: said.0, all: exits.of(&block) }
}

/// Every way that is written out, wherever it stands.
#[derive(Default)]
struct Said(Vec<Way>);

impl<'a> Visit<'a> for Said {
    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        self.0.extend(ways(call).unwrap_or_default());
        visit::visit_expr_call(self, call);
    }
}

/// What a call of `Goto` says, if it writes its ways out.
fn ways(call: &ExprCall) -> Option<Vec<Way>> {
    let Expr::Path(path) = &*call.func else { return None };
    let name = path.path.segments.last()?.ident.to_string();
    let before = path.path.segments.iter().rev().nth(1);
    if before.is_none_or(|segment| segment.ident != "Goto") {
        return None;
    }
    match (name.as_str(), call.args.first()) {
        ("end", None) => Some(vec![Way::End(path.span())]),
        ("to", Some(to)) => way(to).map(|way| vec![way]),
        ("to_all", Some(Expr::Array(all))) => all.elems.iter().map(way).collect(),
        _ => None,
    }
}

fn way(expression: &Expr) -> Option<Way> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) => Some(Way::To(name.clone())),
        _ => None,
    }
}

/// What a body returns: its `return`s, and what its names stand for.
#[derive(Default)]
struct Exits<'a> {
    /// What stands behind each `return` of the body itself.
    returns: Vec<Option<&'a Expr>>,
    /// What each name stands for; nothing if it stands for several things, or changes.
    names: HashMap<String, Option<&'a Expr>>,
    /// A macro stands there that may return on its own.
    open: bool,
}

impl<'a> Visit<'a> for Exits<'a> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            // What returns there returns from there.
            Expr::Closure(_) | Expr::Async(_) => {}
            Expr::Return(back) => {
                self.returns.push(back.expr.as_deref());
                visit::visit_expr(self, expression);
            }
            _ => visit::visit_expr(self, expression),
        }
    }

    fn visit_local(&mut self, local: &'a Local) {
        let init = local.init.as_ref().filter(|init| init.diverge.is_none()).map(|init| &*init.expr);
        let pattern = match &local.pat {
            Pat::Type(typed) => &*typed.pat,
            pattern => pattern,
        };
        let Pat::Ident(PatIdent { ident, mutability: None, by_ref: None, subpat: None, .. }) = pattern else {
            return visit::visit_local(self, local);
        };
        let twice = self.names.contains_key(&ident.to_string());
        self.names.insert(ident.to_string(), init.filter(|_| !twice));
        if let Some(init) = &local.init {
            self.visit_expr(&init.expr);
            if let Some((_, otherwise)) = &init.diverge {
                self.visit_expr(otherwise);
            }
        }
    }

    /// A name that a larger pattern binds stands for a part of something.
    fn visit_pat_ident(&mut self, pattern: &'a PatIdent) {
        self.names.insert(pattern.ident.to_string(), None);
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_macro(&mut self, call: &'a Macro) {
        let known = is_one_of(&call.path, &GOES_ON) || is_one_of(&call.path, &DIVERGING);
        self.open |= !known || returns(call.tokens.clone());
    }

    /// A function within has its own.
    fn visit_item(&mut self, _: &'a syn::Item) {}
}

impl<'a> Exits<'a> {
    /// All ways of a body, if it is certain that there are no others.
    fn of(&self, body: &'a Block) -> Option<Vec<Way>> {
        if self.open {
            return None;
        }
        let mut all = self.of_block(body, DEPTH)?;
        for back in &self.returns {
            all.extend(self.of_expression((*back)?, DEPTH)?);
        }
        Some(all)
    }

    fn of_block(&self, block: &'a Block, depth: usize) -> Option<Vec<Way>> {
        match block.stmts.last()? {
            Stmt::Expr(last, None) => self.of_expression(last, depth),
            Stmt::Expr(Expr::Return(_) | Expr::Break(_) | Expr::Continue(_), Some(_)) => Some(Vec::new()),
            Stmt::Macro(last) if is_one_of(&last.mac.path, &DIVERGING) => Some(Vec::new()),
            _ => None,
        }
    }

    fn of_expression(&self, expression: &'a Expr, depth: usize) -> Option<Vec<Way>> {
        let depth = depth.checked_sub(1)?;
        let both = |one: Option<Vec<Way>>, other: Option<Vec<Way>>| {
            let mut all = one?;
            all.extend(other?);
            Some(all)
        };
        match expression {
            Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => Some(Vec::new()),
            Expr::Macro(call) if is_one_of(&call.mac.path, &DIVERGING) => Some(Vec::new()),
            Expr::Paren(inner) => self.of_expression(&inner.expr, depth),
            Expr::Group(inner) => self.of_expression(&inner.expr, depth),
            Expr::Block(inner) if inner.label.is_none() => self.of_block(&inner.block, depth),
            Expr::If(choice) => {
                let (_, otherwise) = choice.else_branch.as_ref()?;
                both(self.of_block(&choice.then_branch, depth), self.of_expression(otherwise, depth))
            }
            Expr::Match(choice) => choice
                .arms
                .iter()
                .try_fold(Vec::new(), |all, arm| both(Some(all), self.of_expression(&arm.body, depth))),
            Expr::MethodCall(call) if call.method == "with" => self.of_expression(&call.receiver, depth),
            Expr::Path(path) => {
                let name = path.path.get_ident()?.to_string();
                self.of_expression((*self.names.get(&name)?)?, depth)
            }
            Expr::Call(call) => match (function(call).as_deref(), call.args.first()) {
                (Some("Ok"), Some(inner)) => self.of_expression(inner, depth),
                (Some("Err"), Some(_)) => Some(Vec::new()),
                _ => ways(call),
            },
            _ => None,
        }
    }
}

/// The last name of the function that is called.
fn function(call: &ExprCall) -> Option<String> {
    let Expr::Path(path) = &*call.func else { return None };
    path.path.segments.last().map(|segment| segment.ident.to_string())
}

fn is_one_of(path: &Path, names: &[&str]) -> bool {
    path.segments.last().is_some_and(|segment| names.iter().any(|name| segment.ident == name))
}

/// Whether something in the tokens of a macro may leave the body.
fn returns(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "return",
        TokenTree::Group(group) => returns(group.stream()),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ways of a body, each in a word, or `?` if it is not certain that these are all.
    fn check(body: &str, expected: &str) {
        let method = format!("async fn next(&self, state: &Draft) -> NodeResult<Goto> {{ {body} }}");
        let ways = read(&method.parse().unwrap());
        let word = |way: &Way| match way {
            Way::To(name) => name.value(),
            Way::End(_) => "end".into(),
        };
        let all = ways.all.map(|all| all.iter().map(word).collect::<Vec<_>>().join(" "));
        assert_eq!(all.as_deref().unwrap_or("?"), expected, "{body}");
    }

    #[test]
    fn what_a_body_writes_out_is_known_and_the_rest_is_left_open() {
        for (body, expected) in [
            (r#"Ok(Goto::to("a"))"#, "a"),
            (r#"Ok(if state.good { Goto::end() } else { Goto::to("a").with(update) })"#, "end a"),
            (
                r#"let next = match state.kind { 1 => Goto::to("a"), _ => Goto::to_all(["b", "c"]) }; Ok(next.with(update))"#,
                "a b c",
            ),
            (r#"if state.good { return Ok(Goto::end()); } Ok(streamnest::Goto::to("a"))"#, "a end"),
            (
                r#"match state.kind { 1 => Ok(Goto::to("a")), 2 => Err(wrong()), _ => unreachable!("no") }"#,
                "a",
            ),
            (
                r#"let done = state.items.iter().all(|item| { return item.done; }); Ok(if done { Goto::end() } else { Goto::to("a") })"#,
                "end a",
            ),
            (r#"let next = Goto::to("a"); info!(?state.kind, "goes on"); Ok(next)"#, "a"),
            // A macro may return, in what is given to it or by itself.
            (
                r#"tokio::select! { _ = late => return Ok(Goto::to("b")), text = write => text? } Ok(Goto::to("a"))"#,
                "?",
            ),
            (
                r#"let text = vec![match x { Some(x) => x, None => return Ok(Goto::to("b")) }]; Ok(Goto::to("a"))"#,
                "?",
            ),
            (r#"leave_if!(state.good); Ok(Goto::to("a"))"#, "?"),
            // A name that stands for something else further in.
            (
                r#"let next = Goto::to("a"); if let Some(next) = self.choose(state) { return Ok(next); } Ok(next)"#,
                "?",
            ),
            (r#"let next = Goto::to("a"); let (next, _) = self.choose(next); Ok(next)"#, "?"),
            // What is worked out, or chosen elsewhere.
            ("Ok(Goto::to(state.next.as_str()))", "?"),
            ("Ok(self.choose(state))", "?"),
            (r#"if state.good { return self.choose(state); } Ok(Goto::to("a"))"#, "?"),
            (r#"let mut next = Goto::end(); if state.bad { next = Goto::to("a"); } Ok(next)"#, "?"),
            (r#"let next = Goto::end(); let next = other(next); Ok(next)"#, "?"),
            (r#"let next = self.choose(state)?; Ok(next)"#, "?"),
            (r#"Ok(choose!("a"))"#, "?"),
            ("let next = next; Ok(next)", "?"),
            // Half typed.
            (r#"if state.good Ok(Goto::to("a"))"#, "?"),
        ] {
            check(body, expected);
        }
    }
}
