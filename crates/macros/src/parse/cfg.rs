//! `#[cfg]` and `#[cfg_attr]` on nodes.
//!
//! The compiler evaluates them only after this macro ran, but which nodes there are decides what is valid. So a block
//! that has some is expanded twice. The first expansion asks: it emits the block again, under an attribute that expands
//! it the second time, and above that one `#[cfg_attr(predicate, doc = "…")]` for each predicate. By then the compiler
//! has kept the answers that are true.

use proc_macro2::TokenStream;
use quote::quote;

use super::{
    attribute::{Attribute, Condition},
    item::{Block, Item},
};
use crate::paths::Paths;

/// What an answer begins with; the number of its predicate follows.
const ANSWER: &str = "streamnest:cfg:";

/// The block for the second expansion; `None` if one is enough.
pub(crate) fn ask(block: &Block, arguments: &TokenStream, paths: &Paths) -> Option<TokenStream> {
    let mut predicates: Vec<TokenStream> = Vec::new();
    resolve_items(block, &mut |predicate| {
        predicates.push(predicate.clone());
        true
    });
    let of_block = block.attributes.iter().any(|attribute| attribute.condition().is_some());
    if predicates.is_empty() && !of_block {
        return None;
    }
    let answers = predicates.iter().enumerate().map(|(index, predicate)| {
        let answer = format!("{ANSWER}{index}");
        quote!(#[cfg_attr(#predicate, doc = #answer)])
    });
    let again = paths.get("workflow_configured");
    let Block { attributes, head, .. } = block;
    let items = &block.items;
    Some(quote! {
        #(#attributes)*
        #(#answers)*
        #[#again(#arguments)]
        #head { #(#items)* }
    })
}

/// The block as the answers leave it: what is configured out is gone, what is configured in stands by itself.
///
/// An answer that the compiler did not give, as an editor's may not, counts as true: it is better to show a node that
/// is not there than to miss one that is.
pub(crate) fn resolve(mut block: Block) -> Block {
    let mut yes: Vec<usize> = Vec::new();
    let mut unevaluated = false;
    block.attributes.retain(|attribute| {
        let text = attribute.rest.to_string();
        let Some((_, number)) = text.split_once(ANSWER) else { return true };
        unevaluated |= attribute.condition().is_some();
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        yes.extend(digits.parse::<usize>());
        false
    });
    let mut index = 0;
    block.items = resolve_items(&block, &mut |_| {
        index += 1;
        unevaluated || yes.contains(&(index - 1))
    });
    block
}

/// Walks over all conditions of all nodes in order, also those within one that does not hold.
fn resolve_items(block: &Block, ask: &mut dyn FnMut(&TokenStream) -> bool) -> Vec<Item> {
    let mut kept = Vec::new();
    for item in &block.items {
        if !item.mentions_ours() {
            kept.push(item.clone());
            continue;
        }
        let mut exists = true;
        let mut attributes = Vec::new();
        for attribute in &item.attributes {
            exists &= resolve_attribute(attribute, ask, &mut attributes);
        }
        if exists {
            kept.push(Item { attributes, rest: item.rest.clone() });
        }
    }
    kept
}

/// Whether the item is still there; what the attribute comes to is pushed to `kept`.
fn resolve_attribute(
    attribute: &Attribute,
    ask: &mut dyn FnMut(&TokenStream) -> bool,
    kept: &mut Vec<Attribute>,
) -> bool {
    let Some(Condition { predicate, then }) = attribute.condition() else {
        kept.push(attribute.clone());
        return true;
    };
    let holds = ask(&predicate);
    let Some(then) = then else { return holds };
    let mut inner = Vec::new();
    let mut exists = true;
    for attribute in &then {
        exists &= resolve_attribute(attribute, ask, &mut inner);
    }
    if holds {
        kept.append(&mut inner);
    }
    exists || !holds
}
