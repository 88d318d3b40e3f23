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
            Kind::Stream => quote!(Stream),
        };
        setters.push(quote!(kind(#kind::#variant)));
    }
    if said.start.is_some() {
        setters.push(quote!(start()));
    }
    if let Some(after) = &said.after {
        setters.push(quote!(after(#after)));
    }
    if let Some(routes) = &said.routes {
        let (targets, end) = (&routes.targets, routes.end);
        setters.push(quote!(routes(&[#(#targets),*], #end)));
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
    let mut call = quote_spanned!(span=> Self::#method(&*#this, #state_argument #(, #context_argument)*));
    if signature.is_async {
        call = quote_spanned!(span=> #call.await);
    }
    let body = match node.streams() {
        None => call,
        Some(fallible) => gather(node, call, fallible, workflow, paths),
    };
    let run = match node.options.routes {
        Some(_) => Ident::new("run_condition", span),
        None => Ident::new("run", span),
    };
    // The context of a method that takes none is dropped with the future, not before.
    let keep = signature.context.is_none().then(|| quote!(let _ = &#ctx;));
    quote_spanned! {span=>
        #run(|
            #this: ::std::sync::Arc<Self>,
            #state: ::std::sync::Arc<#state_type>,
            #ctx: #context,
        | async move {
            #keep
            #body
        })
    }
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
        let name = field.value();
        let bare = name.strip_prefix("r#").unwrap_or(&name);
        let field = match syn::parse_str::<Ident>(bare) {
            Ok(_) => Ident::new(bare, field.span()),
            Err(_) => Ident::new_raw(bare, field.span()),
        };
        debug_assert_eq!(field.unraw().to_string(), bare, "a field's name is an identifier");
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
