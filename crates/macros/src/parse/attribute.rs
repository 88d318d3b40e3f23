//! Attributes as tokens: which are ours, and what stands in them.
//!
//! They are read by hand and not as `syn::Attribute`, so that a malformed one of another crate passes through and a
//! malformed one of ours is told what is wrong with it.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Path,
    parse::{Parse, ParseStream},
};

use crate::{options, report::Report};

/// An outer attribute.
#[derive(Clone)]
pub(crate) struct Attribute {
    /// The `#`.
    pub(crate) pound: TokenTree,
    /// The brackets and what is in them.
    pub(crate) brackets: Group,
    /// Its path; empty when what stands in the brackets does not begin with one.
    pub(crate) path: TokenStream,
    /// What follows the path.
    pub(crate) rest: TokenStream,
}

/// The attributes that `#[workflow]` reads on a method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ours {
    Node,
    StreamToken,
    StreamEvent,
    StreamProgress,
    StreamAll,
}

impl Ours {
    /// Every one.
    pub(crate) const ALL: [Self; 5] =
        [Self::Node, Self::StreamToken, Self::StreamEvent, Self::StreamProgress, Self::StreamAll];

    /// The attribute's name and options.
    pub(crate) const fn table(self) -> &'static options::Attribute {
        match self {
            Self::Node => &options::NODE,
            Self::StreamToken => &options::STREAM_TOKEN,
            Self::StreamEvent => &options::STREAM_EVENT,
            Self::StreamProgress => &options::STREAM_PROGRESS,
            Self::StreamAll => &options::STREAM_ALL,
        }
    }

    /// The attribute's name.
    pub(crate) const fn name(self) -> &'static str {
        self.table().name
    }

    /// The attribute as messages call it.
    pub(crate) fn title(self) -> String {
        format!("`#[{}]`", self.name())
    }
}

/// What the brackets of an attribute hold.
struct Content {
    path: Path,
    rest: TokenStream,
}

impl Parse for Content {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self { path: Path::parse_mod_style(input)?, rest: input.parse()? })
    }
}

impl Attribute {
    /// The attribute of a `#` and the brackets after it.
    pub(crate) fn new(pound: TokenTree, brackets: Group) -> Self {
        let (path, rest) = match syn::parse2::<Content>(brackets.stream()) {
            Ok(content) => (content.path.to_token_stream(), content.rest),
            Err(_) => (TokenStream::new(), brackets.stream()),
        };
        Self { pound, brackets, path, rest }
    }

    /// An attribute of `content`, in place of this one: what a `cfg_attr` becomes.
    pub(crate) fn replaced_by(&self, content: TokenStream) -> Self {
        let mut brackets = Group::new(Delimiter::Bracket, content);
        brackets.set_span(self.brackets.span());
        Self::new(self.pound.clone(), brackets)
    }

    /// The last segment of the path.
    pub(crate) fn name(&self) -> Option<Ident> {
        match self.path.clone().into_iter().last() {
            Some(TokenTree::Ident(ident)) => Some(ident),
            _ => None,
        }
    }

    /// Whether the path is `name` and nothing else.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.path.clone().into_iter().count() == 1 && self.name().is_some_and(|last| last == name)
    }

    /// Which of ours it is, under whatever path it was imported.
    pub(crate) fn ours(&self) -> Option<Ours> {
        let name = self.name()?;
        Ours::ALL.into_iter().find(|ours| name == ours.name())
    }

    /// What stands between the attribute's parentheses; nothing if it has none.
    pub(crate) fn arguments(&self, report: &mut Report) -> TokenStream {
        let mut rest = self.rest.clone().into_iter();
        match (rest.next(), rest.next()) {
            (None, _) => TokenStream::new(),
            (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::Parenthesis => {
                group.stream()
            }
            (Some(wrong), _) => {
                let path = &self.path;
                let message = format!("`#[{path}]` takes its options in parentheses; write `#[{path}(…)]`");
                report.span(wrong.span(), message);
                TokenStream::new()
            }
        }
    }

    /// The predicate and the attributes of a `cfg_attr`; the predicate of a `cfg`.
    pub(crate) fn condition(&self) -> Option<Condition> {
        if !(self.is("cfg") || self.is("cfg_attr")) {
            return None;
        }
        let mut rest = self.rest.clone().into_iter();
        let (Some(TokenTree::Group(group)), None) = (rest.next(), rest.next()) else { return None };
        let mut parts = split_commas(group.stream()).into_iter();
        let predicate = parts.next()?;
        if self.is("cfg") {
            return Some(Condition { predicate, then: None });
        }
        let then = parts.filter(|part| !part.is_empty()).map(|part| self.replaced_by(part)).collect();
        Some(Condition { predicate, then: Some(then) })
    }

    /// Whether it is one of ours, or would be if a `cfg_attr` held.
    pub(crate) fn mentions_ours(&self) -> bool {
        match self.condition() {
            Some(Condition { then: Some(then), .. }) => then.iter().any(Self::mentions_ours),
            _ => self.ours().is_some(),
        }
    }

    /// The attribute without ours, for items that are emitted although something in them is wrong.
    pub(crate) fn without_ours(&self) -> Option<Self> {
        if self.ours().is_some() {
            return None;
        }
        match self.condition() {
            Some(Condition { predicate, then: Some(then) }) if then.iter().any(Self::mentions_ours) => {
                let kept: Vec<_> = then.iter().filter_map(Self::without_ours).collect();
                let kept = kept.iter().map(|attribute| attribute.brackets.stream());
                let path = &self.path;
                Some(self.replaced_by(quote::quote!(#path(#predicate #(, #kept)*))))
            }
            _ => Some(self.clone()),
        }
    }
}

impl ToTokens for Attribute {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.pound.to_tokens(tokens);
        self.brackets.to_tokens(tokens);
    }
}

/// What a `cfg` or `cfg_attr` asks.
pub(crate) struct Condition {
    pub(crate) predicate: TokenStream,
    /// The attributes of a `cfg_attr`; `None` for a `cfg`.
    pub(crate) then: Option<Vec<Attribute>>,
}

/// Splits at commas that stand in no group.
fn split_commas(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in tokens {
        match (&token, parts.last_mut()) {
            (TokenTree::Punct(punct), _) if punct.as_char() == ',' => parts.push(TokenStream::new()),
            (_, Some(part)) => part.extend([token]),
            (_, None) => {}
        }
    }
    parts
}
