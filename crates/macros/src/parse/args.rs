//! What stands between an attribute's parentheses: options, each with the parser of its value.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Expr, Token,
    ext::IdentExt,
    parse::{ParseStream, Parser},
    token::Paren,
};

use crate::{options::Opt, report::Report, suggest};

/// Whose options are read: the attribute, or a group within it, as messages call it.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    /// For example `` `#[stream_token]` `` or `` `filter(…)` ``, with the backticks.
    pub(crate) title: &'a str,
    /// The legal options.
    pub(crate) options: &'static [Opt],
}

/// One option: its name has been read, its value stands next in the input.
pub(crate) struct Arg<'a> {
    /// The option's name as the user wrote it.
    pub(crate) name: Ident,
    /// The option as the table knows it.
    pub(crate) option: &'static Opt,
    input: ParseStream<'a>,
}

/// Reads the options in `tokens`, and hands each that is legal and new to `each`.
///
/// A mistake in one option is reported and reading goes on behind the next comma.
pub(crate) fn read(
    tokens: TokenStream,
    owner: Owner<'_>,
    report: &mut Report,
    mut each: impl FnMut(Arg<'_>, &mut Report) -> syn::Result<()>,
) {
    let parser = |input: ParseStream<'_>| {
        read_all(input, owner, report, &mut each);
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        report_unreachable(error);
    }
}

/// [`read_all`] reads to the end and reports by itself, so that a parser's own error cannot come about.
fn report_unreachable(error: syn::Error) {
    debug_assert!(false, "options are read to the end: {error}");
}

fn read_all(
    input: ParseStream<'_>,
    owner: Owner<'_>,
    report: &mut Report,
    each: &mut impl FnMut(Arg<'_>, &mut Report) -> syn::Result<()>,
) {
    let mut seen: Vec<&'static str> = Vec::new();
    while !input.is_empty() {
        let result = read_one(input, owner, report, &mut seen, each);
        if let Err(error) = result {
            report.push(error);
            skip_to_comma(input);
        }
        // What `each` left over was reported as an error above; a comma or the end stands here.
        let _: Option<Token![,]> = input.parse().unwrap_or(None);
    }
}

fn read_one(
    input: ParseStream<'_>,
    owner: Owner<'_>,
    report: &mut Report,
    seen: &mut Vec<&'static str>,
    each: &mut impl FnMut(Arg<'_>, &mut Report) -> syn::Result<()>,
) -> syn::Result<()> {
    let Owner { title, options } = owner;
    let legal = || suggest::list(options.iter().map(|option| option.name));
    if !input.peek(Ident::peek_any) {
        let token: TokenTree = input.parse()?;
        let message = format!("`{token}` is no {title} option; options: {}", legal());
        return Err(syn::Error::new_spanned(token, message));
    }
    let name = Ident::parse_any(input)?;
    let text = name.unraw().to_string();
    let Some(option) = options.iter().find(|option| option.name == text) else {
        let hint = suggest::hint(&text, options.iter().map(|option| option.name));
        let message = format!("unknown {title} option `{text}`{hint} options: {}", legal());
        return Err(syn::Error::new_spanned(name, message));
    };
    if seen.contains(&option.name) {
        let message = format!("{title} option `{text}` is given twice; keep one of them");
        return Err(syn::Error::new_spanned(name, message));
    }
    seen.push(option.name);
    each(Arg { name, option, input }, report)?;
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    let token: TokenTree = input.parse()?;
    let message = format!("`{token}` follows `{text}` without a comma; separate options by `,`");
    Err(syn::Error::new(token.span(), message))
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

impl<'a> Arg<'a> {
    /// Whether the value stands as `name(…)`.
    pub(crate) fn is_list(&self) -> bool {
        self.input.peek(Paren)
    }

    /// Whether the option stands alone, as `name`.
    pub(crate) fn is_bare(&self) -> bool {
        self.input.is_empty() || self.input.peek(Token![,])
    }

    /// What stands behind `name =`, as an expression.
    pub(crate) fn expression(&self) -> syn::Result<Expr> {
        self.equals()?;
        let ahead = self.input.fork();
        match ahead.parse::<Expr>() {
            Ok(_) => self.input.parse().map(ungroup),
            Err(_) => Err(self.valueless(self.input.span())),
        }
    }

    /// What stands behind `name =`, as anything that parses; `what` is how messages call it.
    pub(crate) fn parsed<T: syn::parse::Parse>(&self, what: &str) -> syn::Result<T> {
        self.equals()?;
        let ahead = self.input.fork();
        if ahead.parse::<T>().is_ok() {
            return self.input.parse();
        }
        if self.is_bare() {
            return Err(self.valueless(self.input.span()));
        }
        let wrong: TokenTree = self.input.parse()?;
        let message = format!("`{} = {wrong}` is no {what}; write `{}`", self.name, self.option.example);
        Err(syn::Error::new_spanned(wrong, message))
    }

    /// What stands in `name(…)`.
    pub(crate) fn list(&self) -> syn::Result<TokenStream> {
        if self.is_list() {
            let content;
            syn::parenthesized!(content in self.input);
            return content.parse();
        }
        let Arg { name, option, .. } = self;
        let message = format!("`{name}` takes a list in parentheses; write `{}`", option.example);
        Err(syn::Error::new_spanned(name, message))
    }

    /// `name`, `name = true` or `name = false`.
    pub(crate) fn flag(&self) -> syn::Result<bool> {
        if self.is_bare() {
            return Ok(true);
        }
        let name = &self.name;
        let ways = format!("write `{name}`, `{name} = true` or `{name} = false`");
        if self.is_list() {
            let message = format!("`{name}` is a switch and takes no list; {ways}");
            return Err(syn::Error::new_spanned(name, message));
        }
        match self.expression()? {
            Expr::Lit(syn::ExprLit { lit: syn::Lit::Bool(value), .. }) => Ok(value.value),
            other => {
                let message = format!("`{name} = {}` is no switch; {ways}", text(&other));
                Err(syn::Error::new_spanned(other, message))
            }
        }
    }

    /// The owner of the options within this group; `title` is how messages call it.
    pub(crate) fn group<'t>(&self, title: &'t str) -> Owner<'t> {
        Owner { title, options: self.option.options }
    }

    fn equals(&self) -> syn::Result<()> {
        if self.input.peek(Token![=]) && !self.input.peek(Token![==]) {
            self.input.parse::<Token![=]>()?;
            return Ok(());
        }
        Err(self.valueless(self.name.span()))
    }

    fn valueless(&self, span: Span) -> syn::Error {
        let Arg { name, option, .. } = self;
        // At the end of the input the parser's span is that of the whole attribute; the name is smaller.
        let span = if self.input.is_empty() { name.span() } else { span };
        syn::Error::new(span, format!("`{name}` needs a value; write `{}`", option.example))
    }
}

/// A value that came through a `macro_rules` fragment stands in invisible brackets.
pub(crate) fn ungroup(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => ungroup(*group.expr),
        other => other,
    }
}

