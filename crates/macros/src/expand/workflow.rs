//! `impl Workflow`.

use proc_macro2::TokenStream;
use quote::quote;

use super::{node::node, options::duration};
use crate::{
    model::{OnDisconnect, Workflow},
    paths::{Paths, local},
};

/// The `impl Workflow` of a workflow.
pub(crate) fn workflow(workflow: &Workflow, paths: &Paths) -> TokenStream {
    let (trait_, builder) = (paths.get("Workflow"), paths.get("WorkflowBuilder"));
    let Workflow { name, state, generics, self_type, .. } = workflow;
    let (generics, _, filter) = generics.split_for_impl();
    let setters = setters(workflow, paths);
    let nodes = workflow.nodes.iter().map(|one| node(one, workflow, paths));
    let definition = local("definition");
    quote! {
        const _: () = {
            #[automatically_derived]
            #[allow(deprecated, reason = "whoever calls a node deprecated still runs it")]
            impl #generics #trait_ for #self_type #filter {
                type State = #state;
                fn definition() -> #builder<Self> {
                    let #definition = #builder::<Self>::new(#name);
                    #(let #definition = #definition.#setters;)*
                    #(let #definition = #definition.node(#nodes);)*
                    #definition
                }
            }
        };
    }
}

fn setters(workflow: &Workflow, paths: &Paths) -> Vec<TokenStream> {
    let mut setters = Vec::new();
    if let Some(description) = &workflow.description {
        setters.push(quote!(description(#description)));
    }
    if let Some(streaming) = workflow.streaming {
        setters.push(quote!(streaming(#streaming)));
    }
    if let Some(max_steps) = workflow.max_steps {
        setters.push(quote!(max_steps(#max_steps)));
    }
    if let Some(timeout) = workflow.timeout {
        let timeout = duration(timeout);
        setters.push(quote!(timeout(#timeout)));
    }
    if let Some(choice) = workflow.on_disconnect {
        let on_disconnect = paths.get("OnDisconnect");
        let choice = match choice {
            OnDisconnect::Continue => quote!(Continue),
            OnDisconnect::Cancel => quote!(Cancel),
        };
        setters.push(quote!(on_disconnect(#on_disconnect::#choice)));
    }
    if let Some(values) = workflow.values {
        setters.push(quote!(values(#values)));
    }
    setters
}
