//! The three stream attributes as values of the runtime's option types.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use crate::{
    model::{
        EventFilter, EventOptions, EventType, ProgressFormat, ProgressOptions, Retry, RetryOn, TokenFilter,
        TokenOptions,
    },
    paths::Paths,
};

/// A duration as a constant expression.
pub(super) fn duration(duration: Duration) -> TokenStream {
    // The parser takes no duration of more nanoseconds than this type holds.
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_nanos(#nanos))
}

/// `Type::default().with_…(…)…`, for what was said.
struct Chain(TokenStream);

impl Chain {
    fn new(name: &str, paths: &Paths) -> Self {
        let ty = paths.get(name);
        Self(quote!(<#ty as ::core::default::Default>::default()))
    }

    fn with(mut self, field: &str, value: Option<impl quote::ToTokens>) -> Self {
        if let Some(value) = value {
            let setter = Ident::new(&format!("with_{field}"), Span::mixed_site());
            self.0.extend(quote!(.#setter(#value)));
        }
        self
    }
}

fn variant(ty: &str, name: Option<&str>, paths: &Paths) -> Option<TokenStream> {
    let name = Ident::new(name?, Span::mixed_site());
    let ty = paths.get(ty);
    Some(quote!(#ty::#name))
}

/// `TokenOptions`.
pub(super) fn token(options: &TokenOptions, paths: &Paths) -> TokenStream {
    Chain::new("TokenOptions", paths)
        .with("enabled", options.enabled)
        .with("buffer_size", options.buffer_size)
        .with("batch_size", options.batch_size)
        .with("flush_interval", options.flush_interval.map(duration))
        .with("format", variant("TokenFormat", options.format, paths))
        .with("include_metadata", options.include_metadata)
        .with("processor", options.processor.as_ref())
        .with("filter", options.filter.as_ref().map(|filter| token_filter(filter, paths)))
        .0
}

fn token_filter(filter: &TokenFilter, paths: &Paths) -> TokenStream {
    Chain::new("TokenFilter", paths)
        .with("min_length", filter.min_length)
        .with("max_length", filter.max_length)
        .with("pattern", filter.pattern.as_ref())
        .with("exclude_whitespace", filter.exclude_whitespace)
        .0
}

/// `RetryOptions`.
pub(super) fn retry(retry: &Retry, paths: &Paths) -> TokenStream {
    let on = retry.on.as_ref().map(|on| {
        let ty = paths.get("RetryOn");
        let on = on.iter().map(|on| match on {
            RetryOn::Code(code) => quote!(#ty::Code(::std::borrow::ToOwned::to_owned(#code))),
            RetryOn::Retryable => quote!(#ty::Retryable),
        });
        quote!(::std::vec![#(#on),*])
    });
    Chain::new("RetryOptions", paths)
        .with("attempts", retry.attempts)
        .with("backoff", retry.backoff.map(duration))
        .with("max_backoff", retry.max_backoff.map(duration))
        .with("jitter", retry.jitter)
        .with("on", on)
        .0
}

/// `EventOptions`.
pub(super) fn event(options: &EventOptions, paths: &Paths) -> TokenStream {
    Chain::new("EventOptions", paths)
        .with("enabled", options.enabled)
        .with("events", options.events.as_ref().map(|types| event_types(types, paths)))
        .with("buffer_size", options.buffer_size)
        .with("batch_size", options.batch_size)
        .with("transformer", options.transformer.as_ref())
        .with("filter", options.filter.as_ref().map(|filter| event_filter(filter, paths)))
        .with("delivery", variant("Delivery", options.delivery, paths))
        .0
}

fn event_filter(filter: &EventFilter, paths: &Paths) -> TokenStream {
    Chain::new("EventFilter", paths)
        .with("event_types", filter.event_types.as_ref().map(|types| event_types(types, paths)))
        .with("exclude_types", filter.exclude_types.as_ref().map(|types| event_types(types, paths)))
        .with("min_priority", variant("Priority", filter.min_priority, paths))
        .with("include_debug", filter.include_debug)
        .0
}

fn event_types(types: &[EventType], paths: &Paths) -> TokenStream {
    let event_type = paths.get("EventType");
    let types = types.iter().map(|event| {
        let name = &event.name;
        if event.well_known {
            let constant = Ident::new(&name.to_uppercase(), Span::mixed_site());
            return quote!(#event_type::#constant);
        }
        quote!(#event_type::new(#name).expect("the name was checked at compile time"))
    });
    quote!(::std::vec![#(#types),*])
}

/// `ProgressOptions`.
pub(super) fn progress(options: &ProgressOptions, paths: &Paths) -> TokenStream {
    let milestones = options.milestones.as_ref().map(|milestones| quote!(::std::vec![#(#milestones),*]));
    Chain::new("ProgressOptions", paths)
        .with("enabled", options.enabled)
        .with("interval", options.interval.map(duration))
        .with("granularity", variant("Granularity", options.granularity, paths))
        .with("include_eta", options.include_eta)
        .with("include_metrics", options.include_metrics)
        .with("milestones", milestones)
        .with("calculator", options.calculator.as_ref())
        .with("format", options.format.as_ref().map(|format| progress_format(format, paths)))
        .0
}

fn progress_format(format: &ProgressFormat, paths: &Paths) -> TokenStream {
    Chain::new("ProgressFormat", paths)
        .with("show_percentage", format.show_percentage)
        .with("show_current", format.show_current)
        .with("show_total", format.show_total)
        .with("show_rate", format.show_rate)
        .with("precision", format.precision)
        .0
}