/// The user's spelling of a value, short enough for a message.
pub(crate) fn text(tokens: &impl ToTokens) -> String {
    const LIMIT: usize = 60;
    let text = tighten(&tokens.to_token_stream().to_string());
    if text.chars().count() <= LIMIT {
        return text;
    }
    text.chars().take(LIMIT).chain(['…']).collect()
}

/// Tokens print with a blank between any two; takes out those that nobody writes.
fn tighten(text: &str) -> String {
    let mut tight = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '"' && !tight.ends_with('\\') {
            quoted = !quoted;
        }
        let before = |marks: &[&str]| marks.iter().any(|mark| tight.ends_with(mark));
        let after = letters.peek().is_some_and(|next| ",;:.<>()?!".contains(*next));
        let drop = letter == ' ' && !quoted && (after || before(&["<", "(", "&", ".", "-", "::", "!"]));
        if !drop {
            tight.push(letter);
        }
    }
    tight
}

/// An option that stands in the table and that no parser reads: a mistake of ours, told instead of passed over.
pub(crate) fn unread(arg: &Arg<'_>) -> syn::Error {
    syn::Error::new_spanned(&arg.name, format!("option `{}` is listed and not implemented", arg.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spelling_in_a_message_is_the_users() {
        for spelling in
            ["Draft<T>", "more: u32", "-1", "crate::flows::draft", "\"a  b, c\"", "T: Send + 'static"]
        {
            let tokens: TokenStream = spelling.parse().unwrap();
            assert_eq!(text(&tokens), spelling);
        }
        assert!(text(&"x".repeat(99).parse::<TokenStream>().unwrap()).ends_with('…'));
    }
}
