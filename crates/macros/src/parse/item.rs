//! An `impl` block as tokens: its head, and its items with their attributes.
//!
//! Items are split by hand: what is no node is emitted again token for token, whether or not it parses, and so is every
//! body.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;

use super::attribute::Attribute;

/// An `impl` block.
pub(crate) struct Block {
    /// The attributes of the block.
    pub(crate) attributes: Vec<Attribute>,
    /// What stands before the braces: `impl<M: Model> Writer<M> where …`.
    pub(crate) head: TokenStream,
    pub(crate) items: Vec<Item>,
    braces: Span,
}

/// An item of a block: a method, or anything else.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) rest: TokenStream,
}

impl Block {
    /// Splits an `impl` block.
    ///
    /// # Errors
    /// If `tokens` are something else.
    pub(crate) fn split(tokens: TokenStream) -> syn::Result<Self> {
        let mut tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let body = match tokens.pop() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => Some(group),
            Some(other) => {
                tokens.push(other);
                None
            }
            None => None,
        };
        let mut split = Splitter::default();
        tokens.into_iter().for_each(|token| split.attribute_or_rest(token));
        let item = split.current;
        let is_impl = |token: &TokenTree| matches!(token, TokenTree::Ident(ident) if ident == "impl");
        match body {
            Some(body) if item.rest.clone().into_iter().take(2).any(|token| is_impl(&token)) => Ok(Self {
                attributes: item.attributes,
                head: item.rest,
                items: split_items(body.stream()),
                braces: body.span(),
            }),
            _ => {
                let first =
                    item.rest.into_iter().find(|token| !matches!(token, TokenTree::Ident(i) if i == "pub"));
                let span = first.map_or_else(Span::call_site, |token| token.span());
                let message =
                    "`#[workflow]` belongs on an `impl` block, the one that holds the `#[node]` methods";
                Err(syn::Error::new(span, message))
            }
        }
    }

    /// The block with other items.
    pub(crate) fn with_items(&self, items: &[Item]) -> TokenStream {
        let mut tokens = TokenStream::new();
        self.attributes.iter().for_each(|attribute| attribute.to_tokens(&mut tokens));
        self.head.to_tokens(&mut tokens);
        let mut body = Group::new(Delimiter::Brace, items.iter().map(ToTokens::to_token_stream).collect());
        body.set_span(self.braces);
        body.to_tokens(&mut tokens);
        tokens
    }
}

impl Item {
    /// Whether one of our attributes stands on it, or would if a `cfg_attr` held.
    pub(crate) fn mentions_ours(&self) -> bool {
        self.attributes.iter().any(Attribute::mentions_ours)
    }

    /// The item without our attributes.
    pub(crate) fn without_ours(&self) -> Self {
        let attributes = self.attributes.iter().filter_map(Attribute::without_ours).collect();
        Self { attributes, rest: self.rest.clone() }
    }
}

impl ToTokens for Item {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.attributes.iter().for_each(|attribute| attribute.to_tokens(tokens));
        self.rest.to_tokens(tokens);
    }
}

#[derive(Default)]
struct Splitter {
    done: Vec<Item>,
    current: Item,
    /// A `#` that waits for its brackets.
    pound: Option<TokenTree>,
    /// Whether the keyword `fn` was seen in the current item.
    function: bool,
    /// The token before.
    last: Option<TokenTree>,
}

impl Default for Item {
    fn default() -> Self {
        Self { attributes: Vec::new(), rest: TokenStream::new() }
    }
}

fn split_items(tokens: TokenStream) -> Vec<Item> {
    let mut split = Splitter::default();
    for token in tokens {
        split.attribute_or_rest(token);
        if split.ends_item() {
            split.finish();
        }
    }
    split.finish();
    split.done
}

impl Splitter {
    fn attribute_or_rest(&mut self, token: TokenTree) {
        match (self.pound.take(), token) {
            (Some(pound), TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
                // An attribute after the head of a method begins the next item: the method's body is not yet typed.
                if self.function {
                    self.finish();
                }
                self.current.attributes.push(Attribute::new(pound, group));
            }
            (Some(pound), token) => {
                self.rest(pound);
                self.rest(token);
            }
            (None, TokenTree::Punct(punct))
                if punct.as_char() == '#' && (self.current.rest.is_empty() || self.function) =>
            {
                self.pound = Some(TokenTree::Punct(punct));
            }
            (None, token) => self.rest(token),
        }
    }

    fn rest(&mut self, token: TokenTree) {
        self.function |= matches!(&token, TokenTree::Ident(ident) if ident == "fn");
        self.current.rest.extend([token]);
    }

    /// Whether the token that was just taken ends the item.
    fn ends_item(&mut self) -> bool {
        let token = self.current.rest.clone().into_iter().last();
        let before = std::mem::replace(&mut self.last, token);
        let follows =
            |mark: char| matches!(&before, Some(TokenTree::Punct(punct)) if punct.as_char() == mark);
        match &self.last {
            Some(TokenTree::Punct(punct)) => punct.as_char() == ';',
            // A body, or the braces of a macro call; not a const argument such as `Grid<{ N }>`.
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                (self.function && !follows('<')) || follows('!')
            }
            _ => false,
        }
    }

    fn finish(&mut self) {
        if let Some(pound) = self.pound.take() {
            self.rest(pound);
        }
        let item = std::mem::take(&mut self.current);
        if !(item.attributes.is_empty() && item.rest.is_empty()) {
            self.done.push(item);
        }
        self.function = false;
        self.last = None;
    }
}

/// The first identifier of some tokens, for a message's span.
pub(crate) fn first_ident(tokens: &TokenStream) -> Option<Ident> {
    tokens.clone().into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) => Some(ident),
        _ => None,
    })
}
