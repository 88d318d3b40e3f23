//! One `NodeBuilder`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;

use super::options;
use crate::{
    model::{Fallible, Kind, Node, Workflow},
    paths::{Paths, local},
};

/// The builder of a node, as an expression.
pub(super) fn node(node: &Node, workflow: &Workflow, paths: &Paths) -> TokenStream {
    let builder = paths.get("NodeBuilder");
    let name = &node.name.text;
    let setters = setters(node, paths);
    let run = run(node, workflow, paths);
    let variable = local("node");
    quote! {{
        let #variable = #builder::<Self>::new(#name);
        #(let #variable = #variable.#setters;)*
        #variable.#run
    }}
}

fn setters(node: &Node, paths: &Paths) -> Vec<TokenStream> {
    let said = &node.options;
    let mut setters = Vec::new();
    if said.kind.is_some() {
        let kind = paths.get("NodeKind");
        let variant = match node.kind() {
            Kind::Standard => quote!(Standard),
            Kind::Llm => quote!(Llm),
            Kind::Tool => quote!(Tool),
            Kind::Task => quote!(Task),
            Kind::Condition => quote!(Condition),
            Kind::Aggregator => quote!(Aggregator),
            Kind::Stream => quote!(Stream),
            Kind::Subgraph => quote!(Subgraph),
        };
        setters.push(quote!(kind(#kind::#variant)));
    }
    if said.start.is_some() {
        setters.push(quote!(start()));
    }
    if let Some(after) = &said.after {
        let nodes = &after.nodes;
        setters.push(match (nodes.as_slice(), after.any) {
            ([only], false) => quote!(after(#only)),
            (_, false) => quote!(after_all(&[#(#nodes),*])),
            (_, true) => quote!(after_any(&[#(#nodes),*])),
        });
    }
    if let Some(routes) = &said.routes {
        let (targets, end) = (&routes.targets, routes.end);
        setters.push(quote!(routes(&[#(#targets),*], #end)));
    }
    if let Some(retry) = &said.retry {
        let retry = options::retry(retry, paths);
        setters.push(quote!(retry(#retry)));
    }
    if let Some((concurrency, _)) = said.concurrency {
        setters.push(quote!(concurrency(#concurrency)));
    }
    if let Some((workflow, _)) = &said.workflow {
        setters.push(quote!(subgraph::<#workflow>()));
    }
    if let Some(timeout) = said.timeout {
        let timeout = options::duration(timeout);
        setters.push(quote!(timeout(#timeout)));
    }
    if let Some(description) = &said.description {
        setters.push(quote!(description(#description)));
    }
    if !said.tags.is_empty() {
        let tags = &said.tags;
        setters.push(quote!(tags(&[#(#tags),*])));
    }
    if let Some(token) = &node.token {
        let options = options::token(token, paths);
        setters.push(quote!(stream_token(#options)));
    }
    if let Some(event) = &node.event {
        let options = options::event(event, paths);
        setters.push(quote!(stream_event(#options)));
    }
    if let Some(progress) = &node.progress {
        let options = options::progress(progress, paths);
        setters.push(quote!(stream_progress(#options)));
    }
    setters
}

/// `run(…)` with the closure that calls the method.
///
/// The call is spelt at the return type of the user's method, so that what the compiler finds wrong with the outcome is
/// told there; each argument is spelt at its parameter's type.
fn run(node: &Node, workflow: &Workflow, paths: &Paths) -> TokenStream {
    let signature = &node.signature;
    let span = signature.span.resolved_at(Span::mixed_site());
    let [this, state, ctx] = ["workflow", "state", "ctx"].map(local);
    let context = paths.get("NodeContext");
    let state_type = &workflow.state;
    let method = &node.method;
    let there = respell(&state, signature.state);
    let state_argument = quote_spanned!(there.span()=> &*#there);
    let context_argument = signature.context.map(|span| respell(&ctx, span)).into_iter();
    let context_argument = context_argument.map(|ctx| quote_spanned!(ctx.span()=> &#ctx));
    let each = each(node, workflow, paths);
    let item_argument = each.as_ref().map(|each| &each.argument).into_iter();
    let mut call = quote_spanned!(
        span=> Self::#method(&*#this, #state_argument #(, #item_argument)* #(, #context_argument)*)
    );
    if signature.is_async {
        call = quote_spanned!(span=> #call.await);
    }
    let body = match (node.streams(), &each) {
        (None, _) => call,
        (Some(fallible), None) => gather(node, call, fallible, workflow, paths),
        (Some(fallible), Some(_)) => whole_text(node, call, fallible, paths),
    };
    let run = match (&each, &node.options.gather, &node.options.routes) {
        (Some(_), Some(_), _) => "gather_each",
        (Some(_), None, _) => "run_each",
        (None, _, Some(_)) => "run_condition",
        (None, _, None) => "run",
    };
    let run = Ident::new(run, span);
    // The context of a method that takes none is dropped with the future, not before.
    let keep = signature.context.is_none().then(|| quote!(let _ = &#ctx;));
    let items = each.as_ref().map(|each| &each.items).into_iter();
    let item = each.as_ref().map(|each| &each.parameter).into_iter();
    let finish = node.options.gather.as_ref().filter(|_| each.is_some());
    let finish = finish.map(|field| gather_values(field, workflow, paths)).into_iter();
    quote_spanned! {span=>
        #run(#(#items,)* |
            #this: ::std::sync::Arc<Self>,
            #state: ::std::sync::Arc<#state_type>,
            #(#item: usize,)*
            #ctx: #context,
        | async move {
            #keep
            #body
        } #(, #finish)*)
    }
}

/// How a node with `each` comes by its items.
struct EachItem {
    /// The closure that finds them in the state: their places in the list.
    items: TokenStream,
    /// The variable that holds an item's place.
    parameter: Ident,
    /// The item, as the method takes it.
    argument: TokenStream,
}

fn each(node: &Node, workflow: &Workflow, paths: &Paths) -> Option<EachItem> {
    let literal = node.options.each.as_ref()?;
    let field = field_ident(literal);
    let [state, place] = ["state", "item"].map(local);
    let state_type = &workflow.state;
    // What is wrong with the field is told once: both expressions say it in the same words at the same place.
    let list = |span: Span, pick: TokenStream| {
        let (list, there) = (paths.spanned("items", span), literal.span().resolved_at(Span::mixed_site()));
        let state = respell(&state, literal.span());
        let field = quote_spanned!(there=> &(&*#state).#field);
        quote_spanned!(span=> #list(#field, #pick))
    };
    let there = literal.span().resolved_at(Span::mixed_site());
    let places = list(there, quote!(..));
    let items = quote!(|#state: &#state_type| #places);
    let argument_span = node.signature.item.unwrap_or(there).resolved_at(Span::mixed_site());
    let argument = list(argument_span, quote!(#place));
    Some(EachItem { items, parameter: place, argument })
}

/// The closure that makes an update of the values of all items.
fn gather_values(field: &syn::LitStr, workflow: &Workflow, paths: &Paths) -> TokenStream {
    let [values, update] = ["values", "update"].map(local);
    let trait_ = paths.get("State");
    let (state, field_name) = (&workflow.state, field_ident(field));
    let span = field.span().resolved_at(Span::mixed_site());
    let values = respell(&values, field.span());
    quote_spanned! {span=>
        |#values| {
            let #update = <<#state as #trait_>::Update as ::core::default::Default>::default();
            #update.#field_name(#values)
        }
    }
}

/// Streams what the method returns for one item and returns the whole text.
fn whole_text(node: &Node, call: TokenStream, fallible: Fallible, paths: &Paths) -> TokenStream {
    let span = node.signature.span.resolved_at(Span::mixed_site());
    let [stream, ctx] = ["stream", "ctx"].map(local);
    let stream_tokens = paths.spanned("stream_tokens", span);
    let question = fallible.0.then(|| quote_spanned!(span=> ?));
    quote_spanned! {span=>
        let #stream = #call #question;
        #stream_tokens(#stream, &#ctx).await
    }
}

/// The field that a literal names.
fn field_ident(literal: &syn::LitStr) -> Ident {
    let name = literal.value();
    let bare = name.strip_prefix("r#").unwrap_or(&name);
    let field = match syn::parse_str::<Ident>(bare) {
        Ok(_) => Ident::new(bare, literal.span()),
        Err(_) => Ident::new_raw(bare, literal.span()),
    };
    debug_assert_eq!(field.unraw().to_string(), bare, "a field's name is an identifier");
    field
}

/// The same variable, spelt at `span`.
fn respell(variable: &Ident, span: Span) -> Ident {
    let mut variable = variable.clone();
    variable.set_span(span.resolved_at(Span::mixed_site()));
    variable
}

/// Streams what the method returns and makes an update of the whole text.
fn gather(
    node: &Node,
    call: TokenStream,
    fallible: Fallible,
    workflow: &Workflow,
    paths: &Paths,
) -> TokenStream {
    let span = node.signature.span.resolved_at(Span::mixed_site());
    let [stream, text, ctx, update] = ["stream", "text", "ctx", "update"].map(local);
    let stream_tokens = paths.spanned("stream_tokens", span);
    let (result, trait_) = (paths.get("NodeResult"), paths.get("State"));
    let state = &workflow.state;
    let question = fallible.0.then(|| quote_spanned!(span=> ?));
    let update_type = quote!(<#state as #trait_>::Update);
    // Validation refuses a streaming node without `gather`.
    let set = node.options.gather.as_ref().map(|field| {
        let field = field_ident(field);
        quote!(let #update = #update.#field(#text);)
    });
    quote_spanned! {span=>
        let #stream = #call #question;
        let #text = #stream_tokens(#stream, &#ctx).await?;
        let #update = <#update_type as ::core::default::Default>::default();
        #set
        #result::<#update_type>::Ok(#update)
    }
}
